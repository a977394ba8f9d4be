"""The registry: its four tables, their checks, and the synthetic registry."""
