"""A site among others: what it keeps, private trees, and trees on top of a given model."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ms_pfl.learning import trees
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_growth import Growth
from ms_pfl.learning.tree_rows import TreeRows
from ms_pfl.learning.tree_sites import TreeSite, alone, on_top, own_tree
from ms_pfl.learning.tree_steps import steps
from tree_examples import BINS, Site, pooled, same_bits, sites, summed, told

FREE = np.zeros(3, np.int8)


def questions_of(
    parts: list[Site], settings: TreesParameters, seed: int, private: bool
) -> tuple[list[dict[str, np.ndarray]], list[trees.Model]]:
    """All questions of a fit, and all its models."""
    members = [TreeSite(codes, y, settings, private=private) for codes, y in parts]
    labels, asked = np.sum([site.labels for site in members], axis=0), []
    total = summed(members)

    def of(question: trees.Model) -> NDArray[np.float64]:
        asked.append(dict(question))
        return total(question)

    return asked, list(steps(of, labels, 3, settings, seed))


@given(sites(most=3), st.booleans(), st.data())
def test_what_a_site_keeps_changes_no_bit(
    parts: list[Site], private: bool, data: st.DataObject
) -> None:
    """Questions of two fits in any order are answered as if each was the first."""
    settings = told(private_every=2, columns=0.67)
    asked, models = [], []
    for seed in (0, 1):
        more, made = questions_of(parts, settings, seed, private)
        asked, models = asked + more, models + made
    assume(asked)
    codes, y = parts[0]
    kept = TreeSite(codes, y, settings, private=private)
    for _ in range(6):
        if data.draw(st.booleans()):
            question = data.draw(st.sampled_from(asked))
            fresh = TreeSite(codes, y, settings, private=private).histogram(question)
            assert kept.histogram(question).tobytes() == fresh.tobytes()
        else:
            model = data.draw(st.sampled_from(models))
            own = TreeSite(codes, y, settings, private=private).private_trees(model)
            assert same_bits(kept.private_trees(model), own)


@given(sites(most=3))
def test_without_private_trees_it_is_the_federated_fit(parts: list[Site]) -> None:
    federated = questions_of(parts, told(), 0, private=False)[1]
    switched_off = questions_of(parts, told(private_every=0), 0, private=True)[1]
    for one, other in zip(federated, switched_off, strict=True):
        assert same_bits(one, other)


@given(sites(most=3), st.integers(1, 3))
def test_private_trees_are_grown_at_the_log_odds_of_all_trees(
    parts: list[Site], every: int
) -> None:
    """Shared and private trees in turn, redone: what a site answers is at the sum of both."""
    settings = told(private_every=every)
    asked, models = questions_of(parts, settings, 0, private=True)
    codes, y = parts[0]
    rows, growth = TreeRows(codes, y, settings), Growth.personal(settings, FREE)
    site = TreeSite(codes, y, settings, private=True)
    own = trees.start(settings.personal_depth)
    for number, model in enumerate(models):
        if number and number % every == 0:
            margin = trees.logits(model, codes) + trees.logits(own, codes)
            own = trees.joined(own, own_tree(rows, margin, growth))
        assert same_bits(site.private_trees(model), own)
        margin = trees.logits(model, codes) + trees.logits(own, codes)
        for question in asked:
            if trees.count(question) == number + 1:
                splits = {name: question[name][-1] for name in trees.SPLITS}
                expected = rows.histogram(rows.slopes(margin), splits, question["columns"])
                assert site.histogram(question).tobytes() == expected.tobytes()
        both = trees.joined(model, own)
        np.testing.assert_allclose(trees.logits(both, codes), margin, rtol=0, atol=1e-12)


def test_a_private_tree_by_hand() -> None:
    """Three rows of label 1 at log-odds 0 cannot be split: .02 (3/2) / (3/4 + 1)."""
    codes, y = np.ones((3, 3), np.float32), np.ones(3, np.float32)
    settings = told(private_every=1, personal_l2=1.0, personal_learning_rate=0.02)
    own = TreeSite(codes, y, settings, private=True).private_trees(trees.start(3, number=1))
    assert own["feature"].tolist() == [[-1] * 3]
    np.testing.assert_allclose(own["value"], [[0.02 * 1.5 / 1.75, 0, 0, 0]], rtol=1e-12)


@given(sites(most=3), st.integers(1, 4), st.sampled_from([1, -1]))
def test_own_trees_on_top_of_a_given_model(parts: list[Site], depth: int, sign: int) -> None:
    """The given one first, then each tree grown at the log-odds of all before it."""
    settings = told(personal_depth=depth, personal_learning_rate=0.3)
    directions = np.array([sign, 0, 0], np.int8)
    *_, given_ = alone(*pooled(parts), settings, 0)
    codes, y = parts[0]
    found = list(on_top(given_, codes, y, settings, directions))
    assert len(found) == settings.own_trees + 1
    assert same_bits(found[0], given_)
    rows, growth = TreeRows(codes, y, settings), Growth.personal(settings, directions)
    for before, after in pairwise(found):
        trees.check(after, 3)
        assert trees.depth_of(after) == max(3, depth)
        tree = own_tree(rows, trees.logits(before, codes), growth)
        assert same_bits(after, trees.joined(before, tree))


def test_own_trees_of_a_site_without_a_split_move_its_log_odds_to_its_share() -> None:
    """Too few rows for a split: an intercept of its own, that nears the log-odds of 3 / 4."""
    codes, y = np.ones((4, 3), np.float32), np.float32([1, 1, 1, 0])
    settings = told(own_trees=400, personal_l2=0.0, personal_learning_rate=0.1)
    *_, found = on_top(trees.start(3), codes, y, settings)
    np.testing.assert_allclose(trees.logits(found, codes), [math.log(3)] * 4, rtol=1e-6)


def test_a_site_without_rows_answers_with_zeros() -> None:
    nothing = np.empty((0, 3), np.float32), np.empty(0, np.float32)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, BINS + 1, (50, 3)).astype(np.float32), np.float32(np.arange(50) % 2)
    settings = told(private_every=1)
    asked, models = questions_of([nothing, rows], settings, 0, private=True)
    site = TreeSite(*nothing, settings, private=True)
    assert not any(site.histogram(question).any() for question in asked)
    assert not site.private_trees(models[-1])["value"].any()
    expected = questions_of([rows], settings, 0, private=True)[1]
    assert same_bits(models[-1], expected[-1])
