"""From a registry, or a table of one's own, to labelled episodes and splits."""
