"""What travels of the two networks, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from ms_pfl.learning.networks import build_network, get_arrays
from ms_pfl.learning.parameters import NetworkParameters
from ms_pfl.personalization.method import Arrays, Method
from ms_pfl.personalization.partial import DualBranch, SharedNetwork
from ms_pfl.personalization.private_intercept import PrivateIntercept

PUBLISHED_TIERS = [(25001, 5), (20000, 4), (15000, 3), (10000, 2), (0, 1)]


def published(**changes: object) -> NetworkParameters:
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


def parts(
    method: type[Method], parameters: NetworkParameters, rows: int = 0
) -> tuple[Arrays, Arrays]:
    """The arrays that travel, and those that stay."""
    arrays = get_arrays(build_network(method.kind, 42, parameters, rows, 0))
    shared = method(parameters).shared(arrays)
    assert all(shared[name] is arrays[name] for name in shared)
    return shared, {name: array for name, array in arrays.items() if name not in shared}


def count(arrays: Arrays) -> int:
    return sum(np.size(array) for array in arrays.values())


def test_all_of_the_mlp_travels() -> None:
    shared, own = parts(SharedNetwork, published())
    assert (count(shared), count(own)) == (1_073_153, 0)


@pytest.mark.parametrize(
    ("training_rows", "personal"),
    [
        (5, 2_752),
        (9_999, 2_752),
        (10_000, 6_912),
        (15_000, 11_072),
        (20_000, 15_232),
        (25_000, 15_232),
        (25_001, 19_392),
    ],
)
def test_the_adaptive_net_shares_and_keeps_the_published_numbers_of_parameters(
    training_rows: int, personal: int
) -> None:
    shared, own = parts(DualBranch, published(), training_rows)
    assert (count(shared), count(own)) == (1_368_577, personal)


def test_a_personal_combining_layer_is_a_switch() -> None:
    shared, own = parts(DualBranch, published(combining_personal=True))
    assert {name.split(".")[0] for name in own} == {"extension", "combining"}
    assert {name.split(".")[0] for name in shared} == {"core", "output"}


def test_of_the_private_intercept_one_number_stays() -> None:
    shared, own = parts(PrivateIntercept, published())
    assert list(own) == ["output.bias"]
    assert (count(shared), count(own)) == (1_073_152, 1)
