"""The intercepts: what countries share, and of each country's own what is more than chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.prediction.making import fit_intercepts
from ms_pfl.prediction.predictor import ALL


def rows(shifts: dict[str, float], n: int, episodes: int = 1, seed: int = 0) -> pd.DataFrame:
    """``n`` patients a country; a patient's episodes share label and probability."""
    rng = np.random.default_rng(seed)
    parts = []
    for country, shift in shifts.items():
        z = rng.normal(-1, 1, n)
        label = (rng.random(n) < 1 / (1 + np.exp(-(z + shift)))).astype(np.int8)
        part = pd.DataFrame(
            {
                "country": country,
                "patient_id": [f"{country}{i}" for i in range(n)],
                "label": label,
                "probability": 1 / (1 + np.exp(-z)),
            }
        )
        parts += [part] * episodes
    return pd.concat(parts, ignore_index=True)


def test_a_single_country_by_hand() -> None:
    # one country has no spread: Firth's intercept of 3 in 4 from even odds, ln(3.5 / 1.5)
    table = pd.DataFrame(
        {
            "country": "A",
            "patient_id": list("abcd"),
            "label": np.array([0, 1, 1, 1], np.int8),
            "probability": 0.5,
        }
    )
    found = fit_intercepts(table)
    assert found[ALL] == pytest.approx(np.log(3.5 / 1.5))
    assert found["A"] == found[ALL]
    assert fit_intercepts(table[:0]) == {ALL: 0.0}


def test_true_differences_of_large_countries_are_found() -> None:
    found = fit_intercepts(rows({"A": -1.0, "B": 0.0, "C": 1.0}, 4000))
    assert found["A"] == pytest.approx(-1, abs=0.15)
    assert found["B"] == pytest.approx(0, abs=0.15)
    assert found["C"] == pytest.approx(1, abs=0.15)


def test_a_small_country_is_drawn_towards_the_others() -> None:
    table = pd.concat(
        [
            rows({"A": -1.0, "B": 0.0, "C": 1.0}, 1000),
            rows({"small": 0.0}, 4).assign(label=np.int8(1)),
        ]
    )
    found = fit_intercepts(table)
    alone = fit_intercepts(table[table["country"] == "small"])["small"]
    assert alone > 2.5  # all four have the outcome
    assert found[ALL] < found["small"] < 2


def test_episodes_of_the_same_patients_are_no_further_evidence() -> None:
    shifts = dict.fromkeys("ABCDEFGHIJ", 0.0)
    few = fit_intercepts(rows(shifts, 30))
    repeated = fit_intercepts(rows(shifts, 30, episodes=10))
    for country in few:
        assert repeated[country] == pytest.approx(few[country], abs=0.02)


def test_countries_that_differ_by_chance_alone_get_the_same() -> None:
    spreads = []
    for seed in range(20):
        found = fit_intercepts(rows(dict.fromkeys("ABCDEFGHIJKLMNOP", 0.0), 12, 8, seed))
        own = [value - found[ALL] for name, value in found.items() if name != ALL]
        spreads.append(max(map(abs, own)))
    assert np.median(spreads) < 0.1
