"""A synthetic registry, for those who have none at hand."""
