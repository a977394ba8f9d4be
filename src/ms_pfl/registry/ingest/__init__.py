"""A registry's files, read into the four tables of the contract."""
