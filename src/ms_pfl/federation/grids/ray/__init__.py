"""Clients on Ray workers."""
