"""What `benchmarks/scaling.py` computes, on numbers that can be worked out by hand."""

from __future__ import annotations

import pytest

from scaling import Cost, Country, Protocol, packed
from support import read_parameters


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    """Countries of 600, 300 and 300 training rows; a row costs 1 ms, one that is scored 2."""
    costs = {"mlp": Cost(1e-3, 2e-3), "adaptive": Cost(2e-3, 2e-3)}
    countries = [Country(600, 200), Country(300, 100), Country(300, 100)]
    return Protocol(read_parameters("paper"), countries, costs, exchange=0.1)


def test_a_round_waits_for_its_slowest_worker(protocol: Protocol) -> None:
    """Ten epochs: 12 s of training and .8 s of scoring in all; the largest country has half."""
    assert protocol.slowest("mlp", 10, 1, workers=1) == pytest.approx(12.8)
    assert protocol.slowest("mlp", 10, 1, workers=2) == pytest.approx(6.4)
    assert protocol.slowest("mlp", 10, 1, workers=32) == pytest.approx(6.4)
    assert protocol.federation("mlp", "fedavg", workers=2) == pytest.approx(350 * 6.5)


def test_the_largest_country_is_where_more_cores_end(protocol: Protocol) -> None:
    assert protocol.one_job(2) < 0.6 * protocol.one_job(1)
    assert protocol.one_job(512) == protocol.one_job(3)
    assert protocol.side_by_side(512, seeds=False) < protocol.one_job(512)
    # FedProx and FedAdam, adaptive, 20 epochs: one seed's federation is the longest job
    longest = 350 * (20 * 600 * 2e-3 + 200 * 2e-3 + 0.1)
    assert protocol.side_by_side(512, seeds=True) == pytest.approx(longest)


def test_one_core_has_no_use_for_jobs_side_by_side(protocol: Protocol) -> None:
    assert protocol.side_by_side(1, seeds=True) == pytest.approx(protocol.one_job(1))


def test_jobs_are_packed_longest_first() -> None:
    assert packed([1.0, 5.0, 3.0, 2.0], 2) == 6.0
    assert packed([1.0, 5.0], 512) == 5.0


def test_steps_are_batches_of_every_pass(protocol: Protocol) -> None:
    """600, 300, 300 rows in batches of 512: 4; pooled 1,200 in batches of 1,024: 2."""
    federated = 2 * 350 * (10 + 20 + 20 + 10 + 10)
    assert protocol.steps() == 10 * (4 * (federated + 150 + 5 * 10) + 2 * 150)
