"""The strict strategies: hand-made means, order, and replies that are missing or wrong."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from federation_examples import STRATEGIES, data_of, nodes_of
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import (
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
    to_arrays,
    to_record,
)
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import (
    FedAvgParameters,
    FedProxParameters,
    StrategiesParameters,
)
from ms_pfl.federation.strategies import draw, make_strategy, mean_over_sites
from ms_pfl.federation.sums import times_rows

FEDAVG = FedAvgParameters(epochs=1)
START = {"w": np.zeros(2, np.float32)}


@pytest.fixture
def grid() -> LocalGrid:
    data = data_of({"BE": 10, "AU": 10})
    return LocalGrid(data, nodes_of(data))


def trained(message: Message, w: list[float], n: int) -> Message:
    arrays = to_record(times_rows({"w": np.array(w, dtype=np.float32)}, n, sites=2))
    metrics = MetricRecord({"num-examples": n, "train-loss": 1.0})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def test_fedavg_is_the_mean_weighted_by_rows(grid: LocalGrid) -> None:
    """AU: (1, 2) from 1 row, BE: (5, 6) from 3 rows -> (1 + 15) / 4, (2 + 18) / 4."""
    strategy = make_strategy(FEDAVG)
    au, be = strategy.configure_train(1, to_record(START), ConfigRecord(), grid)
    replies = [trained(be, [5, 6], 3), trained(au, [1, 2], 1)]
    arrays, _ = strategy.aggregate_train(1, replies)
    mean = to_arrays(arrays)["w"]
    np.testing.assert_array_equal(mean, [4, 5])
    assert mean.dtype == np.float32


def test_the_order_of_replies_changes_no_bit(grid: LocalGrid) -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=2).tolist() for _ in range(2)]
    means = []
    for order in (1, -1):
        strategy = make_strategy(FEDAVG)
        sent = strategy.configure_train(1, to_record(START), ConfigRecord(), grid)
        replies = [trained(m, v, n) for m, v, n in zip(sent, values, (3, 7), strict=True)]
        means.append(to_arrays(strategy.aggregate_train(1, replies[::order])[0])["w"])
    np.testing.assert_array_equal(means[0], means[1])


def test_messages_go_in_the_order_of_the_countries(grid: LocalGrid) -> None:
    state = random.getstate()
    strategy = make_strategy(FEDAVG)
    for number in range(1, 9):
        messages = strategy.configure_train(number, to_record(START), ConfigRecord(), grid)
        names = [grid.name_of(message.metadata.dst_node_id) for message in messages]
        assert names == ["AU (seed 0)", "BE (seed 0)"]
        assert messages[0].content["config"]["server-round"] == number
    assert random.getstate() == state


def test_fedprox_sends_its_mu_and_fedavg_none(grid: LocalGrid) -> None:
    prox = make_strategy(FedProxParameters(epochs=1, proximal_mu=0.25))
    for strategy, mu in ((prox, 0.25), (make_strategy(FEDAVG), None)):
        for message in strategy.configure_train(1, to_record(START), ConfigRecord(), grid):
            assert message.content["config"].get("proximal-mu") == mu


def test_a_missing_a_wrong_and_a_double_reply_raise(grid: LocalGrid) -> None:
    strategy = make_strategy(FEDAVG)
    au, be = strategy.configure_train(1, to_record(START), ConfigRecord(), grid)
    good = trained(au, [1, 2], 1)
    with pytest.raises(ClientError, match=r"no reply came from BE \(seed 0\)"):
        strategy.aggregate_train(1, [good])
    with pytest.raises(ClientError, match=r"no reply came from AU .*, BE"):
        strategy.aggregate_train(1, [])
    error = Message(Error(code=0, reason="disk full"), reply_to=be)
    with pytest.raises(ClientError, match=r"BE .* answered with an error: disk full"):
        strategy.aggregate_train(1, [good, error])
    with pytest.raises(ClientError, match="a reply too many came from AU"):
        strategy.aggregate_train(1, [good, good])


@pytest.mark.parametrize(
    ("fraction", "sizes"),
    [(1.0, [1, 2, 5, 32]), (0.6, [1, 1, 3, 19]), (0.4, [1, 1, 2, 12]), (0.01, [1, 1, 1, 1])],
)
def test_how_many_are_drawn(fraction: float, sizes: list[int]) -> None:
    for n, size in zip((1, 2, 5, 32), sizes, strict=True):
        names = {i: f"country {i}" for i in range(n)}
        assert len(draw(names, fraction, 0, 1)) == size


def test_a_fraction_that_binary_numbers_miss_is_not_rounded_down() -> None:
    """0.29 x 100 is 28.999999999999996 to a machine, and 0.57 x 100 is 56.99999999999999."""
    names = {i: f"country {i}" for i in range(100)}
    assert [len(draw(names, fraction, 0, 1)) for fraction in (0.29, 0.57)] == [29, 57]


def test_each_seed_and_each_round_has_a_draw_of_its_own(grid: LocalGrid) -> None:
    """One of two trains: over 20 rounds the same ones by chance once in 2^20."""

    def drawn(seed: int) -> list[int]:
        strategy = make_strategy(FEDAVG, fraction=0.5, seed=seed)
        sent = [
            strategy.configure_train(number, to_record(START), ConfigRecord(), grid)
            for number in range(1, 21)
        ]
        return [message.metadata.dst_node_id for (message,) in sent]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert set(drawn(0)) == {1, 2}


@given(
    names=st.lists(st.text(min_size=1), min_size=2, max_size=12, unique=True),
    seed=st.integers(0, 9),
    number=st.integers(1, 400),
    random=st.randoms(use_true_random=False),
)
def test_the_draw_knows_names_and_not_their_order(
    names: list[str], seed: int, number: int, random: random.Random
) -> None:
    drawn = {names[i] for i in draw(dict(enumerate(names)), 0.5, seed, number)}
    mixed = random.sample(names, len(names))
    assert {mixed[i] for i in draw(dict(enumerate(mixed)), 0.5, seed, number)} == drawn


def test_everybody_has_the_same_chance() -> None:
    """12 of 32 in 2,000 rounds: 750 times each, give or take four standard errors (21.7)."""
    names = {i: f"country {i}" for i in range(32)}
    drawn = [draw(names, 0.4, 0, number) for number in range(1, 2001)]
    counts = np.bincount([i for nodes in drawn for i in nodes], minlength=32)
    assert np.abs(counts - 750).max() < 87


def test_a_mean_over_sites_leaves_out_what_is_undefined() -> None:
    nan = float("nan")
    assert mean_over_sites([(1.0, 2), (4.0, 1), (nan, 9)]) == 2.0
    assert np.isnan(mean_over_sites([(nan, 2), (3.0, 0)]))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 70_000)), min_size=2, max_size=9),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_sites_changes_no_bit_of_a_mean(
    scores: list[tuple[float, int]], random: random.Random
) -> None:
    assert mean_over_sites(random.sample(scores, len(scores))) == mean_over_sites(scores)


def test_settings_of_strategies() -> None:
    strategies = StrategiesParameters.model_validate(STRATEGIES)
    assert strategies.of("fedprox") == FedProxParameters(epochs=2, proximal_mu=0.5)
    with pytest.raises(InputError, match="no strategy 'fedsgd'; there are: fedavg, fedprox"):
        strategies.of("fedsgd")
    with pytest.raises(ValidationError, match="proximal_mu"):
        StrategiesParameters.model_validate(STRATEGIES | {"fedavg": STRATEGIES["fedprox"]})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # change (2, -4), eta 0.5, tau 1; the moments begin at 0
        # m = 0.4 d, v = 0.1 d^2, rate 0.5 sqrt(1 - 0.9^2) / (1 - 0.6^2)
        ("fedadam", [0.340539 * 0.8 / (0.632456 + 1), -0.340539 * 1.6 / (1.264911 + 1)]),
        # v = d^2 (1 - 0.9), as Adam's in the first round; no bias correction
        ("fedyogi", [0.5 * 0.8 / (0.632456 + 1), -0.5 * 1.6 / (1.264911 + 1)]),
        # m = d, v = d^2
        ("fedadagrad", [0.5 * 2 / (2 + 1), -0.5 * 4 / (4 + 1)]),
    ],
)
def test_the_first_server_step_by_hand(grid: LocalGrid, name: str, expected: list[float]) -> None:
    settings = {"epochs": 1, "eta": 0.5, "tau": 1.0}
    if name != "fedadagrad":
        settings |= {"beta_1": 0.6, "beta_2": 0.9}
    told = StrategiesParameters.model_validate(STRATEGIES | {name: settings}).of(name)
    strategy = make_strategy(told)
    sent = strategy.configure_train(1, to_record(START), ConfigRecord(), grid)
    arrays, _ = strategy.aggregate_train(1, [trained(message, [2, -4], 5) for message in sent])
    found = to_arrays(arrays)["w"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
