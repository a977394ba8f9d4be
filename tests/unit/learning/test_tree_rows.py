"""What a site sends for trees: sums by hand, against plain sums, and exact in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning import tree_rows, trees
from ms_pfl.learning.tree_rows import TreeRows
from tree_examples import BINS, Site, pooled, sites, told

UNIT = 2.0**-30


def splits_of(feature: list[int], last: list[int], missing_left: list[int]) -> trees.Model:
    given_ = zip(trees.SPLITS, (feature, last, missing_left), strict=True)
    return {name: np.array(values, trees.TYPES[name]) for name, values in given_}


ROOT = splits_of([-1] * 3, [64] * 3, [1] * 3)
SPLIT = splits_of([0, -1, -1], [2, 64, 64], [0, 1, 1])
COLUMNS = np.array([0, 1], np.int16)


def test_the_sums_by_hand() -> None:
    """At 0: g = p - y = -1/2 or 1/2, h = p (1 - p) = 1/4, by code; missing values in front."""
    codes = np.array([[1, 0], [3, 0], [0, 4]], np.float32)
    rows = TreeRows(codes, np.array([1, 0, 0], np.float32), told())
    slopes = rows.slopes(np.zeros(3))
    found = rows.histogram(slopes, ROOT, COLUMNS)
    g = [[0.5, -0.5, 0, 0.5, 0], [0, 0, 0, 0, 0.5]]
    h = [[0.25, 0.25, 0, 0.25, 0], [0.5, 0, 0, 0, 0.25]]
    np.testing.assert_array_equal(found, np.stack([g, h], axis=-1)[None])
    left = rows.histogram(slopes, SPLIT, COLUMNS[1:])
    np.testing.assert_array_equal(left, [[[[-0.5, 0.25]] + [[0, 0]] * 4]])
    np.testing.assert_array_equal(rows.labels, [2, 1])


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=9), st.sampled_from([1.0, 3.0, 0.3]))
def test_slopes_and_curvatures_are_rounded_to_units(margins: list[float], weight: float) -> None:
    z, y = np.array(margins), (np.arange(len(margins)) % 2).astype(np.float32)
    rows = TreeRows(np.ones((len(z), 1), np.float32), y, told(positive_weight=weight))
    found = rows.slopes(z)
    np.testing.assert_array_equal(found, np.rint(found))
    p, w = 1 / (1 + np.exp(-z)), np.where(y > 0.5, weight, 1.0)
    np.testing.assert_allclose(found * UNIT, [w * (p - y), w * p * (1 - p)], atol=3 * UNIT, rtol=0)


def test_a_row_far_out_is_finite() -> None:
    rows = TreeRows(np.ones((2, 1), np.float32), np.array([0, 1], np.float32), told())
    np.testing.assert_array_equal(rows.slopes(np.array([800, -800.0])), [[2**30, -(2**30)], [0, 0]])


@given(sites(), st.integers(0, 2), st.lists(st.integers(0, 2), min_size=1, unique=True), st.data())
def test_the_sums_of_any_partition_are_the_pooled_ones(
    parts: list[Site], levels: int, columns: list[int], data: st.DataObject
) -> None:
    """They are plain sums over the rows of each node, feature and code, to the bit."""
    splits = splits_of([0, 1, 2], [1, 2, 2], [0, 1, 0])
    for name, nothing in zip(trees.SPLITS, (-1, 64, 1), strict=True):
        splits[name][2**levels - 1 :] = nothing
        if levels == 2 and data.draw(st.booleans()):
            splits[name][1] = nothing
    chosen = np.array(sorted(columns), np.int16)
    codes, y = pooled(parts)
    margin = np.random.default_rng(len(y)).normal(size=len(y))
    whole = TreeRows(codes, y, told())
    found = whole.histogram(whole.slopes(margin), splits, chosen)

    total, begin = np.zeros_like(found), 0
    for own_codes, own_y in parts:
        own = TreeRows(own_codes, own_y, told())
        own_margin = margin[begin : begin + len(own_y)]
        total += own.histogram(own.slopes(own_margin), splits, chosen)
        begin += len(own_y)
    assert total.tobytes() == (found + 0.0).tobytes()

    place = trees.Walk(trees.by_feature(codes)).places(splits, levels)
    parents = splits["feature"][2 ** (levels - 1) - 1 : 2**levels - 1] if levels else None
    nodes = [0] if parents is None else (2 * np.flatnonzero(parents >= 0)).tolist()
    assert len(found) == len(nodes)
    slopes = whole.slopes(margin) * UNIT
    for own, node in zip(found, nodes, strict=True):
        for histogram, column in zip(own, chosen, strict=True):
            for code, sums in enumerate(histogram):
                rows = (place == node) & (codes[:, column] == code)
                np.testing.assert_array_equal(sums, slopes[:, rows].sum(axis=1))


def test_many_rows_are_added_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    codes: NDArray[np.float32] = rng.integers(0, BINS + 1, (500, 3)).astype(np.float32)
    rows = TreeRows(codes, (rng.random(500) < 0.3).astype(np.float32), told())
    slopes, columns = rows.slopes(rng.normal(size=500)), np.arange(3, dtype=np.int16)
    whole = [rows.histogram(slopes, splits, columns) for splits in (ROOT, SPLIT)]
    monkeypatch.setattr(tree_rows, "_CELLS_AT_ONCE", 100)
    parts = [rows.histogram(slopes, splits, columns) for splits in (ROOT, SPLIT)]
    for one, other in zip(whole, parts, strict=True):
        assert one.tobytes() == other.tobytes()


def test_more_rows_than_can_be_added_up_exactly_are_refused() -> None:
    tree_rows.check_rows(2**22, told(positive_weight=0.5))
    with pytest.raises(InputError, match=r"take 4,194,304 training rows at most .* are 4,194,305"):
        tree_rows.check_rows(2**22 + 1, told())
    rows = np.ones((4195, 1), np.float32)
    with pytest.raises(InputError, match=r"take 4,194 training rows .* positive_weight 1000"):
        TreeRows(rows, rows[:, 0], told(positive_weight=1000))


def test_sums_of_as_many_rows_as_allowed_are_exact() -> None:
    """The largest number of a row, as often as that: a unit more or less still shows."""
    total = float(tree_rows.MOST_ROWS) * 2**30
    assert total + 1 - total == 1
    assert total - (total - 1) == 1


def test_codes_beyond_the_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="codes beyond the 4 bins"):
        TreeRows(np.array([[5]], np.float32), np.ones(1, np.float32), told())
