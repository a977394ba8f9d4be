"""Federated: rounds of a strategy over all countries, of any method, or Newton's steps."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import Checkpoints, private_alike
from ms_pfl.federation.client import initial_arrays, method_of
from ms_pfl.federation.exchange import NamedGrid, ask_and_read, predict, prepare
from ms_pfl.federation.flower import ConfigRecord, RecordDict, payload_bytes, to_record
from ms_pfl.federation.history import HistoryRow, ProgressReport
from ms_pfl.federation.messages import CLUSTERS
from ms_pfl.federation.regression import regression_questions
from ms_pfl.federation.replies import ScoredStep, check_records, numbers
from ms_pfl.federation.rounds import Federation, begins, run_rounds
from ms_pfl.federation.strategies import make_strategy, mean_over_sites
from ms_pfl.federation.sums import answer_of, sum_over_sites
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.inputs import Inputs, columns_of
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.training.train import CLUSTERED, SeedResult, Task

_log = logging.getLogger(__name__)


def federated(task: Task) -> Iterator[SeedResult]:
    """One federation a seed, from initial weights to predictions."""
    for seed in task.seeds:
        with task.open_grid(task.sites.names, [seed]) as grid:
            yield fit_together(task, grid, seed)


def fit_together(task: Task, grid: NamedGrid, seed: int) -> SeedResult:
    """Fit one seed over an open grid, and have the clients predict."""
    if (logistic_parameters := task.client().logistic) is not None:
        done, inputs, covariance = newton(task, grid, seed, logistic_parameters)
    else:
        covariance = {}
        with task.checkpoints(seed) as checkpoints:
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
        _log.warning("A checkpoint holds other private arrays; the rounds begin anew")
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


def newton(
    task: Task, grid: NamedGrid, seed: int, parameters: LogisticParameters
) -> tuple[Federation, Inputs, Arrays]:
    """Fit a logistic regression by Newton's steps on the sums of all sites.

    A step is a round in the history. The last step counts: there is nothing to choose. In a
    personalized paradigm each site has coefficients of its own (:mod:`ms_pfl.learning.mixed`);
    else the covariance of the coefficients is asked for at the end (:func:`covariance_of`).
    """
    settings = task.client()
    question = regression_questions(settings)[0]

    def tell(number: int, auc: float, *, finished: bool = False) -> None:
        task.report(ProgressReport(seed, number, parameters.steps, auc, finished))

    tell(0, math.nan)
    inputs = task.agree_on_inputs(grid, seed)
    prepare(grid, seed, settings, inputs)
    up = down = 0

    def of(arrays: Arrays) -> Arrays:
        nonlocal up, down
        together = task.own.protocol.scaling == "federated"
        total = sum_over_sites(grid, seed, question, arrays, width=inputs.width, scaled=together)
        up += payload_bytes(to_record(answer_of(question, total, sites=1)))  # of a site's shapes
        down += payload_bytes(to_record(arrays))
        return total

    def scored_step(node_id: int, reply: RecordDict) -> ScoredStep:
        check_records(reply, (), metrics=True)
        told = numbers(reply, ScoredStep)
        grid.rows.check(node_id, "train", told.num_examples)
        grid.rows.check(node_id, task.own.protocol.selection, told.num_validation)
        return told

    history: list[HistoryRow] = []
    began = time.perf_counter()
    if settings.mixed:
        groups = private_groups(inputs, task.sites.features, parameters)
        steps = mixed.steps(of, parameters, groups)
    else:
        steps = logistic.steps(inputs.width, of, parameters)
    for number, (arrays, loss) in enumerate(steps, start=1):  # one at least
        record = to_record(arrays)
        content = RecordDict({"arrays": record, "config": ConfigRecord({"server-round": number})})
        answers = ask_and_read(
            grid, "evaluate", dict.fromkeys(grid.node_ids(seed), content), scored_step
        )
        seconds, began = time.perf_counter() - began, time.perf_counter()
        rows = []
        for node_id, told in answers.items():
            n = told.num_validation
            rows.append(
                HistoryRow(
                    seed=seed,
                    round=number,
                    country=grid.nodes[node_id].country,
                    n_train=told.num_examples,
                    n_validation=n,
                    train_loss=loss,
                    validation_loss=told.loss_sum / n if n else math.nan,
                    validation_roc_auc=told.roc_auc,
                    seconds=seconds,
                    bytes_up=up,
                    bytes_down=down + payload_bytes(record),
                    selected=False,
                )
            )
        auc = mean_over_sites((row.validation_roc_auc, row.n_validation) for row in rows)
        history += rows
        up = down = 0
        tell(number, auc)
    covariance: Arrays = {}
    if not settings.mixed:
        covariance, up = covariance_of(task, grid, seed, arrays, inputs.width)
        down = payload_bytes(record)
    tell(number, auc, finished=True)
    last = [
        replace(row, selected=True, bytes_up=row.bytes_up + up, bytes_down=row.bytes_down + down)
        if row.round == number
        else row
        for row in history
    ]
    return Federation(dict(arrays), number, auc, last), inputs, covariance


def private_groups(
    inputs: Inputs, features: Sequence[str], parameters: LogisticParameters
) -> mixed.Groups:
    """Return the groups of the coefficients that sites have of their own.

    Args:
        inputs: what rows became before the learner sees them.
        features: names of the features, in their order.
        parameters: which name some of them.

    Raises:
        InputError: a feature that is named is none of them.
    """
    made_of, linear = columns_of(inputs)
    private: dict[int, np.ndarray] = {}
    for name in parameters.private:
        if name not in features:
            raise InputError(
                f"training.strategies.logistic: private_slopes or private_shapes name {name!r}, "
                f"which is no feature; there are: {', '.join(features)}"
            )
        every = np.ones(len(made_of), dtype=bool)
        private[features.index(name)] = linear if name in parameters.private_slopes else every
    return mixed.groups_of(made_of, private)


def covariance_of(
    task: Task, grid: NamedGrid, seed: int, arrays: Arrays, width: int
) -> tuple[Arrays, int]:
    """Return the covariance of a fitted regression, clustered by patient, from one more sum.

    Args:
        task: the training.
        grid: its sites, prepared.
        seed: of the fit.
        arrays: the fitted model.
        width: columns of the rows as the learner sees them.

    Returns:
        The covariance under its name, and the bytes of the answer of one site.
    """
    parameters = task.client().logistic
    assert parameters is not None, "it is a regression"
    together = task.own.protocol.scaling == "federated"
    total = sum_over_sites(grid, seed, CLUSTERS, arrays, width=width, scaled=together)
    found = logistic.sandwich(total["hessian"], total["meat"], parameters.ridge)
    up = payload_bytes(to_record(answer_of(CLUSTERS, total, sites=1)))
    return {CLUSTERED: found}, up
