"""A custom multi-site table, turned into episodes."""
