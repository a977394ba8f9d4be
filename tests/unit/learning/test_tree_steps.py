"""A fit over sites: the pooled trees to the bit, by hand, and against scikit-learn."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from ms_pfl.errors import InputError
from ms_pfl.learning import trees
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_sites import TreeSite, alone
from ms_pfl.learning.tree_steps import base_of, check_question, draw, steps
from tree_examples import BINS, Site, bins_of, made_rows, pooled, same_bits, sites, summed, told


def fit(parts: list[Site], settings: TreesParameters, seed: int = 0) -> list[trees.Model]:
    """All models of a fit over sites."""
    members = [TreeSite(codes, y, settings) for codes, y in parts]
    labels = np.sum([site.labels for site in members], axis=0)
    return list(steps(summed(members), labels, parts[0][0].shape[1], settings, seed))


def test_two_trees_by_hand() -> None:
    """Two sites with a label each, three rows: the base is log 1 = 0 with weight 2 of label 1.

    Tree 1: without g = 1/2, h = 1/4 of two rows, with twice g = -1/2, h = 1/4 of one: both leaves
    have H = 1/2, G = +-1, and -+1 / (1/2 + 1/2) times the rate .5. Tree 2 at p = 1 / (1 + sqrt e).
    """
    settings = told(trees=2, depth=1, learning_rate=0.5, l2=0.5, positive_weight=2.0)
    parts = [
        (np.float32([[1], [2]]), np.zeros(2, np.float32)),
        (np.float32([[4]]), np.float32([1])),
    ]
    none, one, two = fit(parts, settings)
    assert none["base"] == 0.0
    assert trees.count(none) == 0
    assert one["feature"].tolist() == [[0]]
    assert one["bin"].tolist() == [[2]]
    assert one["value"].tolist() == [[-0.5, 0.5]]
    p = 1 / (1 + math.exp(0.5))
    v = 0.5 * 2 * p / (2 * p * (1 - p) + 0.5)
    np.testing.assert_allclose(two["value"], [[-0.5, 0.5], [-v, v]], rtol=1e-8)
    assert same_bits(trees.first(two, 1), one)


@given(sites(), st.sampled_from([1.0, 0.34]), st.integers(1, 3), st.integers(0, 3), st.randoms())
def test_any_partition_gives_the_pooled_trees_to_the_bit(
    parts: list[Site], columns: float, depth: int, seed: int, random: object
) -> None:
    settings = told(columns=columns, depth=depth)
    codes, y = pooled(parts)
    order = np.random.default_rng(seed).permutation(len(y))
    expected = list(alone(codes[order], y[order], settings, seed))
    random.shuffle(parts)  # type: ignore[attr-defined]
    found = fit(parts, settings, seed)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert same_bits(one, other)
        trees.check(one, 3)


@given(sites(), st.integers(1, 3))
def test_a_weight_counts_rows_so_many_times(parts: list[Site], weight: int) -> None:
    codes, y = pooled(parts)
    times = np.where(y > 0.5, weight, 1)
    weighted = list(alone(codes, y, told(positive_weight=weight), 0))
    repeated = list(alone(np.repeat(codes, times, axis=0), np.repeat(y, times), told(), 0))
    for one, other in zip(weighted, repeated, strict=True):
        assert same_bits(one, other)


@given(sites(), st.integers(0, 5))
def test_a_fit_can_be_continued(parts: list[Site], after: int) -> None:
    settings = told(columns=0.4)
    models = fit(parts, settings)
    assume(after < len(models))
    members = [TreeSite(codes, y, settings) for codes, y in parts]
    labels = np.sum([site.labels for site in members], axis=0)
    rest = list(steps(summed(members), labels, 3, settings, 0, begin=models[after]))
    for one, other in zip(rest, models[after:], strict=True):
        assert same_bits(one, other)


@pytest.mark.parametrize(
    ("labels", "odds"), [((3, 0), 0.5 / 3.5), ((0, 1), 3.0), ((2, 5), 5.5 / 2.5)]
)
def test_the_base_has_half_a_row_of_each_label(labels: tuple[int, int], odds: float) -> None:
    assert base_of(np.array(labels, float), told()) == pytest.approx(math.log(odds), rel=1e-15)
    with pytest.raises(InputError, match="training rows at most"):
        base_of(np.array([2.0**22, 1.0]), told())


def test_what_is_drawn_is_the_same_everywhere() -> None:
    settings = told(columns=0.5)
    found = [draw(7, settings, 3, tree).tolist() for tree in range(4)]
    assert found == [[0, 4, 5, 6], [1, 2, 4, 5], [0, 1, 4, 6], [0, 1, 4, 5]]
    assert all(len(draw(7, told(columns=0.01), 3, tree)) == 1 for tree in range(4))


def test_a_fit_ends_once_no_feature_is_left_to_try() -> None:
    """One class: no split gains. The trees until each feature was drawn once add nothing."""
    codes = np.random.default_rng(0).integers(0, BINS + 1, (40, 6)).astype(np.float32)
    settings = told(trees=200, columns=0.34)
    *_, last = alone(codes, np.zeros(40, np.float32), settings, 1)
    drawn = [set(draw(6, settings, 1, tree).tolist()) for tree in range(trees.count(last))]
    assert set().union(*drawn) == set(range(6)) != set().union(*drawn[:-1])
    assert trees.logits(last, codes).tolist() == [math.log(0.5 / 40.5)] * 40


def test_nothing_is_asked_before_a_tree_is_wanted() -> None:
    codes, y = np.float32([[1], [2]]), np.float32([0, 1])
    site, asked = TreeSite(codes, y, told()), []

    def of(question: trees.Model) -> np.ndarray:
        asked.append(question)
        return site.histogram(question)

    next(models := steps(of, site.labels, 1, told(trees=2, depth=1), 0))
    assert not asked
    assert len(list(models)) == 2
    assert [trees.count({"feature": q["feature"]}) for q in asked] == [1, 2]
    assert all(set(q) == {*trees.TYPES, "columns"} for q in asked)


def test_it_is_as_good_as_scikit_learn() -> None:
    x, y = made_rows(6000, 0)
    test_x, test_y = made_rows(20_000, 1)
    bins = bins_of([x], 32)
    settings = TreesParameters(columns=1.0, least_hessian=2.0, l2=5.0, trees=80)
    *_, found = alone(bins.apply(x), y, settings, 0)
    # its threads would wait for each other where the cores do other things too
    with threadpool_limits(1):
        sklearn = HistGradientBoostingClassifier(
            learning_rate=0.1, max_iter=80, max_depth=3, max_leaf_nodes=None,
            l2_regularization=5.0, max_bins=32, min_samples_leaf=10, early_stopping=False,
        ).fit(x, y)  # fmt: skip
    z = trees.logits(found, bins.apply(test_x))
    own, other = roc_auc_score(test_y, z), roc_auc_score(test_y, sklearn.decision_function(test_x))
    assert own > 0.75
    assert abs(own - other) < 0.003


# -- questions -------------------------------------------------------------------------------------


def a_question() -> dict[str, np.ndarray]:
    """The second level of the second tree, of two features in three."""
    rng = np.random.default_rng(0)
    codes, y = rng.integers(0, BINS + 1, (60, 3)).astype(np.float32), rng.integers(0, 2, 60)
    site, asked = TreeSite(codes, y.astype(np.float32), told()), []

    def of(question: trees.Model) -> np.ndarray:
        asked.append(dict(question))
        check_question(question, 3, ASKED)
        return site.histogram(question)

    list(islice(steps(of, site.labels, 3, ASKED, 0), 3))
    return asked[3]


ASKED = told(depth=2, columns=0.67)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": np.array([0, 1])}, "columns of another type or number"),
        ({"columns": np.array([0], np.int16)}, "columns of another type or number"),
        ({"columns": np.array([[0, 1]], np.int16)}, "columns of another type or number"),
        ({"columns": np.array([1, 0], np.int16)}, "columns that are no features"),
        ({"columns": np.array([1, 1], np.int16)}, "columns that are no features"),
        ({"columns": np.array([-1, 1], np.int16)}, "columns that are no features"),
        ({"columns": np.array([1, 3], np.int16)}, "columns that are no features"),
        ({"value": np.ones((2, 4))}, "values in a tree that grows"),
        ({"bin": np.full((2, 3), BINS + 1, np.int16)}, "bins that there are not"),
        ({"base": np.array([np.nan])}, "not finite"),
        (trees.first(trees.start(2), 0), "more than 5 trees, or none"),
        (trees.start(2, number=6), "more than 5 trees, or none"),
        (trees.start(3, number=1), "another depth than 2"),
    ],
)
def test_a_question_that_is_none_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    question = a_question()
    if message.startswith("bins"):
        change = {"bin": np.where(question["feature"] < 0, question["bin"], change["bin"])}
    with pytest.raises(InputError, match=message):
        check_question({**question, **change}, 3, ASKED)


def test_a_question_about_leaves_or_without_columns_is_refused() -> None:
    question = a_question()
    complete = {name: question[name].copy() for name in question}
    for name in trees.SPLITS:
        complete[name][1] = complete[name][0]
    complete["value"][1] = 0
    with pytest.raises(InputError, match="no level that is to grow"):
        check_question(complete, 3, ASKED)
    with pytest.raises(InputError, match="names no columns"):
        check_question(trees.start(2, number=1), 3, ASKED)
