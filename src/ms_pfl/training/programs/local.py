"""Local: each country alone."""

from __future__ import annotations

from collections.abc import Iterator

from ms_pfl.federation.rounds import federated_scaler, prepare
from ms_pfl.training.parameters import ParadigmParameters
from ms_pfl.training.programs.alone import FitPlan, train_alone
from ms_pfl.training.task import SeedResult, Start, Task


def local(task: Task) -> Iterator[SeedResult]:
    """Every country trains to its own best validation epoch; nothing but scaler sums is shared."""
    for seed in task.seeds:
        with task.open_grid(task.countries, [seed]) as grid:
            start = Start({}, federated_scaler(grid, seed))
            prepare(grid, seed, task.settings("mlp"), start.scaler)
            yield from train_alone(task, grid, {seed: start}, plan_of(task.parameters))


def plan_of(parameters: ParadigmParameters) -> FitPlan:
    """How each country trains."""
    own = parameters.local
    return FitPlan(
        own.epochs,
        own.patience,
        own.epochs_without_validation,
        start_is_candidate=False,
        reply_with_arrays=False,
    )
