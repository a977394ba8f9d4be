"""Small tables and settings for the tests of the federation and of the paradigms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ms_pfl.federation.client import initial_arrays, method_of
from ms_pfl.federation.exchange import Node, prepare
from ms_pfl.federation.grids.simulated import LocalGrid, SimulationGrid
from ms_pfl.federation.inputs import agree_on_inputs
from ms_pfl.federation.parameters import (
    ClientSettings,
    FedAvgParameters,
    RoundsParameters,
    StrategyParameters,
)
from ms_pfl.federation.partitions import CountryRows, FederationData, federation_data
from ms_pfl.federation.rounds import Federation, RoundState, run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.inputs import Inputs

SIZES = {"AU": 30, "BE": 60, "CZ": 15}
FEATURES = ["age", "edss", "relapses"]
INPUTS = {
    "kind": "standard",
    "numbers": "normal_scores",
    "one_hot": "auto",
    "indicators": True,
    "level_columns": 0,
    "level_scale": 0.1,
    "knots": 0,
    "knot_scale": 0.3,
    "bins": 0,
}
PROTOCOL = {
    "split_unit": "patient",
    "scaling": "federated",
    "selection": "validation",
    "personal_arrays": "kept",
    "proximal_term": True,
    "fine_tuning_rows": "same",
}
STRATEGIES = {
    "fedavg": {"epochs": 1},
    "fedprox": {"epochs": 2, "proximal_mu": 0.5},
    "fedadam": {"epochs": 1, "eta": 0.05, "beta_1": 0.6, "beta_2": 0.9, "tau": 1e-3},
    "fedyogi": {"epochs": 1, "eta": 0.05, "beta_1": 0.7, "beta_2": 0.9, "tau": 1e-3},
    "fedadagrad": {"epochs": 1, "eta": 0.05, "tau": 1e-3},
    "logistic": {"ridge": 1.0, "steps": 25, "tolerance": 1e-8},
    "trees": {
        "trees": 6,
        "depth": 2,
        "learning_rate": 0.3,
        "bins": 16,
        "l2": 1.0,
        "least_hessian": 1.0,
        "patience": 4,
        "evaluate_every": 2,
        "private_every": 2,
        "own_trees": 4,
        "personal_least_hessian": 1.0,
        "personal_l2": 1.0,
    },
}


def tables(
    sizes: dict[str, int] | None = None, seeds: Sequence[int] = (0, 1)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Episodes and splits: three episodes a patient, patients in turn 60/20/20."""
    rng = np.random.default_rng(0)
    parts = []
    for shift, (country, n) in enumerate((sizes or SIZES).items()):
        x = rng.normal(size=(n, 3)) * [10, 2, 1] + [40 + 5 * shift, 3, 1]
        worse = x[:, 1] - 3 + (1 - shift) * (x[:, 2] - 1) + rng.normal(size=n) > 0.5
        part = pd.DataFrame(x.astype(np.float32), columns=FEATURES)
        part.loc[rng.random(n) < 0.1, "relapses"] = np.nan
        part.insert(0, "episode_id", [f"{country}-e{i:04d}" for i in range(n)])
        part.insert(1, "patient_id", [f"{country}-p{i // 3:04d}" for i in range(n)])
        part.insert(2, "country", country)
        part.insert(3, "t0", pd.Timestamp("2015-01-01"))
        part.insert(4, "label", worse.astype(np.int8))
        parts.append(part)
    episodes = pd.concat(parts, ignore_index=True)
    patients = episodes[["patient_id", "country"]].drop_duplicates(ignore_index=True)
    turn = patients.groupby("country").cumcount()
    names = np.array(["train", "train", "train", "validation", "test"])
    splits = [patients.assign(seed=seed, split=names[(turn + seed) % 5]) for seed in seeds]
    return episodes, pd.concat(splits, ignore_index=True)


def data_of(sizes: dict[str, int] | None = None, seeds: Sequence[int] = (0,)) -> FederationData:
    """The same as arrays."""
    return federation_data(*tables(sizes, seeds))


def settings(
    paradigm: str = "federated", method: dict[str, object] | None = None, **optimizer: object
) -> ClientSettings:
    """A small network with plain gradient steps, unless told otherwise."""
    return ClientSettings.model_validate(
        {
            "paradigm": paradigm,
            "method": method,
            "logistic": None,
            "network": {
                "hidden_layers": 1,
                "width": 6,
                "dropout": 0.0,
                "extension_width": 4,
                "extension_tiers": [{"min_rows": 15, "layers": 2}, {"min_rows": 0, "layers": 1}],
                "combining_activation": False,
                "combining_personal": False,
            },
            "optimizer": {
                "kind": "sgd",
                "learning_rate": 0.1,
                "weight_decay": 0.0,
                "batch_size": None,
                "plateau": None,
            }
            | optimizer,
            "inputs": INPUTS,
            "protocol": PROTOCOL,
            "device": "cpu",
        }
    )


def nodes_of(data: FederationData) -> list[Node]:
    """One node a country and seed."""
    return [Node(country, seed) for country in data.countries for seed in data.seeds]


def prepared(grid: SimulationGrid, told: ClientSettings, seed: int = 0) -> Inputs:
    """Prepare a grid's clients as a paradigm does."""
    inputs = agree_on_inputs(grid, seed, told.inputs, ())
    prepare(grid, seed, told, inputs)
    return inputs


def initial(
    told: ClientSettings, seed: int = 0, n_features: int = len(FEATURES)
) -> dict[str, np.ndarray]:
    """The shared arrays before the first round."""
    return initial_arrays(told, method_of(told), n_features, seed)


FEDAVG = FedAvgParameters(epochs=1)


def federate(
    grid: SimulationGrid,
    told: ClientSettings,
    strategy: StrategyParameters = FEDAVG,
    *,
    rounds: int = 1,
    patience: int | None = None,
    fraction: float = 1.0,
    draws: int = 0,
    n_features: int = len(FEATURES),
    resume: RoundState | None = None,
    keep: Callable[[RoundState], None] = lambda _: None,
) -> Federation:
    """The rounds of seed 0 over prepared clients; ``draws``: seed of who trains in a round."""
    return run_rounds(
        grid,
        make_strategy(strategy, fraction=fraction, seed=draws),
        method_of(told),
        initial(told, n_features=n_features),
        seed=0,
        epochs=strategy.epochs,
        parameters=RoundsParameters(rounds=rounds, patience=patience, client_fraction=fraction),
        report=lambda *_: None,
        resume=resume,
        keep=keep,
    )


class RecordingGrid(LocalGrid):
    """A LocalGrid that keeps what it was asked and what came back, as it was then."""

    def __init__(self, data: FederationData, nodes: Iterable[Node]) -> None:
        super().__init__(data, nodes)
        self.traffic: list[tuple[str, str, dict[str, dict[str, object]]]] = []

    def _answer(self, items):  # type: ignore[no-untyped-def]
        for _, message in items:
            self._record("down", message)
        answers = super()._answer(items)
        for reply in answers.replies.values():
            if hasattr(reply, "content"):
                self._record("up", reply)
        return answers

    def _record(self, direction: str, message) -> None:  # type: ignore[no-untyped-def]
        content = {name: dict(record) for name, record in message.content.items()}
        self.traffic.append((direction, message.metadata.message_type, content))


XY = tuple[np.ndarray, np.ndarray]


def by_hand(
    sizes: Sequence[int] = (3, 5), features: int = 2
) -> tuple[FederationData, list[dict[str, XY]]]:
    """Sites A, B, ... of so many training rows, and of eight validation and two test rows.

    Returns:
        The data, and by site and split the rows as the clients scale them, with a column of ones,
        and labels, float64.
    """
    rng = np.random.default_rng(13)  # the second of three rounds is the best
    countries = {}
    for place, n in enumerate(sizes):
        x = rng.normal(place, 1.0, (n + 10, features)).astype(np.float32)
        y = (np.arange(n + 10) % 3 != place % 2).astype(np.float32)
        splits = np.repeat(np.array([0, 1, 2], np.int8), [n, 8, 2])
        name = "ABCDE"[place]
        countries[name] = CountryRows(name, x, y, {0: splits})
    data = FederationData(tuple("ab"[:features]), (0,), countries, {}, f"{sizes} {features}")
    clients = [rows.client_data(0) for rows in countries.values()]
    pooled = np.concatenate([client.train.x for client in clients]).astype(np.float64)
    mean, sd = pooled.mean(axis=0), pooled.std(axis=0)
    return data, [
        {
            name: (
                np.column_stack([(split.x - mean) / sd, np.ones(len(split.y))]),
                split.y.astype(np.float64),
            )
            for name in ("train", "validation", "test")
            for split in [getattr(client, name)]
        }
        for client in clients
    ]


def linear(told: ClientSettings) -> ClientSettings:
    """The same settings for a network without hidden layers, that is, logistic regression."""
    network = told.network.model_copy(update={"hidden_layers": 0})
    return told.model_copy(update={"network": network})


def as_vector(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The weights of a network without hidden layers, the bias last if it is there, float64."""
    parts = [arrays[name].ravel() for name in ("output.weight", "output.bias") if name in arrays]
    return np.concatenate(parts).astype(np.float64)


def gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the mean log-loss of logistic regression."""
    found: np.ndarray = x.T @ (1 / (1 + np.exp(-x @ w)) - y) / len(y)
    return found
