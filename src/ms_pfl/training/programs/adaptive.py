"""Adaptive: AdaptiveDualBranchNet, whose extension branch never leaves its country."""

from __future__ import annotations

from collections.abc import Iterator

from ms_pfl.training.programs.federated import rounds_of
from ms_pfl.training.task import SeedResult, Task


def adaptive(task: Task) -> Iterator[SeedResult]:
    """Rounds over the shared arrays; each country keeps its own extension from round to round."""
    return (rounds_of(task, "adaptive", seed) for seed in task.seeds)
