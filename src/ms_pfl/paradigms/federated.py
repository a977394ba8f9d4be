"""Federated: rounds of a strategy over all countries."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ms_pfl.federation.records import to_record
from ms_pfl.federation.rounds import federated_scaler, predict, prepare, run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.parameters import ModelKind
from ms_pfl.paradigms.outcome import ProgressReport
from ms_pfl.paradigms.task import SeedResult, Task


def federated(task: Task) -> Iterator[SeedResult]:
    """One MLP for all countries."""
    return (rounds_of(task, "mlp", seed) for seed in task.seeds)


def rounds_of(task: Task, kind: ModelKind, seed: int) -> SeedResult:
    """One seed's federation of a model, from initial weights to predictions."""
    assert task.strategy is not None, "the table of paradigms says which need a strategy"
    limits = task.parameters.federated

    def report(number: int, auc: float) -> None:
        task.report(ProgressReport(seed, number, limits.rounds, auc, finished=False))

    with task.open_grid(task.countries, [seed]) as grid, task.checkpoints(seed) as checkpoints:
        resume = checkpoints.latest()
        began, note = (resume.round, f"goes on after round {resume.round}") if resume else (0, "")
        task.report(ProgressReport(seed, began, limits.rounds, math.nan, False, note=note))
        scaler = federated_scaler(grid, seed)
        prepare(grid, seed, task.settings(kind), scaler)
        done = run_rounds(
            grid,
            make_strategy(task.strategy, fraction=limits.client_fraction, seed=seed),
            task.initial_arrays(kind, seed),
            seed=seed,
            epochs=task.strategy.epochs,
            parameters=limits,
            report=report,
            by_roc_auc=task.parameters.protocol.selection == "test",
            resume=resume,
            keep=checkpoints.keep,
        )
        probabilities = predict(grid, seed, to_record(done.arrays), done.best_round)
        kept = grid.export_state("selected")
    personal = {node.country: arrays for node, arrays in kept.items() if arrays}
    task.report(
        ProgressReport(
            seed,
            max(row.round for row in done.history),
            limits.rounds,
            done.validation_roc_auc,
            finished=True,
        )
    )
    return SeedResult(seed, probabilities, done.history, done.arrays, personal, scaler)
