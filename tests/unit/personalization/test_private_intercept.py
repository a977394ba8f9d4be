"""Private intercept: rounds redone in numpy, from initial values of each site's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
from ms_pfl.learning.networks import build_network, get_arrays
from ms_pfl.learning.seeds import derive_seed

TOLD = plain("private_intercept")


def redone() -> tuple[list[np.ndarray], list[list[float]]]:
    """Shared weights after each round, and the sites' intercepts."""
    w = as_vector(initial(TOLD, n_features=2))
    assert w.shape == (2,), "the intercept does not travel"
    own = [
        float(get_arrays(build_network("mlp", 2, TOLD.network, 0, seed))["output.bias"][0])
        for seed in (derive_seed(0, name, "initial") for name in DATA.countries)
    ]
    shared, intercepts = [], []
    for _ in range(ROUNDS):
        trained = []
        for site, b in zip(SITES, own, strict=True):
            v = np.r_[w, b]
            for _ in range(EPOCHS):
                v = v - RATE * gradient(v, *site["train"])
            trained.append(v)
        w, own = np.average(trained, axis=0, weights=SIZES)[:2], [float(v[2]) for v in trained]
        shared.append(w)
        intercepts.append(own)
    return shared, intercepts


def test_three_rounds_by_hand() -> None:
    rounds, (shared, intercepts) = play(TOLD), redone()
    for number in range(1, ROUNDS + 1):
        found = rounds.shared(number)
        assert list(found) == ["output.weight"]
        np.testing.assert_allclose(as_vector(found), shared[number - 1], rtol=0, atol=1e-6)
        for site, b in zip(DATA.countries, intercepts[number - 1], strict=True):
            own = rounds.private(number, site)
            assert list(own) == ["output.bias"]
            np.testing.assert_allclose(own["output.bias"], [b], rtol=0, atol=1e-6)
    assert abs(intercepts[-1][0] - intercepts[-1][1]) > 0.1


def test_a_round_is_scored_with_its_intercepts_and_the_best_ones_predict() -> None:
    rounds, (shared, intercepts) = play(TOLD), redone()
    weights = [[np.r_[w, b] for b in own] for w, own in zip(shared, intercepts, strict=True)]
    assert_scores(rounds, weights)
    for place, site in enumerate(DATA.countries):
        best = intercepts[rounds.done.best_round - 1][place]
        np.testing.assert_allclose(rounds.selected[site]["output.bias"], [best], rtol=0, atol=1e-6)


def test_the_intercept_is_in_no_message() -> None:
    rounds = play(TOLD)
    assert_private_state_is_in_no_message(rounds, set())
    for _, _, content in rounds.traffic:
        assert not any("output.bias" in record for record in content.values())


def test_after_a_cut_the_bits_are_the_same(tmp_path: Path) -> None:
    assert_goes_on(TOLD, tmp_path)
