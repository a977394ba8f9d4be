"""Bins of trees by hand, against plain counts, and where values are unusual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ms_pfl.errors import InputError
from ms_pfl.learning.bins import MISSING, Bins
from ms_pfl.learning.encoding import first_counts, second_counts, second_edges
from ms_pfl.learning.inputs import inputs_of, saved_inputs
from ms_pfl.learning.parameters import MOST_BINS
from tree_examples import bins_of

LARGEST = float(np.finfo(np.float32).max)
floats = st.one_of(
    st.floats(width=32, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0, -7.0, 1e-40, LARGEST, np.inf, -np.inf]),
    st.just(float("nan")),
)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def cuts_of(bins: Bins) -> list[list[float]]:
    return [cuts[cuts < LARGEST].tolist() for cuts in bins.cuts]


def test_few_levels_have_a_bin_each() -> None:
    """Codes from 1 on in the order of the values; what is between two levels is the lower one's."""
    bins = bins_of([column(3, 3, 0, np.nan), column(1.5, 3)])
    assert cuts_of(bins) == [[1.5, 3.0]]
    found = bins.apply(column(0, 1.5, 3, np.nan, -9, 1, 2.9, 99, -np.inf, np.inf))
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == [1, 2, 3, MISSING, 1, 1, 2, 3, 1, 3]


def test_many_levels_share_bins_of_equal_numbers() -> None:
    values = np.arange(64, dtype=np.float32)[:, None]
    assert cuts_of(bins_of([values], bins=4)) == [[16, 32, 48]]


def test_a_level_with_many_rows_takes_from_no_other_bin() -> None:
    """Half of the rows are 0: it is one of four bins, and the others share the rest."""
    values = np.r_[np.zeros(60), np.arange(1, 61)].astype(np.float32)[:, None]
    assert cuts_of(bins_of([values], bins=4)) == [[1, 21, 41]]


def test_a_bin_ends_at_the_nearest_cell() -> None:
    """Of 40 rows in 5 levels 20 are to be in the first bin: 18 are nearer than 33."""
    values = np.repeat([1, 2, 3, 4, 5], [9, 9, 15, 4, 3]).astype(np.float32)[:, None]
    assert cuts_of(bins_of([values], bins=2)) == [[3]]


def test_medians_are_the_bins_of_the_median_of_the_values() -> None:
    x = np.column_stack(
        [[1, 2, 3, 4, 5], [7, 7, 7, 8, 9], [np.nan, np.nan, np.nan, 1, 2], [np.nan] * 5]
    ).astype(np.float32)
    bins = bins_of([x[:2], x[2:]])
    assert bins.medians.tolist() == [3, 1, 1, MISSING]
    known = np.array([True, False, True, False])
    averaged = bins.averaged(x, ~known)
    np.testing.assert_array_equal(averaged[:, known], bins.apply(x)[:, known])
    np.testing.assert_array_equal(averaged[:, ~known], [[1, MISSING]] * 5)


@given(
    st.lists(arrays(np.float32, st.tuples(st.integers(0, 30), st.just(2)), elements=floats),
             min_size=1, max_size=4),
    st.integers(2, MOST_BINS),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_every_value_has_a_bin_whatever_the_partition(
    parts: list[np.ndarray], most: int, random: Any
) -> None:
    x = np.concatenate(parts)
    pooled = bins_of([x], most)
    random.shuffle(parts)
    found = bins_of(parts, most)
    for name, array in pooled.arrays().items():
        np.testing.assert_array_equal(array, found.arrays()[name])
    assert (found.width, found.n_features) == (2, 2)
    found.check(2)
    codes = found.apply(x)
    np.testing.assert_array_equal(codes == MISSING, np.isnan(x))
    for own, values, cuts in zip(codes.T, x.T, cuts_of(found), strict=True):
        assert own.max(initial=0) <= len(cuts) + 1 <= most
        present = values[own != MISSING]
        np.testing.assert_array_equal(
            own[own != MISSING] - 1, (present[:, None] >= np.float32(cuts)).sum(axis=1)
        )


@given(st.integers(0, 2**32 - 1), st.integers(2, MOST_BINS))
def test_bins_hold_about_as_many_rows_each(seed: int, most: int) -> None:
    """No bin has more than two shares, but for a cell that has more by itself."""
    x = np.random.default_rng(seed).normal(size=(3000, 1)).astype(np.float32)
    edges = second_edges(first_counts(x))
    largest_cell = second_counts(x, edges).max()
    held = np.bincount(bins_of([x], most).apply(x)[:, 0].astype(int))[1:]
    assert len(held) == most
    assert held.max() <= max(2 * 3000 / most, 3000 / most + largest_cell)
    assert held.min() > 0


def test_arrays_come_back_as_bins() -> None:
    bins = bins_of([column(*range(99), np.nan)], 5)
    again = saved_inputs(bins.arrays())
    assert isinstance(again, Bins)
    x = column(3, np.nan, 99)
    np.testing.assert_array_equal(again.apply(x), bins.apply(x))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cuts": np.zeros((2, MOST_BINS - 1), np.float32)}, "'cuts' of another shape"),
        ({"cuts": np.zeros((1, MOST_BINS - 1), np.float32)}, "not ascending"),
        ({"cuts": np.full((1, MOST_BINS - 1), np.nan, np.float32)}, "not finite"),
        (
            {"cuts": np.float32([[LARGEST, *range(MOST_BINS - 2)]])},
            "not ascending",
        ),
        ({"medians": np.zeros(1)}, "'medians' of the inputs is of another type"),
        ({"medians": np.float32([1.5])}, "a median in no bin"),
        ({"medians": np.float32([4])}, "a median in no bin"),
        ({"medians": np.float32([np.nan])}, "a median in no bin"),
        ({"more": np.zeros(1)}, "neither a scaler nor an encoding nor bins"),
    ],
)
def test_arrays_that_are_no_bins_are_refused(change: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(InputError, match=told):
        inputs_of(bins_of([column(1, 2, 3, np.nan)]).arrays() | change, 1)
