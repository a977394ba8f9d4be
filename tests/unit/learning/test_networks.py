"""The two networks: sizes as published, seeds, and arrays in and out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ms_pfl.learning.networks import (
    AdaptiveDualBranchNet,
    array_shapes,
    build_network,
    extension_layers,
    get_arrays,
    relu_dropout,
    set_arrays,
)
from ms_pfl.learning.parameters import NetworkParameters

PUBLISHED_TIERS = [(25001, 5), (20000, 4), (15000, 3), (10000, 2), (0, 1)]


def network_parameters(**changes: object) -> NetworkParameters:
    values: dict[str, object] = {
        "hidden_layers": 5,
        "width": 512,
        "dropout": 0.1,
        "extension_width": 64,
        "extension_tiers": [{"min_rows": rows, "layers": n} for rows, n in PUBLISHED_TIERS],
        "combining_activation": False,
        "combining_personal": False,
    }
    return NetworkParameters.model_validate(values | changes)


SMALL = network_parameters(hidden_layers=2, width=6, extension_width=3, dropout=0.0)


def count(arrays: dict[str, np.ndarray]) -> int:
    return sum(array.size for array in arrays.values())


def test_the_mlp_has_the_published_number_of_parameters() -> None:
    model = build_network("mlp", 42, network_parameters(), 0, 0)
    assert count(get_arrays(model)) == 1_073_153


def test_the_forward_pass_is_the_published_formula() -> None:
    x = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]])
    for activation in (False, True):
        parameters = network_parameters(
            hidden_layers=2, width=6, extension_width=3, combining_activation=activation
        )
        model = build_network("adaptive", 3, parameters, 12_000, 7).eval()
        w = {name: array.astype(float) for name, array in get_arrays(model).items()}

        def layer(name: str, v: np.ndarray, w: dict[str, np.ndarray] = w) -> np.ndarray:
            return v @ w[f"{name}.weight"].T + w[f"{name}.bias"]

        core = extension = x.numpy().astype(float)
        for i in range(2):
            core = np.maximum(layer(f"core.{i}", core), 0)
            extension = np.maximum(layer(f"extension.{i}", extension), 0)
        combined = layer("combining", np.concatenate([core, extension], axis=1))
        if activation:
            combined = np.maximum(combined, 0)
        np.testing.assert_allclose(
            model(x).detach().numpy(), layer("output", combined)[:, 0], rtol=1e-5, atol=1e-6
        )


def test_dropout_acts_in_training_only() -> None:
    model = build_network("mlp", 3, network_parameters(width=64, dropout=0.5), 0, 0)
    x = torch.ones(8, 3)
    assert torch.equal(model.eval()(x), model(x))
    assert not torch.equal(model.train()(x), model(x))


def test_initial_weights_come_from_the_seed_and_leave_the_random_state() -> None:
    state = torch.random.get_rng_state()
    first = get_arrays(build_network("adaptive", 4, SMALL, 0, 3))
    again = get_arrays(build_network("adaptive", 4, SMALL, 0, 3))
    other = get_arrays(build_network("adaptive", 4, SMALL, 0, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_arrays_go_in_and_out() -> None:
    a, b = (build_network("adaptive", 4, SMALL, 0, seed) for seed in (1, 2))
    core = {name: array for name, array in get_arrays(a).items() if name.startswith("core.")}
    set_arrays(b, core)
    assert isinstance(a, AdaptiveDualBranchNet)
    assert len(core) == 4
    for name, array in get_arrays(b).items():
        assert np.array_equal(array, get_arrays(a)[name]) == (name in core)
    with pytest.raises(KeyError, match="no array 'nothing'"):
        set_arrays(a, {"nothing": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match=r"output.bias.*\(2,\)"):
        set_arrays(a, {"output.bias": np.zeros(2, np.float32)})


def test_extension_layers_takes_the_first_tier_that_holds() -> None:
    tiers = network_parameters().extension_tiers
    assert [extension_layers(n, tiers) for n in (0, 10_000, 14_999, 26_000)] == [1, 2, 2, 5]


@pytest.mark.parametrize(
    "tiers",
    [
        [{"min_rows": 0, "layers": 1}, {"min_rows": 10, "layers": 2}],
        [{"min_rows": 10, "layers": 2}],
        [],
    ],
)
def test_tiers_must_fall_to_zero(tiers: list[dict[str, int]]) -> None:
    with pytest.raises(ValidationError, match="extension_tiers"):
        network_parameters(extension_tiers=tiers)


def dropped_out(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Results and gradients of 201 x 997 ones, minus ones in the last column."""
    x = torch.ones(201, 997)
    x[:, -1] = -1.0
    x.requires_grad_()
    torch.manual_seed(seed)
    y = relu_dropout(x * 1.0, 0.1)
    y.sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    y, gradient = dropped_out(seed=1)
    kept = 65536 / (65536 - 6554)  # 0.1 is 6554 / 65536 to the nearest
    inner = y[:, :-1]
    assert set(inner.unique().tolist()) == {0.0, np.float32(kept)}
    assert not y[:, -1].any()
    # five standard deviations of a share of 200,196 draws
    assert abs((inner == 0).double().mean() - 6554 / 65536) < 5 * np.sqrt(0.09 / 200_196)
    torch.testing.assert_close(gradient, y, rtol=0, atol=0)  # of ones: the same factor, or none


def test_each_seed_drops_other_values_and_the_same_ones_again() -> None:
    first, again, other = (dropped_out(seed)[0][:, :-1] == 0 for seed in (1, 1, 2))
    assert torch.equal(first, again)
    # independent draws agree in 0.1^2 + 0.9^2 of all
    assert abs((first == other).double().mean() - 0.82) < 0.01
    # neighbors too, that come from the same 64 bits
    assert abs((first[:, 1:] == first[:, :-1]).double().mean() - 0.82) < 0.01


@pytest.mark.parametrize("kind", ["mlp", "adaptive"])
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("rows", [0, 10_000, 30_000])
def test_shapes_are_known_without_building_a_network(kind: str, layers: int, rows: int) -> None:
    told = network_parameters(hidden_layers=layers, width=6, extension_width=3)
    built = get_arrays(build_network(kind, 7, told, rows, 0))
    depth = extension_layers(rows, told.extension_tiers)
    assert array_shapes(kind, 7, told, depth) == {n: array.shape for n, array in built.items()}
