"""Small predictors: one trained on a random registry, one whose numbers are worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cohort_examples import FRACTIONS, random_registry
from cohort_examples import parameters as cohort_parameters
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.splits import split_patients
from ms_pfl.evaluation.choice import Choice, choose
from ms_pfl.evaluation.ensemble import CANDIDATES, ENSEMBLE
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.prediction.description import Description
from ms_pfl.prediction.making import make_predictor
from ms_pfl.prediction.predictor import Predictor
from ms_pfl.registry.ingest.tables import RegistryTables
from ms_pfl.training.bundle import FORMAT, FORMAT_NAME
from ms_pfl.training.simulation import train_tables
from paradigm_examples import compute, parameters


def training_tables() -> RegistryTables:
    """Three countries of random people."""
    return random_registry(11, n_patients=45, n_countries=3)


def trained_predictor(
    paradigm: str, strategy: str = "fedavg", bootstrap_patients: int = 0
) -> Predictor:
    """A predictor of two short rounds, over two seeds."""
    episodes = build_episodes(training_tables(), cohort_parameters()).episodes
    splits = split_patients(episodes, (0, 1), FRACTIONS)
    source = {"kind": "own", "description": "test"}
    return predictor_of(paradigm, episodes, splits, source, None, strategy, bootstrap_patients)


def predictor_of(
    paradigm: str,
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    source: dict[str, str],
    vocabulary: dict[str, Any] | None = None,
    strategy: str = "fedavg",
    bootstrap_patients: int = 0,
) -> Predictor:
    """A predictor of the real trainings of these tables."""
    told = parameters(federation={"rounds": 2, "patience": 1, "client_fraction": 1.0})
    shared = Training("federated", strategy)
    names = CANDIDATES if paradigm == ENSEMBLE else (paradigm,)
    own = PARADIGMS.get(paradigm)
    if own is None or own.program is None:
        names = CANDIDATES if paradigm == ENSEMBLE else ("federated",)
    done: dict[Training, Any] = {}
    for name in dict.fromkeys(("federated", *names)):
        known = PARADIGMS[name].strategies
        training = Training(name, strategy if strategy in known else known[0])
        starts = PARADIGMS[name].starts_from is not None
        start = done[shared].models if starts else None
        done[training] = train_tables(
            training, episodes, splits, told, compute(), lambda report: None, start
        )
    predictions = pd.concat([one.predictions for one in done.values()], ignore_index=True)
    return make_predictor(
        episodes, splits, {name: one.models for name, one in done.items()}, predictions,
        choose(predictions, paradigm, strategy), told, cohort_parameters(), source, vocabulary,
        bootstrap_patients,
    )  # fmt: skip


def write_tables(tables: RegistryTables, folder: Path) -> Path:
    """The four tables as CSV files."""
    folder.mkdir()
    for name, table in tables.frames().items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def logistic_predictor() -> Predictor:
    """Logistic regression on x and y, scaled by 10 and 2; Belgium has a model of its own.

    Belgium, seed 0: 2 x' - y' + 0.5; seed 1: x'. All others: -x' in both seeds. Intercepts: of
    Belgium 0.5 and -1, of the others 0 and 1.
    """
    told = parameters()
    told = told.model_copy(update={"network": told.network.model_copy(update={"hidden_layers": 0})})
    description = Description(
        format=4,
        package_version="0",
        prediction=Choice(
            paradigm="local",
            strategy="none",
            shared="federated.fedavg",
            members=("local.none",),
            weights={seed: {"": (1.0,)} for seed in (0, 1)},
        ),
        settings=told,
        seeds=(0, 1),
        countries=("Belgium",),
        features=("x", "y"),
        vocabulary=None,
        cohort=None,
        treatment_recorded_since={},
        intercepts={0: {"": 0.0, "Belgium": 0.5}, 1: {"": 1.0, "Belgium": -1.0}},
        validation_episodes={"Belgium": 3},
        source={"kind": "own", "description": "worked out by hand"},
        source_digest="",
        data_digest="",
        bootstrap_patients=0,
    )
    inputs = {"inputs/mean": np.array([30.0, 4.0]), "inputs/sd": np.array([10.0, 2.0])}
    belgium = {0: ([2.0, -1.0], 0.5), 1: ([1.0, 0.0], 0.0)}
    arrays: dict[str, np.ndarray] = {}
    for seed in (0, 1):
        for part in ("personal", "global"):
            arrays |= {f"{part}/seed={seed}/{name}": array for name, array in inputs.items()}
            arrays[f"{part}/{FORMAT_NAME}"] = np.array([FORMAT])
        weights, bias = belgium[seed]
        own = {"output.weight": np.float32([weights]), "output.bias": np.float32([bias])}
        common = {"output.weight": np.float32([[-1.0, 0.0]]), "output.bias": np.float32([0.0])}
        arrays |= {f"personal/seed={seed}/personal/Belgium/{n}": a for n, a in own.items()}
        arrays |= {f"global/seed={seed}/shared/{n}": a for n, a in common.items()}
    return Predictor(description, arrays)


def refitted_predictor() -> Predictor:
    """Federated logistic regression on x and y for all, refitted to three draws of patients.

    Both seeds: x' with intercept 0.5 of Belgium and 0 of others; draws: 2 x', x' + 1, 3 x' - y'.
    """
    made = logistic_predictor()
    name = "federated.logistic"
    choice = Choice(
        paradigm="federated", strategy="logistic", shared=name, members=(name,),
        weights={seed: {"": (1.0,)} for seed in (0, 1)},
    )  # fmt: skip
    intercepts = {seed: {"": 0.0, "Belgium": 0.5} for seed in (0, 1)}
    told = made.description.model_copy(
        update={"prediction": choice, "intercepts": intercepts, "bootstrap_patients": 3}
    )
    inputs = {"inputs/mean": np.array([30.0, 4.0]), "inputs/sd": np.array([10.0, 2.0])}
    fits = {
        f"{part}/seed={seed}": ([1, 0], 0) for part in ("personal", "global") for seed in (0, 1)
    }
    for i, fit in enumerate((([2, 0], 0), ([1, 0], 1), ([3, -1], 0))):
        fits[f"bootstrap={i}/{name}/seed=0"] = fit
    arrays: dict[str, np.ndarray] = {}
    for part, (coefficients, intercept) in fits.items():
        arrays |= {f"{part}/{array}": values for array, values in inputs.items()}
        arrays[f"{part}/shared/coefficients"] = np.array(coefficients, dtype=np.float64)
        arrays[f"{part}/shared/intercept"] = np.array([intercept], dtype=np.float64)
        arrays[f"{part.rpartition('/')[0]}/{FORMAT_NAME}"] = np.array([FORMAT])
    return Predictor(told, arrays)


def logistic_rows() -> pd.DataFrame:
    """Scaled: (1, 1), (1, missing = 0), (-1, 0)."""
    return pd.DataFrame(
        {
            "country": ["Belgium", "Peru", "Belgium"],
            "x": [40.0, 40.0, 20.0],
            "y": [6.0, np.nan, 4.0],
        }
    )
