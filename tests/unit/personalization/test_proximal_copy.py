"""Proximal copy: rounds redone in numpy, a second model of the same shape at each site."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from federation_examples import as_vector, gradient, initial
from method_examples import (
    DATA,
    EPOCHS,
    RATE,
    ROUNDS,
    SITES,
    SIZES,
    assert_goes_on,
    assert_private_state_is_in_no_message,
    assert_scores,
    plain,
    play,
)
from ms_pfl.federation.parameters import ClientSettings


def told(pull: float) -> ClientSettings:
    return plain("proximal_copy", {"pull": pull})


def redone(pull: float) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Shared weights after each round, and the sites' copies."""
    w = as_vector(initial(told(pull), n_features=2))
    shared, copies = [], []
    for _ in range(ROUNDS):
        trained, own = [], []
        for site in SITES:
            u, v = w, w
            for _ in range(EPOCHS):
                u = u - RATE * gradient(u, *site["train"])
                v = v - RATE * (gradient(v, *site["train"]) + pull * (v - w))
            trained.append(u)
            own.append(v)
        w = np.average(trained, axis=0, weights=SIZES)
        shared.append(w)
        copies.append(own)
    return shared, copies


@pytest.mark.parametrize("pull", [0.0, 0.5])
def test_three_rounds_by_hand(pull: float) -> None:
    rounds, (shared, copies) = play(told(pull)), redone(pull)
    for number in range(1, ROUNDS + 1):
        found = as_vector(rounds.shared(number))
        np.testing.assert_allclose(found, shared[number - 1], rtol=0, atol=1e-6)
        for site, copy in zip(DATA.countries, copies[number - 1], strict=True):
            own = rounds.private(number, site)
            assert own.keys() == rounds.shared(number).keys(), "named as those that travel"
            np.testing.assert_allclose(as_vector(own), copy, rtol=0, atol=1e-6)


def test_the_pull_matters() -> None:
    """Else a reference that ignored it would do."""
    (shared, near), (same, far) = redone(0.5), redone(0.0)
    np.testing.assert_array_equal(shared, same)
    assert np.abs(near[0][0] - far[0][0]).max() > 0.01


def test_a_round_is_scored_with_its_copies_and_the_best_ones_predict() -> None:
    rounds, (_, copies) = play(told(0.5)), redone(0.5)
    assert_scores(rounds, copies)
    for place, site in enumerate(DATA.countries):
        best = copies[rounds.done.best_round - 1][place]
        np.testing.assert_allclose(as_vector(rounds.selected[site]), best, rtol=0, atol=1e-6)


def test_the_copy_is_in_no_message() -> None:
    assert_private_state_is_in_no_message(play(told(0.5)), set())


def test_after_a_cut_the_bits_are_the_same(tmp_path: Path) -> None:
    assert_goes_on(told(0.5), tmp_path)
