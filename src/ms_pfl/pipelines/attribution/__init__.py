"""What the models make of the features."""
