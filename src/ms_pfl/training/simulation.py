"""A training over tables that lie here: in this process, on Ray workers, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ms_pfl.federation.history import HistoryRow, ProgressReport
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import (
    POOLED,
    SPLITS,
    FederationData,
    federation_data,
    redrawn,
)
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.training.settings import TrainingSettings

if TYPE_CHECKING:
    from ms_pfl.federation.exchange import Node
    from ms_pfl.federation.grids.simulated import SimulationGrid
    from ms_pfl.training.resume import UnfinishedTrainings
    from ms_pfl.training.train import SeedResult

PREDICTION_COLUMNS = (
    "paradigm",
    "strategy",
    "seed",
    "country",
    "patient_id",
    "episode_id",
    "split",
    "label",
    "probability",
)
_KEY = ["seed", "country", "patient_id", "episode_id"]


@dataclass(frozen=True)
class Compute:
    """Where and how a training computes; nothing of it decides the result.

    Attributes:
        ray: where the clients run.
        device: what they compute on.
        unfinished: where a run keeps partial results; None: nothing is kept.
        every_rounds: how often a federation is written down there.
    """

    ray: RayParameters
    device: Device = "auto"
    unfinished: UnfinishedTrainings | None = None
    every_rounds: int = 1


@dataclass(frozen=True)
class Outcome:
    """A finished training of one paradigm with one strategy, over all seeds.

    ``predictions``: a row per validation or test episode and seed (paradigm, strategy, seed,
    country, patient_id, episode_id, split, label, probability), sorted by seed, country,
    patient_id, episode_id.
    ``history``: a row per round (or epoch), seed and country: paradigm, strategy, seed, round,
    country, n_train, n_validation, train_loss, validation_loss (mean log-loss a row, nats),
    validation_roc_auc (NaN where undefined), seconds, bytes_up, bytes_down, selected. Centralized
    training has the one country ``pooled``.
    ``models``: the arrays of a :class:`ms_pfl.training.bundle.ModelBundle`.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    models: dict[str, np.ndarray]


def train_tables(
    training: Training,
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    settings: TrainingSettings,
    compute: Compute,
    report: Callable[[ProgressReport], None],
    start_models: Mapping[str, np.ndarray] | None = None,
) -> Outcome:
    """Train one paradigm with one strategy, once per seed of the splits table, and predict.

    Args:
        training: paradigm and strategy.
        episodes: episode_id, patient_id, country, label (0/1) and the features.
        splits: patient_id, country, seed, split (train, validation or test).
        settings: of all trainings.
        compute: where and how.
        report: called as each seed begins, after every round or epoch, and at the seed's end.
        start_models: the ``models`` of the outcome that a paradigm starts from, of the same
            strategy; ignored by the others.

    Returns:
        Predictions, history and models, as :class:`Outcome` says.

    Raises:
        InputError: tables or settings that cannot be used, or with which a training diverges.
        ClientError: a client failed; the error names its country.
    """
    from ms_pfl.federation.exchange import Node
    from ms_pfl.learning.training import resolve_device
    from ms_pfl.training.bundle import ModelBundle, stamp_of
    from ms_pfl.training.resume import UnfinishedTraining, training_key
    from ms_pfl.training.train import Sites, check_training, train

    row = check_training(training)
    if compute.ray.address is None or compute.ray.num_workers == 0:
        resolve_device(compute.device)  # a missing GPU is said before anything starts
    plain = federation_data(episodes, splits)
    data = rows_of(training, plain, episodes, splits, settings)
    starts, used = {}, None
    if row.starts_from is not None:
        before = Training(row.starts_from, training.strategy)
        starts = ModelBundle.of(start_models, before, settings, plain, compute.device).starts()
        used = start_models
    stamp = stamp_of(training, data, settings)
    store = UnfinishedTraining(None)
    if compute.unfinished is not None:
        key = training_key(stamp, used, compute.device)
        store = compute.unfinished.training(training.name, key, compute.every_rounds)
    secure = settings.of(*training).federation.secure_sums
    results = train(
        training,
        Sites(tuple(data.countries), data.features, data.training_rows),
        settings,
        data.seeds,
        device=compute.device,
        open_grid=lambda names, seeds: open_grid(
            data,
            [Node(name, seed) for name in names for seed in seeds],
            compute.ray,
            compute.device,
            secure=secure and POOLED not in names,
        ),
        store=store,
        report=report,
        starts=starts,
    )
    return assemble(training, data, sorted(results, key=lambda result: result.seed), stamp)


def open_grid(
    data: FederationData,
    nodes: Iterable[Node],
    parameters: RayParameters,
    device: Device,
    *,
    secure: bool = False,
) -> SimulationGrid:
    """Return a grid over some nodes: on Ray workers, or in this process with ``num_workers`` 0.

    The Ray workers start at the first call and serve all later ones.

    Args:
        data: the rows.
        nodes: countries of it, or ``pooled``.
        parameters: of the workers.
        device: what the clients compute on.
        secure: whether their sums are masked, as a drill.
    """
    if parameters.num_workers == 0:
        from ms_pfl.federation.grids.simulated import LocalGrid

        return LocalGrid(data, nodes, secure=secure)
    from ms_pfl.federation.grids.ray.grid import RayGrid
    from ms_pfl.federation.grids.ray.shared_pool import worker_pool

    pool = worker_pool(parameters, device, len(data.countries))
    return RayGrid(pool, data, nodes, secure=secure)


def rows_of(
    training: Training,
    plain: FederationData,
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    settings: TrainingSettings,
) -> FederationData:
    """Return the rows that a training sees: others where the audit has fine-tuning see other ones.

    Args:
        training: paradigm and strategy.
        plain: the rows of both tables.
        episodes: the episodes table.
        splits: the splits table.
        settings: of all trainings.
    """
    trains_on = PARADIGMS[training.paradigm].starts_from is not None
    if trains_on and settings.protocol.fine_tuning_rows == "redrawn":
        return federation_data(episodes, redrawn(splits))
    return plain


def assemble(
    training: Training, data: FederationData, results: Sequence[SeedResult], stamp: np.ndarray
) -> Outcome:
    """Return the outcome of a training; ``stamp`` goes into its models."""
    from ms_pfl.training.bundle import bundle_arrays

    paradigm, strategy = training
    parts = [_predictions(data, result) for result in results]
    predictions = pd.concat(parts, ignore_index=True).assign(paradigm=paradigm, strategy=strategy)
    predictions = predictions.sort_values(_KEY, ignore_index=True)[list(PREDICTION_COLUMNS)]
    rows = [asdict(row) for result in results for row in result.history]
    history = pd.DataFrame(rows, columns=[field.name for field in fields(HistoryRow)])
    history = history.sort_values(["seed", "round", "country"], ignore_index=True)
    history.insert(0, "paradigm", paradigm)
    history.insert(1, "strategy", strategy)
    for table in (predictions, history):
        for name in ("paradigm", "strategy"):
            table[name] = table[name].astype("str")
    return Outcome(predictions, history, bundle_arrays(results, stamp))


def _predictions(data: FederationData, result: SeedResult) -> pd.DataFrame:
    """Return a seed's predictions: the nodes' probabilities beside the ids of their rows."""
    parts = []
    for name, probabilities in result.probabilities.items():
        countries = list(data.countries) if name == POOLED else [name]
        ids = pd.concat(
            [data.ids[country].assign(country=country) for country in countries],
            ignore_index=True,
        )
        codes = data.rows(name).splits[result.seed]
        for split in ("validation", "test"):
            rows = ids.loc[codes == SPLITS.index(split)]
            parts.append(rows.assign(split=split, probability=probabilities[split]))
    table = pd.concat(parts, ignore_index=True).assign(seed=np.int64(result.seed))
    for name in ("country", "split"):
        table[name] = table[name].astype("str")
    return table.astype({"label": "int8", "seed": "int64"})
