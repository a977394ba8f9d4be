"""Local: each country alone."""

from __future__ import annotations

from collections.abc import Iterator

from ms_pfl.federation.questions import federated_scaler, prepare
from ms_pfl.training.programs.alone import FitPlan, train_alone
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.task import SeedResult, Start, Task


def local(task: Task) -> Iterator[SeedResult]:
    """Every country trains to its own best validation epoch; nothing but scaler sums is shared.

    A start that is given lends its scaler: a country that comes later has that of the others.
    """
    for seed in task.seeds:
        with task.open_grid(task.sites.names, [seed]) as grid:
            given = task.starts.get(seed)
            start = Start({}, given.scaler if given else federated_scaler(grid, seed))
            prepare(grid, seed, task.client(), start.scaler)
            yield from train_alone(task, grid, {seed: start}, plan_of(task.own))


def plan_of(settings: TrainingSettings) -> FitPlan:
    """How each country trains."""
    own = settings.local
    return FitPlan(
        own.epochs,
        own.patience,
        own.epochs_without_validation,
        start_is_candidate=False,
        reply_with_arrays=False,
    )
