"""Federated: rounds of a strategy over all countries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.grids.named import NamedGrid
from ms_pfl.federation.parameters import ClientSettings, RoundsParameters, StrategyParameters
from ms_pfl.federation.records import to_record
from ms_pfl.federation.rounds import Federation, federated_scaler, predict, prepare, run_rounds
from ms_pfl.federation.scaler import Scaler
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.parameters import ModelKind
from ms_pfl.training.outcome import ProgressReport
from ms_pfl.training.task import SeedResult, Task, initial_arrays


def federated(task: Task) -> Iterator[SeedResult]:
    """One MLP for all countries."""
    return (rounds_of(task, "mlp", seed) for seed in task.seeds)


def rounds_of(task: Task, kind: ModelKind, seed: int) -> SeedResult:
    """One seed's federation of a model, from initial weights to predictions."""
    assert task.strategy is not None, "the table of paradigms says which need a strategy"
    with task.open_grid(task.countries, [seed]) as grid, task.checkpoints(seed) as checkpoints:
        done, scaler = federate(
            grid,
            seed,
            task.settings(kind),
            task.strategy,
            task.parameters.federated,
            len(task.data.features),
            checkpoints,
            task.report,
        )
        probabilities = predict(grid, seed, to_record(done.arrays), done.best_round)
        kept = grid.export_state("selected")
    personal = {node.country: arrays for node, arrays in kept.items() if arrays}
    return SeedResult(seed, probabilities, done.history, done.arrays, personal, scaler)


def federate(
    grid: NamedGrid,
    seed: int,
    settings: ClientSettings,
    strategy: StrategyParameters,
    limits: RoundsParameters,
    n_features: int,
    checkpoints: Checkpoints,
    report: Callable[[ProgressReport], None],
) -> tuple[Federation, Scaler]:
    """One seed's rounds over a grid, in simulation and in deployment: scaler, rounds, best round.

    Args:
        grid: the clients.
        seed: of splits and initial weights.
        settings: what the clients are told.
        strategy: and its settings.
        limits: rounds, patience, share of clients.
        n_features: of an episode.
        checkpoints: what an earlier process left of this fit, and where this one keeps its rounds.
        report: called as the fit begins, after every round and at the end.
    """

    def tell(number: int, auc: float, note: str = "", *, finished: bool = False) -> None:
        report(ProgressReport(seed, number, limits.rounds, auc, finished, note=note))

    resume = checkpoints.latest()
    if resume is None:
        tell(0, math.nan)
    else:
        tell(resume.round, math.nan, f"goes on after round {resume.round}")
    scaler = federated_scaler(grid, seed)
    prepare(grid, seed, settings, scaler, resume)
    done = run_rounds(
        grid,
        make_strategy(strategy, fraction=limits.client_fraction, seed=seed),
        initial_arrays(settings, n_features, seed),
        seed=seed,
        epochs=strategy.epochs,
        parameters=limits,
        report=tell,
        by_roc_auc=settings.protocol.selection == "test",
        resume=resume,
        keep=checkpoints.keep,
    )
    tell(max(row.round for row in done.history), done.validation_roc_auc, finished=True)
    return done, scaler
