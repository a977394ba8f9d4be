"""Centralized: one model on all countries' pooled training patients."""

from __future__ import annotations

from ms_pfl.federation.partitions import POOLED
from ms_pfl.federation.questions import federated_scaler, prepare
from ms_pfl.training.programs.alone import FitPlan, train_alone
from ms_pfl.training.task import SeedResult, Start, Task


def centralized(task: Task) -> list[SeedResult]:
    """One node a seed holds everybody's rows and trains to its best validation epoch.

    All seeds at once: there is one node a seed, and workers can share the seeds alone.
    """
    own = task.own.centralized
    settings = task.client(task.own.optimizer.model_copy(update={"batch_size": own.batch_size}))
    plan = FitPlan(own.epochs, own.patience, own.epochs, False, reply_with_arrays=True)
    with task.open_grid([POOLED], task.seeds) as grid:
        starts = {seed: Start({}, federated_scaler(grid, seed)) for seed in task.seeds}
        for seed, start in starts.items():
            prepare(grid, seed, settings, start.scaler)
        return train_alone(task, grid, starts, plan)
