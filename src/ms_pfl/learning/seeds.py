"""Seeds that depend on names, not on the order in which things happen."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) from integers and names, the same on every machine.

    Python's own ``hash`` of a string changes from process to process, so the parts are hashed
    with SHA-256. ``derive_seed(0, "BE", 3)`` and ``derive_seed(0, "BE3")`` differ.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def initial_seed(seed: int) -> int:
    """Seed of the shared initial weights of a fit: the same at all sites and in all paradigms."""
    return derive_seed(seed, "initial")
