"""Which values are shown: by hand, and that none is that of a few patients, whatever there is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.studies.coefficients.values import Comparison, Values


def values_of(counts: dict[float, int], rows_each: int = 1) -> Values:
    """So many patients of their own with each value, NaN = missing."""
    column = np.repeat(list(counts), [n * rows_each for n in counts.values()])
    patients = np.repeat(np.arange(sum(counts.values())), rows_each)
    order = np.random.default_rng(0).permutation(len(column))
    return Values.of(column[order].astype(np.float32), patients[order].astype(np.int32))


def test_ten_patients_have_a_value_that_is_shown() -> None:
    found = values_of({0: 30, 1: 10, 2: 9, 3: 40, np.nan: 3})
    assert found.common.tolist() == [0, 1, 3]
    assert found.shown.tolist() == [0, 1, 3]
    assert found.n_missing == 3
    np.testing.assert_allclose(
        found.share_up_to(np.array([0.0, 1.0, 2.5, 3.0])), np.array([30, 40, 49, 89]) / 89
    )


def test_many_rows_of_one_patient_are_one_patient() -> None:
    assert values_of({0: 9, 1: 10}, rows_each=5).common.tolist() == [1]


def test_a_share_says_nothing_of_few_patients_beyond_the_last_value() -> None:
    """Beyond 2 there are 9 patients, so that 2 is not shown: beyond 1 there are 21."""
    found = values_of({0: 50, 1: 30, 2: 12, 3: 5, 4: 4})
    assert found.common.tolist() == [0, 1, 2]
    assert found.shown.tolist() == [0, 1]


def test_the_outermost_percents_are_in_no_curve() -> None:
    """1.5 % have 0 and 0.5 % have 9; levels have no such limit."""
    found = values_of({0: 30, 5: 1960, 9: 10})
    assert found.shown.tolist() == [0, 5]
    assert found.common.tolist() == [0, 5, 9]


def test_a_continuous_feature_is_shown_at_rounded_quantiles() -> None:
    ages = np.random.default_rng(1).uniform(20, 80, 4000)
    found = Values.of(ages.astype(np.float32), np.arange(4000, dtype=np.int32))
    expected = np.quantile(ages, [0.01, *np.arange(1, 40) / 40, 0.99])
    np.testing.assert_allclose(found.shown, expected, atol=0.11)
    np.testing.assert_allclose(found.shown * 10, np.round(found.shown * 10), atol=1e-9)
    assert not np.isin(found.shown.astype(np.float32), ages.astype(np.float32)).any()
    assert found.median == pytest.approx(np.median(ages), abs=0.11)
    low, high = np.round(np.quantile(ages, [0.25, 0.75]), 1)
    how, *pair = found.comparison or ()
    assert how == "quartiles"
    np.testing.assert_allclose(pair, [low, high], atol=0.11)


def test_a_value_that_many_have_is_shown_as_it_is_among_rounded_ones() -> None:
    """Years on a drug: none for a third, else anything."""
    years = np.r_[np.zeros(500), np.random.default_rng(2).uniform(0.02, 9.9, 1000)]
    found = Values.of(years.astype(np.float32), np.arange(1500, dtype=np.int32))
    assert found.shown[0] == 0
    assert np.all(np.diff(found.shown) > 0)
    assert found.comparison == Comparison("quartiles", 0.0, found.comparison.high)


def test_what_stands_for_a_feature() -> None:
    assert values_of({0: 70, 1: 30}).comparison == Comparison("binary", 0, 1)
    assert values_of({0: 70, 1: 9}).comparison is None
    assert values_of({4: 70}).comparison is None
    assert values_of({0: 9, 1: 9, 2: 9}).comparison is None
    assert values_of({0: 80, 1: 10, 2: 10}).comparison == Comparison("ends", 0, 2)
    assert values_of({0: 26, 1: 48, 2: 26}).comparison == Comparison("quartiles", 0, 2)
    assert values_of({np.nan: 20}).comparison is None
    assert np.isnan(values_of({np.nan: 20}).median)


@given(
    numbers=st.lists(st.integers(-60, 60) | st.just(1000), min_size=1, max_size=400),
    rows_each=st.integers(1, 4),
    divisor=st.sampled_from([1, 7, 1000]),
    missing=st.integers(0, 3),
)
def test_no_value_and_no_share_is_that_of_few_patients(
    numbers: list[int], rows_each: int, divisor: int, missing: int
) -> None:
    column = np.r_[np.array(numbers) / divisor, np.full(missing, np.nan)].astype(np.float32)
    patients = (np.arange(len(column)) // rows_each).astype(np.int32)
    found = Values.of(column, patients)
    held, owners = column[~np.isnan(column)], patients[~np.isnan(column)]
    edges = np.r_[-np.inf, found.shown.astype(np.float32)]
    for low, high in pairwise(edges.tolist()):
        assert len(set(owners[(held > low) & (held <= high)])) >= 10
    if len(found.shown):
        assert len(set(owners[held > edges[-1]])) not in range(1, 10)
    if len(np.unique(held)) <= 41:
        for value in (*found.shown, *found.common):
            assert len(set(owners[held == np.float32(value)])) >= 10
