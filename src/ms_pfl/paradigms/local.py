"""Local: each country alone."""

from __future__ import annotations

from ms_pfl.federation.rounds import federated_scaler, prepare
from ms_pfl.paradigms.alone import FitPlan, train_alone
from ms_pfl.paradigms.task import SeedResult, Start, Task


def local(task: Task) -> list[SeedResult]:
    """Every country trains to its own best validation epoch; nothing but scaler sums is shared."""
    own = task.parameters.local
    plan = FitPlan(
        own.epochs,
        own.patience,
        own.epochs_without_validation,
        start_is_candidate=False,
        reply_with_arrays=False,
    )
    with task.open_grid(task.countries, task.seeds) as grid:
        starts = {seed: Start({}, federated_scaler(grid, seed)) for seed in task.seeds}
        for seed, start in starts.items():
            prepare(grid, seed, task.settings("mlp"), start.scaler)
        return train_alone(task, grid, starts, plan)
