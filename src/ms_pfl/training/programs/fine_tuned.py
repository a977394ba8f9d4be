"""Fine-tuned: the federated model of the same strategy and seed, trained on in each country."""

from __future__ import annotations

from collections.abc import Iterator

from ms_pfl.federation.rounds import prepare
from ms_pfl.learning.parameters import TrainingParameters
from ms_pfl.training.parameters import ParadigmParameters
from ms_pfl.training.programs.alone import FitPlan, train_alone
from ms_pfl.training.task import SeedResult, Task


def fine_tuned(task: Task) -> Iterator[SeedResult]:
    """Every country trains on from the federated model, which is itself among the candidates."""
    for seed in task.seeds:
        start = task.federated[seed]
        with task.open_grid(task.countries, [seed]) as grid:
            prepare(grid, seed, task.settings("mlp", training_of(task.parameters)), start.scaler)
            yield from train_alone(task, grid, {seed: start}, plan_of(task.parameters))


def training_of(parameters: ParadigmParameters) -> TrainingParameters:
    """One client's optimizer while it fine-tunes: the same with a smaller learning rate."""
    rate = parameters.training.learning_rate * parameters.fine_tuned.learning_rate_factor
    return parameters.training.model_copy(update={"learning_rate": rate})


def plan_of(parameters: ParadigmParameters) -> FitPlan:
    """How each country trains on."""
    own = parameters.fine_tuned
    return FitPlan(
        own.epochs,
        own.patience,
        own.epochs_without_validation,
        start_is_candidate=True,
        reply_with_arrays=False,
    )
