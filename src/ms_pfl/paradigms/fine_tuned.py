"""Fine-tuned: the federated model of the same strategy and seed, trained on in each country."""

from __future__ import annotations

from collections.abc import Iterator

from ms_pfl.federation.rounds import prepare
from ms_pfl.paradigms.alone import FitPlan, train_alone
from ms_pfl.paradigms.task import SeedResult, Task


def fine_tuned(task: Task) -> Iterator[SeedResult]:
    """Every country trains on from the federated model, which is itself among the candidates."""
    own = task.parameters.fine_tuned
    rate = task.parameters.training.learning_rate * own.learning_rate_factor
    training = task.parameters.training.model_copy(update={"learning_rate": rate})
    plan = FitPlan(
        own.epochs,
        own.patience,
        own.epochs_without_validation,
        start_is_candidate=True,
        reply_with_arrays=False,
    )
    for seed in task.seeds:
        start = task.federated[seed]
        with task.open_grid(task.countries, [seed]) as grid:
            prepare(grid, seed, task.settings("mlp", training), start.scaler)
            yield from train_alone(task, grid, {seed: start}, plan)
