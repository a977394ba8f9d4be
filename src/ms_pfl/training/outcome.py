"""What a training hands back when it is done: its tables and arrays, from the seeds' results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.partitions import POOLED, SPLITS, FederationData
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import bundle_arrays
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished training of one paradigm with one strategy, over all seeds.

    ``predictions``: a row a validation or test episode and seed (paradigm, strategy, seed,
    country, patient_id, episode_id, split, label, probability), sorted by seed, country,
    patient_id, episode_id.
    ``history``: a row a round (or epoch), seed and country: paradigm, strategy, seed, round,
    country, n_train, n_validation, train_loss, validation_loss (mean log-loss a row, nats),
    validation_roc_auc (NaN where undefined), seconds, bytes_up, bytes_down, selected. Centralized
    training has the one country ``pooled``.
    ``models``: the arrays of a :class:`ms_pfl.training.bundle.ModelBundle`.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    models: dict[str, np.ndarray]


def assemble(
    training: Training, data: FederationData, results: Sequence[SeedResult], stamp: np.ndarray
) -> Outcome:
    """The outcome of a training; ``stamp`` goes into its models."""
    paradigm, strategy = training
    parts = [_predictions(data, result) for result in results]
    predictions = pd.concat(parts, ignore_index=True).assign(paradigm=paradigm, strategy=strategy)
    predictions = predictions.sort_values(_KEY, ignore_index=True)[list(PREDICTION_COLUMNS)]
    rows = [dataclasses.asdict(row) for result in results for row in result.history]
    history = pd.DataFrame(rows, columns=[field.name for field in dataclasses.fields(HistoryRow)])
    history = history.sort_values(["seed", "round", "country"], ignore_index=True)
    history.insert(0, "paradigm", paradigm)
    history.insert(1, "strategy", strategy)
    for table in (predictions, history):
        for name in ("paradigm", "strategy"):
            table[name] = table[name].astype("str")
    return Outcome(predictions, history, bundle_arrays(results, stamp))


def _predictions(data: FederationData, result: SeedResult) -> pd.DataFrame:
    """A seed's predictions: the nodes' probabilities beside the ids of their rows."""
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
