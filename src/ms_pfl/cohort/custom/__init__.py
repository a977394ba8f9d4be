"""A multi-site table of one's own, turned into episodes."""
