"""What stands in the way of reading a registry's files, and settings that read them."""
