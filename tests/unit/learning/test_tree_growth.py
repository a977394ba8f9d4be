"""One tree: by hand, against exact fractions, ties, and what its settings forbid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning import trees
from ms_pfl.learning.parameters import MOST_BINS, TreesParameters
from ms_pfl.learning.tree_growth import Growth, asked_about, grow
from ms_pfl.learning.tree_rows import TreeRows
from ms_pfl.learning.tree_sites import own_tree
from ms_pfl.learning.trees import VALUE
from tree_examples import BINS, Site, in_fractions, pooled, sites, told


def growth(features: int = 1, **changes: object) -> Growth:
    """That of shared trees, at the learning rate 1."""
    settings = told(learning_rate=1.0, **changes)
    return Growth.shared(settings, np.zeros(features, np.int8))


def tree_of(
    codes: list[list[int]], y: list[int], how: Growth, margin: float = 0.0
) -> tuple[list[int], list[int], list[int], list[float]]:
    """The arrays of a tree on some rows of equal log-odds."""
    rows = TreeRows(np.array(codes, np.float32), np.array(y, np.float32), told())
    found = own_tree(rows, np.full(len(y), margin), how)
    names = (*trees.SPLITS, VALUE)
    feature, last, missing_left, value = (found[name][0].tolist() for name in names)
    return feature, last, missing_left, value


def test_a_tree_by_hand() -> None:
    """All g are 1/2 or -1/2 and all h 1/4: with two rows a leaf, v = -+1 / (1/2 + l2)."""
    found = tree_of([[1], [1], [3], [4]], [0, 0, 1, 1], growth(depth=1, l2=0.5))
    assert found == ([0], [1], [1], [-1.0, 1.0])


def test_two_levels_by_hand() -> None:
    """Feature 1 separates the rows of code 1 in feature 0, and those of code 2 are all 1.

    Leaves: -(1/2) / (1/4 + l2) = -1 with l2 1/4, one row of label 1 gives 1, two give
    1 / (1/2 + 1/4) = 4/3, as a leaf above the last level the leftmost below it.
    """
    codes = [[1, 1], [1, 2], [2, 1], [2, 2]]
    found = tree_of(codes, [0, 1, 1, 1], growth(2, depth=2, l2=0.25))
    assert found == ([0, 1, -1], [1, 1, MOST_BINS], [1, 1, 1], [-1.0, 1.0, 4 / 3, 0.0])


@pytest.mark.parametrize(("label", "side"), [(0, 1), (1, 0)])
def test_missing_values_take_the_side_that_gains_more(label: int, side: int) -> None:
    codes = [[1], [1], [3], [4], [0], [0]]
    found = tree_of(codes, [0, 0, 1, 1, label, label], growth(depth=1, l2=0.5))
    high = 2 / (1 + 0.5)
    assert found == ([0], [1], [side], [-high, 1.0] if side else [-1.0, high])


def test_missing_against_the_rest() -> None:
    found = tree_of([[0], [0], [1], [BINS]], [1, 1, 0, 0], growth(depth=1, l2=0.5))
    assert found == ([0], [BINS], [0], [-1.0, 1.0])


@pytest.mark.parametrize(
    ("rows", "left"), [([1, 1, 1, 3], 1), ([1, 3, 3, 3], 0), ([1, 1, 3, 3], 1)]
)
def test_where_none_is_missing_they_go_with_most_rows(rows: list[int], left: int) -> None:
    y = [int(code == 3) for code in rows]
    found = tree_of([[code] for code in rows], y, growth(depth=1))
    assert found[:3] == ([0], [1], [left])


def test_of_equal_splits_the_first_is_taken() -> None:
    """The lowest feature, its lowest bin: the gap from 1 to 4 could be cut at 1, 2 or 3."""
    found = tree_of([[4, 1, 4], [4, 1, 4], [1, 4, 1]], [0, 0, 1], growth(3, depth=1))
    assert found[:2] == ([0], [1])
    found = tree_of([[2, 1, 1], [2, 1, 1], [2, 4, 4]], [0, 0, 1], growth(3, depth=1))
    assert found[:2] == ([1], [1])


@given(sites(), st.integers(1, 3), st.sampled_from([0.0, 0.5, 3.0]), st.booleans(), st.data())
def test_a_tree_is_that_of_exact_fractions(
    parts: list[Site], depth: int, l2: float, shifts: bool, data: st.DataObject
) -> None:
    codes, y = pooled(parts)
    assume(len(y))
    seed = data.draw(st.integers(0, 9))
    margin = np.random.default_rng(seed).integers(-2, 3, len(y)).astype(float) * (seed > 0)
    how = growth(3, depth=depth, l2=l2)
    how = Growth(**{**vars(how), "shifts": shifts})
    rows = TreeRows(codes, y, told())
    found = own_tree(rows, margin, how)
    expected = in_fractions(codes, rows.slopes(margin), how)
    for name in trees.SPLITS:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    np.testing.assert_allclose(found[VALUE], expected[VALUE], rtol=1e-14, atol=0)
    trees.check(found, 3)


@given(sites(), st.integers(1, 3))
def test_one_exchange_per_level_about_left_children_alone(parts: list[Site], depth: int) -> None:
    codes, y = pooled(parts)
    rows, how = TreeRows(codes, y, told()), growth(3, depth=depth)
    slopes, asked = rows.slopes(np.zeros(len(y))), []

    def ask(growing: trees.Model) -> NDArray[np.float64]:
        splits = {name: growing[name][0] for name in trees.SPLITS}
        level, nodes = asked_about(splits["feature"])
        asked.append((level, nodes))
        found = rows.histogram(slopes, splits, np.arange(3, dtype=np.int16))
        assert found.shape == (len(nodes), 3, BINS + 1, 2)
        return found

    tree = grow(ask, np.arange(3, dtype=np.int16), how)
    assert [level for level, _ in asked] == list(range(len(asked)))
    assert asked[0] == (0, [0])
    assert 1 <= len(asked) <= depth
    for level, nodes in asked[1:]:
        parents = tree["feature"][0, 2 ** (level - 1) - 1 : 2**level - 1]
        assert nodes == (2 * np.flatnonzero(parents >= 0)).tolist()


# -- what the settings forbid ----------------------------------------------------------------------


def leaves_of(codes: NDArray[np.float32], tree: trees.Model) -> NDArray[np.uint8]:
    splits = {name: tree[name][0] for name in trees.SPLITS}
    return trees.Walk(trees.by_feature(codes)).places(splits, trees.depth_of(tree))


@given(sites(), st.sampled_from([0.25, 0.6, 1.5, 100.0]))
def test_no_child_has_less_than_the_least_hessian(parts: list[Site], least: float) -> None:
    codes, y = pooled(parts)
    assume(len(y))
    tree = own_tree(
        TreeRows(codes, y, told()), np.zeros(len(y)), growth(3, depth=3, least_hessian=least)
    )
    _, rows = np.unique(leaves_of(codes, tree), return_counts=True)
    assert len(rows) == 1 or rows.min() / 4 >= least


def test_the_penalty_shrinks_leaves_and_a_gain_has_to_exceed_the_least() -> None:
    """With G = -+1 and H = 1/2 the gain is 2 / (1/2 + l2)."""
    codes, y = [[1], [1], [3], [4]], [0, 0, 1, 1]
    for l2, value in ((0.0, 2.0), (1.5, 0.5), (9.5, 0.1)):
        assert tree_of(codes, y, growth(depth=1, l2=l2))[3] == [-value, value]
        for least, splits in ((2 / (0.5 + l2) + 1e-6, False), (2 / (0.5 + l2) - 1e-6, True)):
            found = tree_of(codes, y, growth(depth=1, l2=l2, least_gain=least))
            assert (found[0] == [0]) == splits


def test_a_tree_without_a_split_adds_nothing_or_its_leaf() -> None:
    """-(G) / (H + l2) = (3/2) / (3/4 + 1/4)."""
    how = growth(depth=2, l2=0.25)
    stump = tree_of([[1], [1], [1]], [1, 1, 1], how)
    assert stump == ([-1] * 3, [MOST_BINS] * 3, [1] * 3, [0.0] * 4)
    shifts = tree_of([[1], [1], [1]], [1, 1, 1], Growth(**{**vars(how), "shifts": True}))
    assert shifts == (*stump[:3], [1.5, 0.0, 0.0, 0.0])


@given(sites(), st.sampled_from([-1, 1]), st.integers(1, 4))
def test_log_odds_follow_a_monotone_feature(parts: list[Site], sign: int, depth: int) -> None:
    """At every code of the other features, whatever the rows say."""
    codes, y = pooled(parts)
    assume(len(y))
    directions = np.array([sign, 0, 0], np.int8)
    how = Growth.shared(told(depth=depth, least_hessian=0.1, l2=0.1), directions)
    tree = own_tree(TreeRows(codes, y, told()), np.zeros(len(y)), how)
    grid = np.stack(np.meshgrid(range(1, BINS + 1), range(BINS + 1), range(BINS + 1)), axis=-1)
    along = np.swapaxes(grid, 0, 1).reshape(-1, 3).astype(np.float32)
    z = trees.logits(tree, along).reshape(BINS, -1)
    assert set(along[: (BINS + 1) ** 2, 0]) == {1.0}
    assert (np.diff(z, axis=0) * sign >= 0).all()


def test_a_split_against_its_direction_is_not_taken() -> None:
    """Rows fall with feature 0, which may only rise; feature 1 tells a little less."""
    codes = [[1, 1], [1, 2], [3, 2], [3, 2], [3, 2]]
    y = [1, 1, 0, 0, 0]
    for sign, feature in ((0, 0), (-1, 0), (1, 1)):
        how = Growth(**{**vars(growth(2, depth=1)), "monotone": np.array([sign, 0], np.int8)})
        assert tree_of(codes, y, how)[0] == [feature]


def test_directions_of_features_by_name() -> None:
    settings = TreesParameters(monotone={"EDSS": 1, "AGE": -1})
    assert settings.directions(("AGE", "BMI", "EDSS")).tolist() == [-1, 0, 1]
    with pytest.raises(InputError, match=r"there is no feature 'EDSS'; there are: AGE, BMI"):
        settings.directions(("AGE", "BMI"))
