"""What a paradigm's program gets, and what it gives back for each seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.client_app import initial_seed
from ms_pfl.federation.grids.simulated import SimulationGrid
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.parameters import ClientSettings, StrategyParameters
from ms_pfl.federation.partitions import FederationData
from ms_pfl.federation.scaler import Scaler
from ms_pfl.learning.networks import build_model, get_arrays
from ms_pfl.learning.parameters import ModelKind, TrainingParameters
from ms_pfl.training.outcome import ProgressReport
from ms_pfl.training.parameters import ParadigmParameters

OpenGrid = Callable[[Sequence[str], Sequence[int]], SimulationGrid]


@dataclass(frozen=True)
class Start:
    """A model to start from: shared arrays and the scaler that goes with them."""

    arrays: dict[str, np.ndarray]
    scaler: Scaler


@dataclass(frozen=True)
class Task:
    """One training: the data's outline, the settings, and the way to the clients.

    ``open_grid(countries, seeds)`` opens a grid with one node a country and seed; ``strategy`` is
    None for paradigms without one; ``federated`` holds the federated models by seed for paradigms
    that start from them; ``seeds`` are those to train, in order; ``checkpoints(seed)`` are those of
    a federation.
    """

    data: FederationData
    parameters: ParadigmParameters
    strategy: StrategyParameters | None
    federated: dict[int, Start]
    open_grid: OpenGrid
    report: Callable[[ProgressReport], None]
    seeds: tuple[int, ...]
    checkpoints: Callable[[int], Checkpoints]

    @property
    def countries(self) -> list[str]:
        """All countries, sorted by name."""
        return list(self.data.countries)

    def settings(
        self, kind: ModelKind, training: TrainingParameters | None = None
    ) -> ClientSettings:
        """What clients are told, with other training settings where a paradigm has its own."""
        return ClientSettings(
            kind=kind,
            model=self.parameters.model,
            training=training or self.parameters.training,
            protocol=self.parameters.protocol,
            device=self.parameters.device,
        )


def initial_arrays(settings: ClientSettings, n_features: int, seed: int) -> dict[str, np.ndarray]:
    """The shared arrays before training, the same in every paradigm."""
    model = build_model(settings.kind, n_features, settings.model, 0, initial_seed(seed))
    return get_arrays(model, personal=False)


@dataclass(frozen=True)
class SeedResult:
    """One seed's fit.

    ``probabilities``: by node (a country, or ``pooled``) those of its validation and test rows, in
    the order of its rows. ``shared`` and ``personal`` (by country) are the arrays to keep.
    """

    seed: int
    probabilities: dict[str, dict[str, np.ndarray]]
    history: Iterable[HistoryRow]
    shared: dict[str, np.ndarray]
    personal: dict[str, dict[str, np.ndarray]]
    scaler: Scaler
