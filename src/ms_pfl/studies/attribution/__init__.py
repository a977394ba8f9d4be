"""What the models use, site by site."""
