"""Grids: clients in this process, on Ray workers, or at real sites."""
