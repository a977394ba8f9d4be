"""What each choice of the study's public code is worth."""
