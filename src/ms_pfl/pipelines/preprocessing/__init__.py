"""From the tables of a registry to labelled episodes, split by patient."""
