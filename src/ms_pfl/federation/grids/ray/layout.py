"""Which worker gets which nodes, and how many GPUs."""

from __future__ import annotations

import math


def assign(weights: dict[int, int], workers: int) -> dict[int, int]:
    """Nodes to workers, largest first, each to the worker with the least weight so far."""
    loads = [0] * workers
    owners: dict[int, int] = {}
    for node_id in sorted(weights, key=lambda node_id: (-weights[node_id], node_id)):
        owner = loads.index(min(loads))
        owners[node_id] = owner
        loads[owner] += weights[node_id]
    return owners


def gpu_share(workers: int, gpus: int) -> float:
    """GPUs for each worker: whole ones, or a part of one that lets the workers pack.

    Ray gives a worker parts of one GPU only, or whole GPUs; it counts in ten-thousandths.

    >>> gpu_share(workers=3, gpus=2), gpu_share(workers=2, gpus=3)
    (0.5, 1.0)
    """
    if workers <= gpus:
        return float(gpus // workers)
    return (10_000 // math.ceil(workers / gpus)) / 10_000 if gpus else 0.0


def workers_on(gpus: int, share: float) -> int:
    """How many workers with so many GPUs each fit on some GPUs.

    >>> workers_on(gpus=2, share=0.3), workers_on(gpus=5, share=2.0)
    (6, 2)
    """
    return gpus // int(share) if share >= 1 else gpus * int(1 / share)
