"""Encoded inputs by hand, against pooled mid-ranks, and where values are unusual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from federation_examples import INPUTS
from ms_pfl.errors import InputError
from ms_pfl.learning.encoding import (
    CELLS,
    FIRST_CELLS,
    Encoding,
    Kind,
    first_counts,
    missing_together,
    second_counts,
    second_edges,
)
from ms_pfl.learning.inputs import inputs_of, saved_inputs
from ms_pfl.learning.parameters import InputParameters
from ms_pfl.learning.scaler import Scaler

LARGEST = float(np.finfo(np.float32).max)
floats = st.one_of(
    st.floats(width=32, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0, -7.0, 1e-40, LARGEST, np.inf, -np.inf]),
    st.just(float("nan")),
)


def inputs(**changes: object) -> InputParameters:
    return InputParameters.model_validate(INPUTS | {"kind": "encoded"} | changes)


def encoding_of(
    parts: list[np.ndarray], one_hot: tuple[int, ...] = (), moments: Any = None, **changes: object
) -> Encoding:
    """The encoding that sites with these rows agree on."""
    edges = second_edges(sum(first_counts(part) for part in parts))
    counts = sum(second_counts(part, edges) for part in parts)
    together = sum(missing_together(part) for part in parts)
    return Encoding.of(edges, counts, together, inputs(**changes), one_hot, moments)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def named(encoding: Encoding) -> list[tuple[str, int]]:
    return [(told.kind.name, told.feature) for told in encoding.columns]


def exact_scores(values: np.ndarray) -> np.ndarray:
    """Normal scores of the mid-ranks of pooled values, by SciPy."""
    ranks = (rankdata(values) - 0.5) / len(values)
    return norm.ppf(np.clip(ranks, 1e-3, 1 - 1e-3))


# -- the grids -------------------------------------------------------------------------------------


def test_cells_of_the_first_grid_by_hand() -> None:
    """4 to 5 is one cell, 5 to 6 the next: two bits of the mantissa."""
    counts = first_counts(column(4, 4.5, 4.99, 5, -4, 0, -0.0, np.nan))
    assert counts.shape == (1, FIRST_CELLS)
    held = np.flatnonzero(counts[0])
    assert counts[0][held].tolist() == [1, 2, 3, 1]
    assert held[3] - held[2] == 1
    assert held[1] - held[0] > 100


@given(arrays(np.float32, st.tuples(st.integers(0, 40), st.just(2)), elements=floats))
def test_every_value_is_in_one_cell_of_each_grid(x: np.ndarray) -> None:
    present = (~np.isnan(x)).sum(axis=0)
    first = first_counts(x)
    np.testing.assert_array_equal(first.sum(axis=1), present)
    edges = second_edges(first)
    assert edges.shape == (2, CELLS - 1)
    assert np.isfinite(edges).all()
    assert (edges[:, 1:] >= edges[:, :-1]).all()
    counts = second_counts(x, edges)
    np.testing.assert_array_equal(counts.sum(axis=1), present)
    for own, grid, values in zip(counts, edges, x.T, strict=True):
        for cell in np.flatnonzero(own):
            low = -np.inf if cell == 0 else grid[cell - 1]
            high = grid[cell] if cell < CELLS - 1 else np.inf
            inside = (values >= low) & ((values < high) | (high >= LARGEST))
            assert inside.sum() >= own[cell]


def test_whole_and_half_numbers_have_cells_of_their_own() -> None:
    edss = np.repeat(np.array([0, *np.arange(1, 10, 0.5)], dtype=np.float32), 3)
    years = np.arange(60, dtype=np.float32)
    for values in (edss, years[: len(edss)], years):
        edges = second_edges(first_counts(values[:, None]))
        counts = second_counts(values[:, None], edges)[0]
        levels = np.unique(values)
        assert np.count_nonzero(counts) == len(levels)
        held = np.flatnonzero(counts)
        np.testing.assert_array_equal(edges[0][held - 1], levels)  # a cell begins with its value


def test_values_of_every_magnitude_find_room() -> None:
    values = np.concatenate([s * 2.0 ** np.arange(-140, 127, 0.1) for s in (1, -1)])
    x = values.astype(np.float32)[:, None]
    edges = second_edges(first_counts(x))
    counts = second_counts(x, edges)[0]
    assert counts.sum() == len(values)
    assert np.count_nonzero(counts) > 100


@given(
    st.lists(arrays(np.float32, st.tuples(st.integers(0, 30), st.just(2)), elements=floats),
             min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_partition_and_order_of_the_sites_change_no_bit(
    parts: list[np.ndarray], random: Any
) -> None:
    pooled = encoding_of([np.concatenate(parts)], one_hot=(0,), knots=2, bins=3, level_columns=9)
    random.shuffle(parts)
    found = encoding_of(parts, one_hot=(0,), knots=2, bins=3, level_columns=9)
    for name, array in pooled.arrays().items():
        np.testing.assert_array_equal(array, found.arrays()[name])
    x = np.concatenate(parts)
    encoded = found.apply(x)
    assert encoded.dtype == np.float32
    assert encoded.shape == (len(x), found.width)
    assert np.isfinite(encoded).all()


# -- normal scores ---------------------------------------------------------------------------------


def test_normal_scores_of_few_values_are_those_of_pooled_mid_ranks() -> None:
    """1, 1, 2, 4: mid-ranks 1/4, 1/4, 5/8, 7/8."""
    encoding = encoding_of([column(1, 4), column(np.nan, 2, 1)], indicators=False)
    found = encoding.apply(column(1, 2, 4, np.nan, 3, 0, 9, np.inf, -np.inf))
    ends = norm.ppf([0.001, 0.999])
    between = norm.ppf(0.75)  # half of the mass between 2 and 4 lies below 3: (3 + 0 / 2) / 4
    expected = [*norm.ppf([0.25, 0.625, 0.875]), 0, between, ends[0], ends[1], ends[1], ends[0]]
    assert found[:, 0] == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 2**31), st.sampled_from(["normal", "lognormal", "days", "flag"]))
def test_scores_equal_pooled_ones_within_a_cell(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    values = {
        "normal": random.normal(40, 12, 3000),
        "lognormal": random.lognormal(0, 3, 3000),
        "days": random.integers(0, 3000, 3000),
        "flag": random.integers(0, 2, 3000),
    }[kind].astype(np.float32)
    encoding = encoding_of(list(values[:, None].reshape(5, -1, 1)))
    found, exact = encoding.apply(values[:, None])[:, 0], exact_scores(values)
    counts = second_counts(values[:, None], encoding.edges)[0]
    cell = encoding.cells(values[:, None])[:, 0]
    # a value's mid-rank is off by no more than half of its cell's share
    share = counts[cell] / len(values) / 2 + 1e-9
    off = np.abs(norm.cdf(found.astype(float)) - norm.cdf(exact))
    assert (off <= share + 1e-6).all()
    assert share.max() < 0.02 or kind == "flag"


def test_roc_auc_is_that_of_pooled_ranks_within_a_thousandth() -> None:
    random = np.random.default_rng(4)
    n = 6000
    age, edss = random.normal(45, 12, n), random.integers(2, 14, n) / 2
    days = np.where(random.random(n) < 0.3, np.nan, random.exponential(400, n))
    risk = 0.9 * (edss == 3.5) - 0.03 * (age - 45) + 0.5 * np.isnan(days) - 1.5
    y = random.random(n) < 1 / (1 + np.exp(-risk))
    x = np.column_stack([age, edss, days]).astype(np.float32)
    levels = np.unique(edss)
    exact = np.column_stack([np.zeros(x.shape), edss[:, None] == levels, np.isnan(days)])
    for place, values in enumerate((age, edss, days)):
        known = ~np.isnan(values)
        exact[known, place] = exact_scores(values[known])
    encoding = encoding_of(np.array_split(x, 7), one_hot=(1,))
    assert encoding.width == 3 + len(levels) + 1
    scores = []
    for inputs_ in (encoding.apply(x), exact):
        fitted = LogisticRegression(C=1.0, max_iter=2000).fit(inputs_[::2], y[::2])
        scores.append(roc_auc_score(y[1::2], fitted.predict_proba(inputs_[1::2])[:, 1]))
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


# -- columns ---------------------------------------------------------------------------------------


def test_levels_that_one_site_alone_has_and_rare_ones() -> None:
    """Level 2 is at the second site alone; level 7 has too few rows for a column."""
    encoding = encoding_of([column(*[1] * 20, *[7] * 9), column(*[1] * 5, *[2] * 10)], one_hot=(0,))
    assert named(encoding) == [("NORMAL_SCORE", 0), ("LEVEL", 0), ("LEVEL", 0)]
    found = encoding.apply(column(1, 2, 7, 1.7, np.nan))[:, 1:]
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
    assert [told.low for told in encoding.columns[1:]] == [1, 2]


def test_a_feature_that_a_whole_site_lacks_and_one_that_all_lack() -> None:
    lacking = np.array([[np.nan, np.nan, 3], [np.nan, np.nan, 3]], dtype=np.float32)
    having = np.array([[1, np.nan, 3], [2, np.nan, 3]], dtype=np.float32)
    encoding = encoding_of([lacking, having])
    # the second is missing everywhere, the third nowhere: indicators would be constant
    assert named(encoding) == [(Kind.NORMAL_SCORE.name, i) for i in range(3)] + [("MISSING", 0)]
    found = encoding.apply(np.concatenate([lacking[:1], having]))
    expected = [[0, 0, 0, 1], [norm.ppf(0.25), 0, 0, 0], [norm.ppf(0.75), 0, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_constant_feature_says_nothing() -> None:
    encoding = encoding_of([column(*[5] * 30)])
    np.testing.assert_array_equal(encoding.apply(column(5, 5)), 0)


def test_features_missing_at_once_have_one_indicator() -> None:
    gone = np.array([[np.nan, np.nan, 1], [1, 2, np.nan], [4, 5, 6]], dtype=np.float32)
    assert named(encoding_of([gone]))[3:] == [("MISSING", 0), ("MISSING", 2)]
    assert len(named(encoding_of([gone], indicators=False))) == 3


def test_shrunk_levels_of_further_features() -> None:
    x = np.column_stack([np.repeat([0, 1, 2], 20), np.repeat([0, 1], 30), np.repeat([4, 5, 6], 20)])
    encoding = encoding_of([x.astype(np.float32)], one_hot=(0,), level_columns=5, level_scale=0.1)
    # an indicator of two values says all that its normal score says
    assert named(encoding)[3:] == [("LEVEL", 0)] * 3 + [("LEVEL", 2)] * 3
    found = encoding.apply(x[-1:].astype(np.float32))[0, 3:]
    np.testing.assert_allclose(found, [0, 0, 1, 0, 0, 0.1])
    none = encoding_of([x.astype(np.float32)], level_columns=2)
    assert len(named(none)) == 3


def test_splines_and_pieces_of_continuous_features() -> None:
    values = np.arange(64, dtype=np.float32)
    x = np.column_stack([values, values % 3])
    encoding = encoding_of([x], knots=2, knot_scale=0.3, bins=4)
    assert named(encoding)[2:] == [("HINGE", 0)] * 2 + [("PIECE", 0)] * 4
    found = encoding.apply(x)
    z = exact_scores(values)
    for place, knot in ((2, norm.ppf(1 / 3)), (3, norm.ppf(2 / 3))):
        np.testing.assert_allclose(found[:, place], 0.3 * np.maximum(0, z - knot), atol=1e-6)
    for place, (low, high) in enumerate([(0, 15), (15, 31), (31, 47), (47, 63)], start=4):
        np.testing.assert_allclose(
            found[:, place], np.clip((values - low) / (high - low), 0, 1), atol=1e-6
        )


def test_standardized_numbers() -> None:
    x = column(1, 3, 5, np.nan)
    encoding = encoding_of([x], moments=(np.array([3.0]), np.array([2.0])), numbers="standardized")
    np.testing.assert_allclose(encoding.apply(x), [[-1, 0], [0, 0], [1, 0], [0, 1]])
    assert np.isfinite(encoding.apply(column(np.inf, -np.inf))).all()


def test_a_continuous_feature_cannot_be_one_hot() -> None:
    x = np.repeat(np.arange(200, dtype=np.float32), 10)[:, None]
    with pytest.raises(InputError, match=r"one_hot: a feature has \d+ levels or more, and 64 at"):
        encoding_of([x], one_hot=(0,))


def test_names_of_one_hot_features() -> None:
    assert inputs().one_hot_of(("AGE", "EDSS_at_0")) == (1,)
    assert inputs().one_hot_of(("AGE", "BMI")) == ()
    assert inputs(one_hot=("BMI",)).one_hot_of(("AGE", "BMI")) == (1,)
    with pytest.raises(InputError, match=r"no feature 'BMJ'; there are: AGE, BMI"):
        inputs(one_hot=("BMJ",)).one_hot_of(("AGE", "BMI"))


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_no_encoding_is_wider_than_its_settings_allow(
    knots: int, bins: int, levels: int, one_hot: bool
) -> None:
    random = np.random.default_rng(knots + 4 * bins)
    x = np.column_stack([random.integers(0, 20, 500), random.normal(size=500)]).astype(np.float32)
    x[random.random(x.shape) < 0.1] = np.nan
    told: dict[str, Any] = {"knots": knots, "bins": bins, "level_columns": 8 * levels}
    encoding = encoding_of([x], one_hot=(0,) if one_hot else (), **told)
    names = ("A",) if one_hot else ()
    assert encoding.width <= inputs(one_hot=names, **told).largest_width(2)


def test_means_of_the_columns_over_the_training_rows() -> None:
    random = np.random.default_rng(2)
    x = np.column_stack(
        [random.integers(0, 4, 400), random.integers(0, 60, 400), np.ones(400)]
    ).astype(np.float32)
    x[random.random(x.shape) < 0.2] = np.nan
    encoding = encoding_of([x[:100], x[100:]], one_hot=(0,), knots=2, bins=3)
    np.testing.assert_allclose(
        encoding.means, encoding.apply(x).mean(axis=0, dtype=np.float64), atol=1e-6
    )
    moments = (np.nanmean(x, axis=0).astype(float), np.ones(3))
    standardized = encoding_of([x], moments=moments, numbers="standardized")
    found = standardized.apply(x).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(standardized.means, found, atol=1e-6)


def test_features_at_their_training_means() -> None:
    x = np.column_stack([np.repeat([1, 2], 20), np.tile([np.nan, 7, 8, 9], 10)]).astype(np.float32)
    encoding = encoding_of([x], one_hot=(0,))
    assert named(encoding)[2:] == [("LEVEL", 0), ("LEVEL", 0), ("MISSING", 1)]
    plain = encoding.apply(x)
    first = encoding.averaged(x, np.array([True, False]))
    np.testing.assert_allclose(first[:, [0, 2, 3]], [[0, 0.5, 0.5]] * 40, atol=1e-7)
    np.testing.assert_array_equal(first[:, [1, 4]], plain[:, [1, 4]])
    second = encoding.averaged(x, np.array([False, True]))
    np.testing.assert_allclose(second[:, [1, 4]], [[encoding.means[1], 0.25]] * 40, atol=1e-7)
    np.testing.assert_array_equal(second[:, [0, 2, 3]], plain[:, [0, 2, 3]])


# -- saved and sent --------------------------------------------------------------------------------


def test_arrays_come_back_as_the_same_inputs() -> None:
    encoding = encoding_of([column(*range(40), np.nan)], one_hot=(0,), knots=1)
    scaler = Scaler(np.array([1.0]), np.array([2.0]))
    x = column(3, np.nan, 99)
    for told in (encoding, scaler):
        again = saved_inputs(told.arrays())
        assert type(again) is type(told)
        assert (again.width, again.n_features) == (told.width, 1)
        np.testing.assert_array_equal(again.apply(x), told.apply(x))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"edges": np.zeros((2, CELLS - 1), np.float32)}, "'edges' of another shape"),
        ({"scores": np.full((1, CELLS), np.nan)}, "a number that is not finite"),
        ({"edges": np.linspace(1, 0, CELLS - 1, dtype=np.float32)[None]}, "not ascending"),
        ({"kind": np.array([0, 9])}, "a column of an unknown kind"),
        ({"feature": np.array([0, 1])}, "a column of no feature"),
        ({"feature": np.array([0, -1])}, "a column of no feature"),
        ({"kind": np.array([0, int(Kind.PIECE)])}, "a column of no width"),
        ({"scale": np.array([1.0])}, "'scale' of another shape"),
        ({"kind": np.array([0.0, 1.0])}, "'kind' of the inputs is of another type"),
        ({"more": np.zeros(1)}, "neither a scaler nor an encoding"),
    ],
)
def test_arrays_that_are_no_encoding_are_refused(change: dict[str, np.ndarray], told: str) -> None:
    arrays_ = encoding_of([column(1, 2, np.nan)]).arrays() | change
    with pytest.raises(InputError, match=told):
        inputs_of(arrays_, 1)
