"""Predictions for new patients: a predictor in a folder, and what it says of a visit."""
