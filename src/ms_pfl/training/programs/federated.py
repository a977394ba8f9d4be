"""Federated: rounds of a strategy over all countries, of any method, or a fit from sums."""

import logging
import math
from collections.abc import Iterator

from ms_pfl.federation.checkpoints import Checkpoints, private_alike
from ms_pfl.federation.client import initial_arrays, method_of
from ms_pfl.federation.exchange import NamedGrid, prepare
from ms_pfl.federation.flower import to_record
from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.predictions import predict
from ms_pfl.federation.rounds import Federation, begins, run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.inputs import Inputs
from ms_pfl.learning.networks import Arrays
from ms_pfl.training.programs.boosted import boosted
from ms_pfl.training.programs.newton import newton
from ms_pfl.training.train import SeedResult, Task

_log = logging.getLogger(__name__)


def federated(task: Task) -> Iterator[SeedResult]:
    """One federation a seed, from the first model to predictions."""
    for seed in task.seeds:
        with task.open_grid(task.sites.names, [seed]) as grid:
            yield fit_together(task, grid, seed)


def fit_together(task: Task, grid: NamedGrid, seed: int) -> SeedResult:
    """Fit one seed over an open grid, and have the clients predict."""
    covariance: Arrays = {}
    with task.checkpoints(seed) as checkpoints:
        match task.client().learner:
            case "logistic":
                done, inputs, covariance = newton(task, grid, seed)
            case "trees":
                done, inputs = boosted(task, grid, seed, checkpoints)
            case "network":
                done, inputs = federate(task, grid, seed, checkpoints)
    told = predict(grid, seed, to_record(done.arrays), done.best_round, task.training.name)
    kept = grid.export_state("selected")
    return SeedResult(
        seed=seed,
        probabilities=told.probabilities,
        history=done.history,
        shared=done.arrays,
        personal={node.country: arrays for node, arrays in kept.items() if arrays},
        inputs=inputs,
        metrics=told.metrics,
        covariance=covariance,
    )


def federate(
    task: Task, grid: NamedGrid, seed: int, checkpoints: Checkpoints
) -> tuple[Federation, Inputs]:
    """Run one seed's rounds over a grid: inputs, rounds, best round.

    Args:
        task: the training.
        grid: the clients.
        seed: of splits and initial weights.
        checkpoints: what an earlier process left of this fit, and where this one keeps its rounds.
    """
    own, settings = task.own, task.client()
    limits, strategy = own.federation, own.strategies.of(task.training.strategy)
    method = method_of(settings)

    def tell(number: int, auc: float, note: str = "", *, finished: bool = False) -> None:
        task.report(ProgressReport(seed, number, limits.rounds, auc, finished, note=note))

    inputs = task.agree_on_inputs(grid, seed)
    initial = initial_arrays(settings, method, inputs.width, seed)
    resume = checkpoints.latest(begins(method, initial, {}))
    if resume is None:
        tell(0, math.nan)
    else:
        tell(resume.round, math.nan, f"goes on after round {resume.round}")
    kept_there = resume is not None and not resume.private
    prepare(grid, seed, settings, inputs, resume.round if resume and kept_there else 0)
    if resume is not None and resume.private and not private_alike(resume.private, grid.private()):
        _log.warning("A checkpoint holds other private arrays; the rounds start again")
        resume = None
    done = run_rounds(
        grid,
        make_strategy(strategy, fraction=limits.client_fraction, seed=seed),
        method,
        initial,
        seed=seed,
        epochs=strategy.epochs,
        parameters=limits,
        report=tell,
        by_roc_auc=own.protocol.selection == "test",
        resume=resume,
        keep=checkpoints.keep,
    )
    tell(max(row.round for row in done.history), done.validation_roc_auc, finished=True)
    return done, inputs
