"""From the seeds' results to the tables and arrays of an outcome, and back to starting models."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.partitions import POOLED, SPLITS, FederationData
from ms_pfl.federation.scaler import Scaler
from ms_pfl.learning.networks import build_model, get_arrays
from ms_pfl.training.outcome import Outcome
from ms_pfl.training.parameters import ParadigmParameters
from ms_pfl.training.task import SeedResult, Start

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
STAMP = "stamp"


def stamp_of(
    paradigm: str,
    strategy: str,
    sections: Sequence[str],
    data: FederationData,
    parameters: ParadigmParameters,
) -> np.ndarray:
    """A digest of all that decides what a training comes to; uint8, shape ``(16,)``.

    That is: the rows, names and splits; the strategy and its settings; the network, its training,
    the protocol and the paradigm's own ``sections`` of the parameters. Not in it: where the clients
    compute.
    """
    settings = parameters.model_dump(mode="json")
    told = {
        "data": data.identity,
        "paradigm": paradigm,
        "strategy": [strategy, settings["strategies"].get(strategy)],
        **{name: settings[name] for name in ("model", "training", "protocol", *sections)},
    }
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16)
    return np.frombuffer(digest.digest(), dtype=np.uint8).copy()


def assemble(
    paradigm: str,
    strategy: str,
    data: FederationData,
    results: Sequence[SeedResult],
    stamp: np.ndarray,
) -> Outcome:
    """The outcome of a training; ``stamp`` goes into its models."""
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
    return Outcome(predictions, history, _models(results) | {STAMP: stamp})


def federated_starts(
    models: dict[str, np.ndarray] | None,
    data: FederationData,
    parameters: ParadigmParameters,
    stamp: np.ndarray,
) -> dict[int, Start]:
    """The federated models by seed, to train on from.

    Models of other splits have seen rows that are test rows now: hence the ``stamp``, that of the
    federated training which the present data and settings make.

    Raises:
        InputError: there are none; they are of other seeds, features or another network; or they
            were trained on other data, or with other settings.
    """
    again = "run the federated pipeline with the present settings first"
    if not models:
        raise InputError(
            f"fine-tuning starts from the federated models, but none were given; {again}"
        )
    blank = get_arrays(build_model("mlp", len(data.features), parameters.model, 0, 0))
    starts = {}
    for seed in data.seeds:
        prefix = f"seed={seed}/"
        of_seed = {
            name.removeprefix(prefix): a for name, a in models.items() if name.startswith(prefix)
        }
        shared = {
            n.removeprefix("shared/"): a for n, a in of_seed.items() if n.startswith("shared/")
        }
        if {name: array.shape for name, array in shared.items()} != {
            name: array.shape for name, array in blank.items()
        } or not {"scaler/mean", "scaler/sd"} <= of_seed.keys():
            raise InputError(
                f"the federated models do not fit seed {seed}, the features and the network set "
                f"in parameters model; {again}"
            )
        starts[seed] = Start(shared, Scaler(of_seed["scaler/mean"], of_seed["scaler/sd"]))
    if not np.array_equal(models.get(STAMP, np.empty(0)), stamp):
        raise InputError(
            "the federated models were trained on other data or splits, or with other settings "
            f"(strategy, model, training or federated), than the present ones; {again}"
        )
    return starts


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


def _models(results: Sequence[SeedResult]) -> dict[str, np.ndarray]:
    models: dict[str, np.ndarray] = {}
    for result in results:
        prefix = f"seed={result.seed}"
        models |= {f"{prefix}/shared/{name}": array for name, array in result.shared.items()}
        for country, arrays in result.personal.items():
            models |= {f"{prefix}/personal/{country}/{name}": a for name, a in arrays.items()}
        models[f"{prefix}/scaler/mean"] = result.scaler.mean
        models[f"{prefix}/scaler/sd"] = result.scaler.sd
    return models
