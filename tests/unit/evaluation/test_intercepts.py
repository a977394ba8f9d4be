"""The intercepts: what countries share, and of each country's own what is more than chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.recalibration import ALL, correct, fit_intercepts, fit_slope


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
    # one country has no spread: Firth's intercept of 30 in 40 from even odds, ln(30.5 / 10.5), less
    # the share of its square that chance explains; 1 / SE^2 = 40 p (1 - p), p = 30.5 / 41
    table = pd.DataFrame(
        {
            "country": "A",
            "patient_id": [f"p{i}" for i in range(40)],
            "label": np.repeat([0, 1], [10, 30]).astype(np.int8),
            "probability": 0.5,
        }
    )
    crude, p = np.log(30.5 / 10.5), 30.5 / 41
    found = fit_intercepts(table)
    assert found[ALL] == pytest.approx(crude - 1 / (40 * p * (1 - p)) / crude)
    assert found["A"] == found[ALL]
    assert fit_intercepts(table[:0]) == {ALL: 0.0}


def test_what_chance_explains_is_not_corrected() -> None:
    table = pd.DataFrame(
        {
            "country": "A",
            "patient_id": list("abcd"),
            "label": np.array([0, 1, 1, 1], np.int8),
            "probability": 0.5,
        }
    )
    assert fit_intercepts(table) == {ALL: 0.0, "A": 0.0}
    assert fit_slope(table) == 1
    np.testing.assert_allclose(correct(table, np.ones(4, bool), slope=True), table["probability"])


def test_a_slope_that_the_rows_show_is_found() -> None:
    table = rows({"A": 0.0, "B": 0.0}, 4000)
    z = np.log(table["probability"] / (1 - table["probability"]))
    flat = table.assign(probability=1 / (1 + np.exp(-2 * z)))
    assert fit_slope(flat) == pytest.approx(0.5, abs=0.05)
    assert fit_slope(table) == pytest.approx(1.0, abs=0.05)
    assert fit_slope(table[:0]) == 1


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
    assert found[ALL] < found["small"] < 2.2  # all four have the outcome


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
