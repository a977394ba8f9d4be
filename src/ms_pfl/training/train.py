"""The one training program: in simulation, on a cluster and between real sites.

What differs is the grid that is opened under it. A paradigm's program gets a :class:`Task` and
gives back a :class:`SeedResult` for each seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.exchange import NamedGrid
from ms_pfl.federation.history import HistoryRow, ProgressReport
from ms_pfl.federation.inputs import agree_on_inputs
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.learning.inputs import Inputs
from ms_pfl.learning.parameters import Device, OptimizerParameters
from ms_pfl.paradigms import PARADIGMS, Paradigm, Training, learner_of, trainings
from ms_pfl.personalization.method import Arrays, method_class
from ms_pfl.training.settings import TrainingSettings

if TYPE_CHECKING:
    from ms_pfl.training.resume import UnfinishedTraining


CLUSTERED = "clustered"
"""The name of a covariance that is clustered by patient."""
OpenGrid = Callable[[Sequence[str], Sequence[int]], NamedGrid]


@dataclass(frozen=True)
class Start:
    """A model to start from: shared arrays and the inputs that go with them."""

    arrays: Arrays
    inputs: Inputs


@dataclass(frozen=True)
class Sites:
    """Who takes part.

    Attributes:
        names: sorted.
        features: names of an episode's columns, in their order.
        training_rows: episodes to train on, of a site and seed, where they are known; else 1. They
            weigh what is told of the progress, and nothing else.
    """

    names: tuple[str, ...]
    features: tuple[str, ...]
    training_rows: Callable[[str, int], int] = lambda *_: 1


@dataclass(frozen=True)
class Task:
    """One training: who takes part, the settings, and the way to the clients.

    Attributes:
        training: paradigm and strategy.
        sites: who takes part.
        settings: of all trainings.
        device: what the clients compute on.
        open_grid: opens a grid with one node a site (or ``pooled``) and seed.
        report: told where the training is.
        seeds: to train, in order.
        checkpoints: of the rounds of a seed.
        starts: by seed the models to start from, for a paradigm that trains on from another one's;
            where there is none for a seed, that one is trained first.
    """

    training: Training
    sites: Sites
    settings: TrainingSettings
    device: Device
    open_grid: OpenGrid
    report: Callable[[ProgressReport], None]
    seeds: tuple[int, ...]
    checkpoints: Callable[[int], Checkpoints]
    starts: Mapping[int, Start] = field(default_factory=dict)

    @property
    def own(self) -> TrainingSettings:
        """The settings of this training."""
        return self.settings.of(*self.training)

    def agree_on_inputs(self, grid: NamedGrid, seed: int) -> Inputs:
        """Have the sites of a grid agree on what rows become before a learner sees them."""
        settings = self.own.inputs
        one_hot = settings.one_hot_of(self.sites.features) if settings.kind == "encoded" else ()
        return agree_on_inputs(grid, seed, settings, one_hot)

    def of(self, training: Training) -> Task:
        """Return the same for another training."""
        return Task(
            training, self.sites, self.settings, self.device, self.open_grid, self.report,
            self.seeds, self.checkpoints,
        )  # fmt: skip

    def client(self, optimizer: OptimizerParameters | None = None) -> ClientSettings:
        """Return what clients are told, with another optimizer where a paradigm has its own."""
        return client_settings(self.training, self.settings, self.device, optimizer)


def client_settings(
    training: Training,
    settings: TrainingSettings,
    device: Device,
    optimizer: OptimizerParameters | None = None,
) -> ClientSettings:
    """Return what the clients of a training are told.

    Args:
        training: paradigm and strategy.
        settings: of all trainings.
        device: what the clients compute on.
        optimizer: in the place of the one that is set.
    """
    own, (paradigm, strategy) = settings.of(*training), training
    section = getattr(own, paradigm) if method_class(paradigm).settings is not None else None
    learner = learner_of(strategy)
    return ClientSettings(
        paradigm=paradigm,
        inputs=own.inputs,
        network=own.network,
        optimizer=optimizer or own.optimizer,
        protocol=own.protocol,
        device=device,
        method=None if section is None else section.model_dump(mode="json"),
        logistic=own.strategies.logistic if learner == "logistic" else None,
        trees=own.strategies.trees if learner == "trees" else None,
    )


@dataclass(frozen=True)
class SeedResult:
    """One seed's fit.

    Attributes:
        seed: of the fit.
        probabilities: by node (a country, or ``pooled``) those of its validation and test rows, in
            the order of its rows; empty where clients keep them.
        history: of the rounds or epochs.
        shared: arrays that all sites share.
        personal: arrays by country that are its own; empty where clients keep them.
        inputs: what rows became before the learner saw them.
        metrics: by country what a client tells instead of probabilities.
        covariance: of the shared coefficients of a logistic regression, the intercept last, under
            :data:`CLUSTERED`; else empty.
    """

    seed: int
    probabilities: dict[str, dict[str, np.ndarray]]
    history: Iterable[HistoryRow]
    shared: Arrays
    personal: Mapping[str, Arrays]
    inputs: Inputs
    metrics: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)
    covariance: Arrays = field(default_factory=dict)


def train(
    training: Training,
    sites: Sites,
    settings: TrainingSettings,
    seeds: tuple[int, ...],
    *,
    device: Device,
    open_grid: OpenGrid,
    store: UnfinishedTraining,
    report: Callable[[ProgressReport], None],
    starts: Mapping[int, Start] | None = None,
) -> Iterator[SeedResult]:
    """Train a paradigm with a strategy, once per seed; yield each seed's result as it is done.

    Args:
        training: paradigm and strategy, see :func:`check_training`.
        sites: who takes part.
        settings: of all trainings.
        seeds: of splits and initial weights.
        device: what the clients compute on.
        open_grid: opens a grid with one node a site (or ``pooled``) and seed.
        store: where a run keeps partial results; what an interrupted one has left there is gone
            on from, with the same bits.
        report: called as each seed begins, after every round or epoch, and at the seed's end.
        starts: by seed the models to start from, for a paradigm that trains on from another one's;
            None: that one is trained first.

    Raises:
        InputError: settings that cannot be used, or with which a training diverges.
        ClientError: a client failed; the error names it.
    """
    row = check_training(training)
    left: list[int] = []
    for seed in seeds:
        if (result := store.result(seed)) is None:
            left.append(seed)
            continue
        note = "taken over from an interrupted run"
        report(ProgressReport(seed, 0, 1, math.nan, finished=True, note=note))
        yield result
    if not left:
        return
    task = Task(
        training=training,
        sites=sites,
        settings=settings,
        device=device,
        open_grid=open_grid,
        report=report,
        seeds=tuple(left),
        checkpoints=store.checkpoints,
        starts=starts or {},
    )
    module, function = str(row.program).split(":")
    program = getattr(import_module(f"ms_pfl.training.programs.{module}"), function)
    for result in program(task):
        store.keep(result)
        yield result


def check_training(training: Training) -> Paradigm:
    """Return the row of a training's paradigm.

    Raises:
        InputError: there is no such paradigm, or it is not trained with that strategy.
    """
    paradigm, strategy = training
    trained = dict.fromkeys(known.paradigm for known in trainings())
    if paradigm not in trained:
        raise InputError(f"there is no paradigm {paradigm!r}; there are: {', '.join(trained)}")
    row = PARADIGMS[paradigm]
    if strategy not in row.strategies:
        if len(row.strategies) == 1:
            raise InputError(
                f"{paradigm} has no strategy to choose: it is {row.strategies[0]!r}, not "
                f"{strategy!r}"
            )
        raise InputError(
            f"{paradigm} is not trained with a strategy {strategy!r}; there are: "
            f"{', '.join(row.strategies)}"
        )
    return row
