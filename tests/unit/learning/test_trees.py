"""Models of trees: the way of rows by hand, log-odds, joined models, and arrays that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ms_pfl.errors import InputError
from ms_pfl.learning import trees
from ms_pfl.learning.parameters import MOST_BINS
from tree_examples import same_bits


def model(feature: Any, last: Any, missing_left: Any, value: Any, base: float = 0.0) -> trees.Model:
    """A model of trees that are given as lists."""
    return {
        "feature": np.array(feature, np.int16),
        "bin": np.array(last, np.int16),
        "missing_left": np.array(missing_left, np.uint8),
        "value": np.array(value, np.float64),
        "base": np.array([base]),
    }


#: Feature 1 at most 2 or missing goes left; there feature 0 at most 1 does, but not if missing.
HAND = model([[1, 0, -1]], [[2, 1, MOST_BINS]], [[1, 0, 1]], [[1.0, 2.0, 4.0, 8.0]], base=0.5)


@st.composite
def models(draw: st.DrawFn, features: int = 3) -> trees.Model:
    """Models of up to five trees of any depth, as they are grown."""
    depth, number = draw(st.integers(1, 4)), draw(st.integers(0, 5))
    found = trees.start(depth, draw(st.floats(-2, 2)), number)
    for tree in range(number):
        for node in range(2**depth - 1):
            if draw(st.booleans()) and (not node or found["feature"][tree, (node - 1) // 2] >= 0):
                missing_left = draw(st.integers(0, 1))
                found["feature"][tree, node] = draw(st.integers(0, features - 1))
                found["bin"][tree, node] = draw(st.integers(1 - missing_left, MOST_BINS))
                found["missing_left"][tree, node] = missing_left
    found["value"][:] = draw(arrays(float, found["value"].shape, elements=st.floats(-9, 9)))
    return found


codes_of_rows = arrays(
    np.float32, st.tuples(st.integers(0, 20), st.just(3)), elements=st.integers(0, MOST_BINS)
)


def one_by_one(held: trees.Model, codes: np.ndarray) -> list[float]:
    """The log-odds of rows, each of which goes down each tree."""
    depth = trees.depth_of(held)
    found = []
    for row in codes:
        z = float(held["base"][0])
        for tree in range(trees.count(held)):
            node = 0
            for _ in range(depth):
                feature, last, missing_left = (held[name][tree, node] for name in trees.SPLITS)
                if feature < 0:
                    left = True
                else:
                    left = missing_left == 1 if row[feature] == 0 else row[feature] <= last
                node = 2 * node + (1 if left else 2)
            z += held["value"][tree, node - (2**depth - 1)]
        found.append(z)
    return found


def test_the_way_of_rows_by_hand() -> None:
    codes = np.array([[1, 2], [2, 1], [0, 0], [1, 3], [9, 0]], np.float32)
    assert trees.logits(HAND, codes).tolist() == [1.5, 2.5, 2.5, 4.5, 2.5]
    trees.check(HAND, 2)


@given(models(), codes_of_rows)
def test_log_odds_are_those_of_rows_one_by_one(held: trees.Model, codes: np.ndarray) -> None:
    trees.check(held, 3)
    assert trees.logits(held, codes).tolist() == one_by_one(held, codes)


def test_many_rows_are_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_CELLS_AT_ONCE", 1000)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (40_000, 2)).astype(np.float32)
    expected = one_by_one(HAND, codes[-50:])
    assert trees.logits(HAND, codes)[-50:].tolist() == expected


@given(models(), models(), codes_of_rows)
def test_joined_models_add_up(one: trees.Model, other: trees.Model, codes: np.ndarray) -> None:
    found = trees.joined(one, other)
    trees.check(found, 3)
    assert trees.count(found) == trees.count(one) + trees.count(other)
    assert trees.depth_of(found) == max(trees.depth_of(one), trees.depth_of(other))
    np.testing.assert_allclose(
        trees.logits(found, codes),
        trees.logits(one, codes) + trees.logits(other, codes),
        atol=1e-12,
    )
    deeper = trees.deepened(one, 5)
    assert trees.logits(deeper, codes).tobytes() == trees.logits(one, codes).tobytes()
    again = trees.first(trees.joined(one, other), trees.count(one))
    assert trees.depth_of(again) >= trees.depth_of(one)


@given(st.lists(models(), min_size=1, max_size=4), codes_of_rows, st.data())
def test_margins_are_the_log_odds_whatever_was_asked_before(
    held: list[trees.Model], codes: np.ndarray, data: st.DataObject
) -> None:
    margins = trees.Margins(trees.Walk(trees.by_feature(codes)))
    for _ in range(5):
        full = data.draw(st.sampled_from(held))
        part = trees.first(full, data.draw(st.integers(0, trees.count(full))))
        assert margins.of(part).tobytes() == trees.logits(part, codes).tobytes()
        assert margins.at(part)


@given(models(), codes_of_rows, st.data())
def test_a_walk_goes_as_far_as_it_is_to_go(
    held: trees.Model, codes: np.ndarray, data: st.DataObject
) -> None:
    """Up and down the same and other trees."""
    walk = trees.Walk(trees.by_feature(codes))
    for _ in range(5 if trees.count(held) else 0):
        tree = data.draw(st.integers(0, trees.count(held) - 1))
        levels = data.draw(st.integers(0, trees.depth_of(held)))
        splits = {name: held[name][tree] for name in trees.SPLITS}
        fresh = trees.Walk(trees.by_feature(codes)).places(splits, levels)
        np.testing.assert_array_equal(walk.places(splits, levels), fresh)
        assert fresh.max(initial=0) < 2**levels


def test_a_model_without_a_tree_is_its_base() -> None:
    held = trees.start(3, 0.25)
    trees.check(held, 1)
    assert trees.logits(held, np.ones((2, 1), np.float32)).tolist() == [0.25, 0.25]
    assert same_bits(trees.joined(held, trees.start(3)), held)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": np.zeros((1, 4), np.float32)}, "or of another type"),
        ({"more": np.zeros(1)}, "are not those of boosted trees"),
        ({"value": np.zeros((2, 4))}, "shapes that do not fit together"),
        ({"feature": np.zeros((1, 7), np.int16)}, "shapes that do not fit together"),
        ({"base": np.zeros(2)}, "shapes that do not fit together"),
        ({"value": np.zeros(4)}, "a depth that is not 1 to 6"),
        ({"value": np.zeros((1, 1))}, "a depth that is not 1 to 6"),
        ({"value": np.zeros((1, 3))}, "shapes that do not fit together"),
        ({"value": np.zeros((1, 2**20))}, "a depth that is not 1 to 6"),
        ({"value": np.full((1, 4), np.nan)}, "a number that is not finite"),
        ({"base": np.array([np.inf])}, "a number that is not finite"),
        ({"feature": np.array([[2, 0, -1]], np.int16)}, "a split by no feature"),
        ({"feature": np.array([[1, 0, -2]], np.int16)}, "a split by no feature"),
        ({"bin": np.array([[MOST_BINS + 1, 1, MOST_BINS]], np.int16)}, "a split at no bin"),
        ({"bin": np.array([[-1, 1, MOST_BINS]], np.int16)}, "a split at no bin"),
        ({"bin": np.array([[2, 0, MOST_BINS]], np.int16)}, "a split with nothing on its left"),
        ({"bin": np.array([[2, 1, 1]], np.int16)}, "a leaf that goes right"),
        ({"missing_left": np.array([[1, 2, 1]], np.uint8)}, "that is neither"),
        ({"missing_left": np.array([[1, 0, 0]], np.uint8)}, "a leaf that goes right"),
        (
            {
                "feature": np.array([[-1, 0, -1]], np.int16),
                "bin": np.array([[MOST_BINS, 1, MOST_BINS]], np.int16),
            },
            "a split below a leaf",
        ),
    ],
)
def test_arrays_that_are_no_trees_are_refused(change: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(InputError, match=told):
        trees.check({**HAND, **change}, 2)
