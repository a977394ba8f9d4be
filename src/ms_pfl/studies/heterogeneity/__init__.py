"""What personalization gains, against how much the countries of the synthetic registry differ."""
