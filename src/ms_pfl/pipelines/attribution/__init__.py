"""What the models use, country by country."""
