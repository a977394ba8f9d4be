"""A multi-site table of one's own, in place of a registry."""
