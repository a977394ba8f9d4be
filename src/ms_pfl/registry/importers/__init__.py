"""Public data sets, turned into tables that the project reads."""
