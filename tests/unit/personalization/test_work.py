"""Networks are used again by later work, and nothing of what they held is."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from ms_pfl.learning.networks import Network, build_network, get_arrays
from ms_pfl.learning.parameters import NetworkParameters, OptimizerParameters
from ms_pfl.learning.scoring import Rows
from ms_pfl.learning.seeds import initial_seed
from ms_pfl.personalization.work import Work

TOLD = NetworkParameters.model_validate(
    {
        "hidden_layers": 1,
        "width": 4,
        "dropout": 0.1,
        "extension_width": 1,
        "extension_tiers": [{"min_rows": 0, "layers": 1}],
        "combining_activation": False,
        "combining_personal": False,
    }
)
ADAM = OptimizerParameters(
    kind="adam", learning_rate=0.1, weight_decay=0.0, batch_size=None, plateau=None
)
ROWS = Rows(torch.ones(3, 2), torch.ones(3))
BUILD = partial(build_network, "mlp", 2, TOLD, 0)


def work(spare: list[Network]) -> Work:
    return Work("AU", 0, ROWS, ROWS, ADAM, BUILD, torch.device("cpu"), 5, epochs=2, spare=spare)


def arrays(seed: int) -> dict[str, np.ndarray]:
    return get_arrays(BUILD(seed))


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_network_is_used_again_and_trains_as_a_new_one() -> None:
    spare: list[Network] = []
    with work(spare) as first:
        used = first.network(arrays(1))
        first.train(used)
    assert spare == [used]
    with work(spare) as again, work([]) as new:
        network, other = again.network(arrays(2)), new.network(arrays(2))
        assert network is used
        assert other is not used
        assert same(get_arrays(network), arrays(2))
        assert again.train(network) == new.train(other)
        assert same(get_arrays(network), get_arrays(other))
    assert spare == [used]


def test_networks_that_are_in_use_are_not_given_out() -> None:
    spare: list[Network] = []
    with work(spare) as first:
        a = first.network(arrays(1))
        first.train(a)
        trained = get_arrays(a)
        b = first.network(arrays(2))
        with work(spare) as second:
            c = second.network(arrays(3))
        assert same(get_arrays(a), trained)
        assert same(get_arrays(b), arrays(2))
    assert len({id(network) for network in (a, b, c)}) == 3
    assert len(spare) == 3


def test_arrays_that_are_not_given_have_initial_values() -> None:
    spare = [BUILD(1)]
    given = {name: array for name, array in arrays(2).items() if name.startswith("core.")}
    with work(spare) as part:
        network = part.network(given)
        rest = {name: a for name, a in arrays(initial_seed(0)).items() if name not in given}
        assert same(get_arrays(network), {**given, **rest})
        whole = part.network(given, rest)
        assert same(get_arrays(whole), {**given, **rest})
