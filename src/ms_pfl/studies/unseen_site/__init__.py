"""Sites that never took part in the federation."""
