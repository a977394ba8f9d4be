"""Gradients written out against autograd: the same weights, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ms_pfl.learning import fast_gradients
from ms_pfl.learning.networks import MLP, Network, build_network, get_arrays
from ms_pfl.learning.parameters import NetworkParameters, OptimizerParameters
from ms_pfl.learning.scoring import Rows
from ms_pfl.learning.training import Proximal, TrainingDivergedError, fit, train_epochs

PLATEAU = {"factor": 0.5, "patience": 0, "min_learning_rate": 0.0}


def network(kind: Any, n_features: int, seed: int = 0, **changes: object) -> Network:
    values: dict[str, object] = {
        "hidden_layers": 2,
        "width": 8,
        "dropout": 0.1,
        "extension_width": 4,
        "extension_tiers": [{"min_rows": 0, "layers": 1}],
        "combining_activation": False,
        "combining_personal": False,
    }
    told = NetworkParameters.model_validate(values | changes)
    return build_network(kind, n_features, told, 0, seed)


def optimizer(**changes: object) -> OptimizerParameters:
    values: dict[str, object] = {
        "kind": "adam",
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "batch_size": 16,
        "plateau": None,
    }
    return OptimizerParameters.model_validate(values | changes)


def rows(n: int, n_features: int) -> Rows:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, n_features, generator=generator)
    return Rows(x, (torch.rand(n, generator=generator) > 0.6).float())


def by_autograd(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fast_gradients, "applies", lambda *_: False)


def assert_same(a: Network, b: Network) -> None:
    found, expected = get_arrays(a), get_arrays(b)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@hypothesis_settings(max_examples=examples(150))
@given(
    kind=st.sampled_from(["mlp", "adaptive"]),
    n_features=st.sampled_from([1, 3, 42]),
    layers=st.integers(0, 3),
    width=st.sampled_from([1, 3, 16, 33, 64]),
    dropout=st.sampled_from([0.0, 0.1, 0.3]),
    extension=st.tuples(st.sampled_from([1, 3, 16]), st.integers(1, 3)),
    activation=st.booleans(),
    size=st.sampled_from([1, 2, 17, 64, 257]),
    batch_size=st.sampled_from([None, 1, 16, 32, 256]),
    optimizer_kind=st.sampled_from(["adam", "sgd"]),
    weight_decay=st.sampled_from([0.0, 0.01]),
    plateau=st.sampled_from([None, PLATEAU]),
    mu=st.sampled_from([0.0, 0.3]),
    named=st.sampled_from(["", "core", "output"]),
    shifted=st.booleans(),
)
def test_the_weights_are_those_of_autograd_bit_by_bit(
    kind: str, n_features: int, layers: int, width: int, dropout: float,
    extension: tuple[int, int], activation: bool, size: int, batch_size: int | None,
    optimizer_kind: str, weight_decay: float, plateau: dict[str, float] | None, mu: float,
    named: str, shifted: bool,
) -> None:  # fmt: skip
    made = {
        "hidden_layers": layers,
        "width": width,
        "dropout": dropout,
        "extension_width": extension[0],
        "extension_tiers": [{"min_rows": 0, "layers": extension[1]}],
        "combining_activation": activation,
    }
    other = get_arrays(network(kind, n_features, 1, **made))
    beside = {name: array for name, array in other.items() if name.startswith(named)}
    told = optimizer(
        kind=optimizer_kind, weight_decay=weight_decay, batch_size=batch_size, plateau=plateau
    )

    def trained() -> tuple[float, Network]:
        model = network(kind, n_features, **made)
        loss = train_epochs(
            model,
            rows(size, n_features),
            rows(9, n_features),
            told,
            epochs=3,
            seed=4,
            proximal=Proximal(mu, beside) if mu else None,
            shift={name: 0.1 * array for name, array in beside.items()} if shifted else None,
        )
        return loss, model

    loss, model = trained()
    with pytest.MonkeyPatch.context() as patch:
        by_autograd(patch)
        expected_loss, expected = trained()
    assert loss == expected_loss
    assert_same(model, expected)


@pytest.mark.parametrize("kind", ["mlp", "adaptive"])
def test_the_gradients_are_those_of_autograd(kind: str) -> None:
    model, data = network(kind, 5, dropout=0.0), rows(20, 5)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(data.x), data.y)
    loss.backward()
    expected = {name: weight.grad for name, weight in model.weights.items()}
    assert fast_gradients.applies(model, data.x)
    with torch.no_grad():
        assert fast_gradients.Gradients(model).write(data.x, data.y) == loss
    for name, weight in model.weights.items():
        assert weight.grad is not None
        assert weight.grad is not expected[name]
        torch.testing.assert_close(weight.grad, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["mlp", "adaptive"])
def test_a_fit_is_the_same_bit_by_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted() -> tuple[list[tuple[float, float]], Network]:
        model = network(kind, 5)
        done = fit(
            model,
            rows(100, 5),
            rows(40, 5),
            optimizer(plateau=PLATEAU),
            epochs=12,
            patience=3,
            epochs_without_validation=0,
            start_is_candidate=True,
            seed=2,
        )
        return [(record.train_loss, record.validation.loss) for record in done.records], model

    losses, model = fitted()
    by_autograd(monkeypatch)
    expected_losses, expected = fitted()
    assert losses == expected_losses
    assert_same(model, expected)


@pytest.mark.parametrize(("kind", "rate"), [("sgd", 1e30), ("adam", 1e30), ("adam", 3e38)])
def test_divergence_is_the_same_error(
    kind: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error() -> str:
        told = optimizer(kind=kind, learning_rate=rate, batch_size=None)
        with pytest.raises(TrainingDivergedError) as caught:
            train_epochs(network("mlp", 5), rows(40, 5), rows(0, 5), told, epochs=5, seed=0)
        return str(caught.value)

    written = error()
    by_autograd(monkeypatch)
    assert written == error()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_an_error(value: float) -> None:
    model = network("mlp", 5, hidden_layers=1, dropout=0.0)
    shift = {"output.weight": np.zeros((1, 8), np.float32)}
    shift["output.weight"][0, 3] = value
    told = optimizer(kind="sgd", batch_size=None)
    with pytest.raises(TrainingDivergedError, match="a weight after epoch 1"):
        train_epochs(model, rows(40, 5), rows(0, 5), told, epochs=1, seed=0, shift=shift)


class Other(MLP):
    """A network of another kind, as far as anybody knows."""


def test_other_networks_and_devices_stay_with_autograd() -> None:
    told = NetworkParameters.model_validate(
        {
            "hidden_layers": 1,
            "width": 2,
            "dropout": 0.0,
            "extension_width": 1,
            "extension_tiers": [{"min_rows": 0, "layers": 1}],
            "combining_activation": False,
            "combining_personal": False,
        }
    )
    x = rows(3, 5).x
    assert fast_gradients.applies(MLP(5, told), x)
    assert not fast_gradients.applies(Other(5, told), x)
    assert not fast_gradients.applies(MLP(5, told), x.to("meta"))
