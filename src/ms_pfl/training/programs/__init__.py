"""One short program a paradigm."""
