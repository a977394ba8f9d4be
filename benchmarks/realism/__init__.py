"""Published figures of MS registries, and the same figures of a simulated one."""
