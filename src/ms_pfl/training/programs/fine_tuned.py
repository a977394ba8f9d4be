"""Fine-tuned: the federated model of the same strategy and seed, trained on in each country."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ms_pfl.federation.grids.named import NamedGrid
from ms_pfl.federation.questions import prepare
from ms_pfl.learning.parameters import OptimizerParameters
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.training.programs.alone import FitPlan, train_alone
from ms_pfl.training.programs.federated import fit_together
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.task import SeedResult, Start, Task


def fine_tuned(task: Task) -> Iterator[SeedResult]:
    """Every country trains on from the federated model, which is itself among the candidates.

    Where no federated model is given it is trained first, and kept as the shared arrays.
    """
    for seed in task.seeds:
        with task.open_grid(task.sites.names, [seed]) as grid:
            given = task.starts.get(seed)
            start = given or _federated(task, grid, seed)
            prepare(grid, seed, task.client(optimizer_of(task.own)), start.scaler)
            (result,) = train_alone(task, grid, {seed: start}, plan_of(task.own))
            yield result if given else replace(result, shared=start.arrays)


def _federated(task: Task, grid: NamedGrid, seed: int) -> Start:
    before = PARADIGMS[task.training.paradigm].starts_from
    assert before is not None, "the row of a paradigm with this program says what it starts from"
    done = fit_together(task.of(Training(before, task.training.strategy)), grid, seed)
    return Start(done.shared, done.scaler)


def optimizer_of(settings: TrainingSettings) -> OptimizerParameters:
    """One client's optimizer while it fine-tunes: the same with a smaller learning rate."""
    rate = settings.optimizer.learning_rate * settings.fine_tuned.learning_rate_factor
    return settings.optimizer.model_copy(update={"learning_rate": rate})


def plan_of(settings: TrainingSettings) -> FitPlan:
    """How each country trains on."""
    own = settings.fine_tuned
    return FitPlan(
        own.epochs,
        own.patience,
        own.epochs_without_validation,
        start_is_candidate=True,
        reply_with_arrays=False,
    )
