"""Countries that never took part, left out one after the other."""
