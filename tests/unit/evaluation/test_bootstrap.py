"""Draws of patients, what stands in for a missing value, and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.bootstrap import (
    MIN_PATIENTS,
    draw_patients,
    intervals,
    stand_ins,
)
from patients_factory import clustered


def test_countries_keep_their_size_and_the_seed_decides() -> None:
    table = pd.concat(
        [clustered(), pd.DataFrame({"country": ["c8"], "patient_id": ["alone"], "label": [1],
                                    "probability": [0.5]})]
    )  # fmt: skip
    one, again, other = (draw_patients(table.sample(frac=1), 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.weights, again.weights)
    assert (one.weights != other.weights).any()
    assert (one.weights[:, 0] == 1).all()
    sizes = table.drop_duplicates(["country", "patient_id"]).groupby("country").size()
    by_country = pd.DataFrame(one.weights.T, columns=one.patients).T.groupby(level=0).sum()
    np.testing.assert_allclose(by_country, sizes.to_numpy()[:, None] * np.ones((1, 51)), rtol=1e-5)
    assert (one.weights[one.positions(table[table["country"] == "c8"])] == 1).all()
    assert one.n_patients() == sizes.to_dict()
    # n - 1 of n patients are drawn, each with the weight n / (n - 1)
    n = sizes["c0"]
    own = one.weights[one.patients.get_level_values(0) == "c0", 1:] * (n - 1) / n
    np.testing.assert_allclose(own.sum(axis=0), n - 1, rtol=1e-5)
    np.testing.assert_allclose(own, np.round(own), atol=1e-5)
    with pytest.raises(KeyError, match="was not drawn from"):
        one.positions(pd.DataFrame({"country": ["c9"], "patient_id": ["p0"]}))


def test_the_spread_of_a_mean_in_a_small_stratum_is_unbiased() -> None:
    """Five patients: the variance of the mean is s^2 / n with n - 1 below the line in s^2."""
    values = np.array([0.0, 0.0, 1.0, 0.0, 1.0])
    table = pd.DataFrame({"country": "c", "patient_id": list("abcde")})
    weights = draw_patients(table, 200_000, 0).weights[:, 1:].astype(float)
    means = values @ weights / weights.sum(axis=0)
    assert means.var() == pytest.approx(values.var(ddof=1) / 5, rel=0.02)


def test_a_replicate_without_a_class_takes_another_one() -> None:
    defined = np.array([True, True, False, True, False, True])
    found = stand_ins({"A": defined}, {"A": MIN_PATIENTS}, seed=0)["A"]
    assert found.donor is None
    assert found.columns[[0, 1, 3, 5]].tolist() == [0, 1, 3, 5]
    assert set(found.columns[[2, 4]]) <= {1, 3, 5}
    only_observed = stand_ins({"A": np.array([True, False])}, {"A": MIN_PATIENTS}, 0)["A"]
    assert only_observed.columns.tolist() == [0, 0]


def test_a_small_country_borrows_the_spread_of_a_larger_one() -> None:
    defined = {name: np.ones(101, dtype=bool) for name in ("large", "small")}
    patients = {"large": 80, "small": 5, "not tested": 300}
    found = stand_ins(defined, patients, seed=0)
    assert found["large"].donor is None
    small = found["small"]
    assert (small.donor, small.scale) == ("large", 4.0)
    assert small.columns[0] == 0
    assert sorted(small.columns) == list(range(101))
    # in another seed's test rows the country chooses the same
    again = stand_ins({"small": defined["small"], "large": defined["large"]}, patients, 0)
    np.testing.assert_array_equal(again["small"].columns, small.columns)
    own = np.r_[0.9, np.zeros(100)]
    large = 0.7 + np.r_[0, np.random.default_rng(0).normal(0, 0.01, 100)]
    values = small.apply(own, large)
    assert values[0] == 0.9
    assert values[1:].std() == pytest.approx(4 * large[1:].std())
    alone = stand_ins({"small": defined["small"]}, {"small": 5}, 0)["small"]
    assert alone.donor is None


def test_intervals_leave_out_what_is_undefined() -> None:
    drawn = np.vstack([np.arange(102.0), np.full(102, np.nan), np.r_[0.0, np.full(100, np.nan), 7]])
    np.testing.assert_allclose(intervals(drawn), [[3.5, 98.5], [np.nan, np.nan], [7.0, 7.0]])


def test_who_borrows_does_so_in_replicates_of_its_own() -> None:
    # in the lender's own replicates a mean over both would vary as if they were one country
    known = np.ones(501, dtype=bool)
    found = stand_ins({"A": known, "B": known, "C": known}, {"A": 40, "B": 3, "C": 3}, seed=0)
    assert [found[name].donor for name in "ABC"] == [None, "A", "A"]
    columns = {name: found[name].columns for name in "ABC"}
    for name in "BC":
        assert columns[name][0] == 0
        assert sorted(columns[name]) == list(range(501))
    for one, other in ("AB", "AC", "BC"):
        assert (columns[one][1:] == columns[other][1:]).mean() < 0.02
