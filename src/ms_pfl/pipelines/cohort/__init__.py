"""From a registry, or a custom table, to labelled episodes and splits."""
