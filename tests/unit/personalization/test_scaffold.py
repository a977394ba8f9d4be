"""SCAFFOLD: rounds redone in numpy, where all sites train and where some sit out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from federation_examples import as_vector, gradient, initial
from method_examples import (
    DATA,
    EPOCHS,
    ROUNDS,
    SITES,
    SIZES,
    assert_goes_on,
    assert_private_state_is_in_no_message,
    assert_scores,
    plain,
    play,
)
from ms_pfl.federation.strategies import draw
from ms_pfl.personalization.scaffold import CONTROL

RATE = 0.8
TOLD = plain("scaffold", {"learning_rate": RATE})
Vectors = list[np.ndarray]


def who_trains(fraction: float, number: int) -> list[int]:
    """The places of the sites that train in a round."""
    names = {place: f"{name} (seed 0)" for place, name in enumerate(DATA.countries)}
    return sorted(draw(names, fraction, 0, number))


def redone(fraction: float) -> tuple[Vectors, Vectors, list[Vectors]]:
    """Model, server's and sites' control variates after each round (Karimireddy et al., 2020)."""
    x = as_vector(initial(TOLD, n_features=2))
    c, own = np.zeros(3), [np.zeros(3) for _ in SITES]
    models, controls, all_own = [], [], []
    for number in range(1, ROUNDS + 1):
        trained, changes = [], []
        places = who_trains(fraction, number)
        for place in places:
            y = x
            for _ in range(EPOCHS):
                y = y - RATE * (gradient(y, *SITES[place]["train"]) - own[place] + c)
            after = own[place] - c + (x - y) / (EPOCHS * RATE)
            trained.append(y)
            changes.append(after - own[place])
            own[place] = after
        rows = [SIZES[place] for place in places]
        x = np.average(trained, axis=0, weights=rows)
        c = c + len(places) / len(SITES) * np.average(changes, axis=0, weights=rows)
        models.append(x)
        controls.append(c)
        all_own.append(list(own))
    return models, controls, all_own


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_three_rounds_by_hand(fraction: float) -> None:
    rounds, (models, controls, own) = play(TOLD, fraction), redone(fraction)
    for place in range(ROUNDS):
        number = place + 1
        found = as_vector(rounds.shared(number))
        np.testing.assert_allclose(found, models[place], rtol=0, atol=1e-6)
        control = as_vector(rounds.further(number, CONTROL))
        np.testing.assert_allclose(control, controls[place], rtol=0, atol=1e-6)
        for site, variate in zip(DATA.countries, own[place], strict=True):
            kept = as_vector(rounds.private(number, site))
            np.testing.assert_allclose(kept, variate, rtol=0, atol=1e-6)
    trained = [len(who_trains(fraction, number)) for number in range(1, ROUNDS + 1)]
    assert trained == [round(2 * fraction)] * ROUNDS


def test_both_sites_train_in_some_round_where_one_sits_out() -> None:
    """Else partial participation would be no test."""
    assert {place for number in (1, 2, 3) for place in who_trains(0.5, number)} == {0, 1}


def test_with_all_sites_the_servers_variate_is_the_mean_of_theirs() -> None:
    rounds = play(TOLD)
    for number in range(1, ROUNDS + 1):
        own = [as_vector(rounds.private(number, site)) for site in DATA.countries]
        mean = np.average(own, axis=0, weights=SIZES)
        found = as_vector(rounds.further(number, CONTROL))
        np.testing.assert_allclose(found, mean, rtol=0, atol=1e-6)
    assert np.abs(own[0] - own[1]).max() > 0.1


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_the_shared_model_is_scored_and_predicts(fraction: float) -> None:
    rounds, (models, _, _) = play(TOLD, fraction), redone(fraction)
    assert_scores(rounds, [[w, w] for w in models])
    assert rounds.selected == {"A": {}, "B": {}}


def test_the_variates_of_the_sites_are_in_no_message() -> None:
    """Of the first round they are what is sent: the change from 0."""
    assert_private_state_is_in_no_message(play(TOLD), {CONTROL})


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_after_a_cut_the_bits_are_the_same(tmp_path: Path, fraction: float) -> None:
    assert_goes_on(TOLD, tmp_path, fraction)
