"""Rounds against other ways to work them out: numpy alone, pooled descent, frozen branches."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation_examples import (
    STRATEGIES,
    as_vector,
    data_of,
    federate,
    gradient,
    initial,
    linear,
    nodes_of,
    prepared,
    settings,
)
from hypothesis_profiles import examples
from ms_pfl.federation import client
from ms_pfl.federation.flower import to_arrays
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import (
    ClientSettings,
    FedAvgParameters,
    StrategiesParameters,
    StrategyParameters,
)
from ms_pfl.federation.partitions import CountryRows, FederationData
from ms_pfl.federation.rounds import RoundState
from ms_pfl.learning import networks
from ms_pfl.learning.networks import AdaptiveDualBranchNet, get_arrays
from ms_pfl.personalization.partial import DualBranch

Vector = NDArray[np.float64]
RATE = 0.3
SETTINGS: dict[str, dict[str, float]] = {
    "fedavg": {"epochs": 2},
    "fedprox": {"epochs": 4, "proximal_mu": 0.8},
    "fedadam": {"epochs": 2, "eta": 0.05, "beta_1": 0.6, "beta_2": 0.9, "tau": 1e-3},
    "fedyogi": {"epochs": 2, "eta": 0.05, "beta_1": 0.7, "beta_2": 0.9, "tau": 1e-3},
    "fedadagrad": {"epochs": 2, "eta": 0.05, "tau": 1e-3},
}


def shared_after(
    data: FederationData, told: ClientSettings, strategy: StrategyParameters, rounds: int
) -> list[dict[str, np.ndarray]]:
    """The shared arrays after each round."""
    states: list[RoundState] = []
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        federate(grid, told, strategy, rounds=rounds, keep=states.append)
    return [to_arrays(state.arrays) for state in states]


# -- the same in numpy, from the papers ------------------------------------------------------------


def design(data: FederationData) -> list[tuple[Vector, Vector]]:
    """Each country's scaled training rows with a column of ones, missing values 0, and labels."""
    parts = [data.rows(country).client_data(0).train for country in data.countries]
    pooled = np.concatenate([part.x for part in parts]).astype(np.float64)
    mean, sd = np.nanmean(pooled, axis=0), np.nanstd(pooled, axis=0)
    scaled = [np.nan_to_num((part.x.astype(np.float64) - mean) / sd) for part in parts]
    return [
        (np.hstack([x, np.ones((len(x), 1))]), part.y.astype(np.float64))
        for x, part in zip(scaled, parts, strict=True)
    ]


def reference(name: str, w: Vector, clients: list[tuple[Vector, Vector]], rounds: int) -> list:
    """The weights after each round of a strategy.

    FedAvg: McMahan et al. 2017. FedProx: Li et al. 2020. The others: Reddi et al. 2021, algorithm
    2, with FedAdam's step size corrected for the bias of the moments as in Kingma and Ba 2015
    (before section 2.1), one round ahead, as Flower does it.
    """
    told = SETTINGS[name]
    beta_1, beta_2 = told.get("beta_1", 0.0), told.get("beta_2", 0.0)
    sizes = np.array([len(y) for _, y in clients], dtype=np.float64)
    m, v, found = np.zeros_like(w), np.zeros_like(w), []
    for number in range(1, rounds + 1):
        local = []
        for x, y in clients:
            own = w.copy()
            for _ in range(int(told["epochs"])):
                own -= RATE * (gradient(own, x, y) + told.get("proximal_mu", 0.0) * (own - w))
            local.append(own)
        mean = np.average(local, axis=0, weights=sizes)
        if "eta" not in told:
            w = mean
        else:
            delta = mean - w
            m = beta_1 * m + (1 - beta_1) * delta
            rate = told["eta"]
            match name:
                case "fedadam":
                    v = beta_2 * v + (1 - beta_2) * delta**2
                    rate *= np.sqrt(1 - beta_2 ** (number + 1)) / (1 - beta_1 ** (number + 1))
                case "fedyogi":
                    v = v - (1 - beta_2) * delta**2 * np.sign(v - delta**2)
                case "fedadagrad":
                    v = v + delta**2
            w = w + rate * m / (np.sqrt(v) + told["tau"])
        found.append(w)
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_three_rounds_in_numpy(name: str) -> None:
    data, told = data_of(), linear(settings(learning_rate=RATE))
    first = as_vector(initial(told))
    strategy = StrategiesParameters.model_validate(STRATEGIES | {name: SETTINGS[name]}).of(name)
    found = [as_vector(arrays) for arrays in shared_after(data, told, strategy, 3)]
    expected = reference(name, first, design(data), 3)
    for number in range(3):
        np.testing.assert_allclose(found[number], expected[number], rtol=0, atol=1e-6)
    assert np.abs(expected[2] - first).max() > 0.05, "it moves"


def test_the_settings_of_the_reference_matter() -> None:
    """Else a reference that ignored one would do."""
    data = data_of()
    first, clients = as_vector(initial(linear(settings()))), design(data)
    base = {name: reference(name, first, clients, 3)[-1] for name in SETTINGS}
    for name, told in SETTINGS.items():
        for setting in told:
            kept = told[setting]
            told[setting] = kept + 1 if setting == "epochs" else kept / 2
            changed = reference(name, first, clients, 3)[-1]
            told[setting] = kept
            assert np.abs(changed - base[name]).max() > 1e-5, (name, setting)


# -- any partition ---------------------------------------------------------------------------------


def partitioned(owners: list[int]) -> FederationData:
    """The same rows, given to clients in any way; all are training rows."""
    rng = np.random.default_rng(0)
    n = len(owners)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=n) > 0).astype(np.float32)
    countries = {}
    for owner in sorted(set(owners)):
        mine = np.array(owners) == owner
        name = f"c{owner}"
        split = np.zeros(int(mine.sum()), np.int8)
        countries[name] = CountryRows(name, x[mine], y[mine], {0: split})
    digest = hashlib.sha256(repr(owners).encode()).hexdigest()
    return FederationData(("a", "b", "c"), (0,), countries, {}, digest)


@hypothesis_settings(max_examples=examples(40))
@given(st.lists(st.integers(0, 5), min_size=24, max_size=24))
def test_one_full_step_is_the_pooled_step_for_any_partition(owners: list[int]) -> None:
    told, one = settings(learning_rate=RATE), FedAvgParameters(epochs=1)
    (pooled,) = shared_after(partitioned([0] * 24), told, one, 1)
    (parts,) = shared_after(partitioned(owners), told, one, 1)
    for name, array in pooled.items():
        np.testing.assert_allclose(parts[name], array, rtol=0, atol=2e-6)


# -- personal arrays -------------------------------------------------------------------------------


class FrozenBranch(AdaptiveDualBranchNet):
    """Its extension never learns and is the same everywhere."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(7)
            for layer in self.extension:
                layer.reset_parameters()
        self.extension.requires_grad_(False)


def test_with_frozen_branches_the_dual_branch_net_is_fedavg_of_the_same_net(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, told = data_of(), settings("adaptive", batch_size=8)
    tiers = told.network.model_copy(update={"extension_tiers": told.network.extension_tiers[1:]})
    told = told.model_copy(update={"network": tiers})
    monkeypatch.setattr(client, "_sent_forms", client._sent_forms.__wrapped__)  # not cached
    monkeypatch.setattr(networks, "AdaptiveDualBranchNet", FrozenBranch)
    frozen = shared_after(data, told, FedAvgParameters(epochs=2), 3)[-1]
    monkeypatch.setattr(DualBranch, "prefixes", lambda self: ())  # all arrays travel
    shared = shared_after(data, told, FedAvgParameters(epochs=2), 3)[-1]
    extension = {name for name in shared if name.startswith("extension.")}
    assert shared.keys() - frozen.keys() == extension != set()
    for name, array in frozen.items():
        np.testing.assert_allclose(array, shared[name], rtol=0, atol=1e-6)
    never_trained = get_arrays(FrozenBranch(3, told.network, 1))
    for name in extension:
        np.testing.assert_allclose(shared[name], never_trained[name], rtol=0, atol=1e-6)


# -- order -----------------------------------------------------------------------------------------


@hypothesis_settings(max_examples=examples(20))
@given(order=st.permutations(["AU", "BE", "CZ"]), name=st.sampled_from(sorted(SETTINGS)))
def test_the_order_of_countries_changes_no_bit(order: list[str], name: str) -> None:
    data, told = data_of(), settings("adaptive", batch_size=8)
    mixed = dataclasses.replace(data, countries={c: data.countries[c] for c in order})
    strategy = StrategiesParameters.model_validate(STRATEGIES).of(name)
    one, other = (shared_after(these, told, strategy, 2)[-1] for these in (data, mixed))
    assert all(np.array_equal(one[key], other[key]) for key in one)
