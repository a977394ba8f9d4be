"""What a paradigm's program gets, and what it gives back for each seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.grids.named import NamedGrid
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.scaler import Scaler
from ms_pfl.learning.networks import build_network, get_arrays
from ms_pfl.learning.parameters import Device, OptimizerParameters
from ms_pfl.learning.seeds import initial_seed
from ms_pfl.paradigms import Training, learner_of
from ms_pfl.personalization.method import Arrays, Method, method_class
from ms_pfl.training.outcome import ProgressReport
from ms_pfl.training.settings import TrainingSettings

OpenGrid = Callable[[Sequence[str], Sequence[int]], NamedGrid]


@dataclass(frozen=True)
class Start:
    """A model to start from: shared arrays and the scaler that goes with them."""

    arrays: Arrays
    scaler: Scaler


@dataclass(frozen=True)
class Sites:
    """Who takes part.

    Attributes:
        names: sorted.
        n_features: columns of an episode.
        training_rows: episodes to train on, of a site and seed, where they are known; else 1. They
            weigh what is told of the progress, and nothing else.
    """

    names: tuple[str, ...]
    n_features: int
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

    def of(self, training: Training) -> Task:
        """The same for another training."""
        return Task(
            training, self.sites, self.settings, self.device, self.open_grid, self.report,
            self.seeds, self.checkpoints,
        )  # fmt: skip

    def client(self, optimizer: OptimizerParameters | None = None) -> ClientSettings:
        """What clients are told, with another optimizer where a paradigm has its own."""
        own, (paradigm, strategy) = self.own, self.training
        section = getattr(own, paradigm) if method_class(paradigm).settings is not None else None
        logistic = own.strategies.logistic if learner_of(strategy) == "logistic" else None
        return ClientSettings(
            paradigm=paradigm,
            network=own.network,
            optimizer=optimizer or own.optimizer,
            protocol=own.protocol,
            device=self.device,
            method=None if section is None else section.model_dump(mode="json"),
            logistic=logistic,
        )


def initial_arrays(
    settings: ClientSettings, method: Method, n_features: int, seed: int
) -> dict[str, np.ndarray]:
    """The shared arrays before training, the same in every paradigm."""
    network = build_network(method.kind, n_features, settings.network, 0, initial_seed(seed))
    return dict(method.shared(get_arrays(network)))


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
        scaler: of all training rows.
        metrics: by country what a client tells instead of probabilities.
    """

    seed: int
    probabilities: dict[str, dict[str, np.ndarray]]
    history: Iterable[HistoryRow]
    shared: Arrays
    personal: Mapping[str, Arrays]
    scaler: Scaler
    metrics: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)
