"""Boosted trees fitted to sums over sites: what is asked, and what follows from the answers.

There are two kinds of exchange. The first of a fit asks for the rows without and with label 1, from
which the base follows. Each further one asks about a level of a tree (:func:`question`), for
histograms (:meth:`ms_pfl.learning.tree_rows.TreeRows.histogram`): a tree of depth 3 takes three of
them. The trees are those of the pooled rows, bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.learning import trees
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.tree_growth import Columns, Directions, Growth, asked_about, grow
from ms_pfl.learning.tree_rows import check_rows
from ms_pfl.learning.trees import BIN, FEATURE, VALUE, Model, Vector

COLUMNS = "columns"
"""The array of a question with the features that it is about, int16."""


def base_of(labels: Vector, settings: TreesParameters) -> float:
    """Return the log-odds of the weighted share of label 1, with Jeffreys' half rows.

    With half a row of each label it is finite where all rows have one label.

    Args:
        labels: rows without and with label 1, shape ``(2,)``.
        settings: weight of the rows with label 1.

    Raises:
        InputError: there are more rows than can be added up exactly.
    """
    check_rows(float(labels.sum()), settings)
    without, having = labels.tolist()
    return math.log((settings.positive_weight * having + 0.5) / (without + 0.5))


def draw(n_features: int, settings: TreesParameters, seed: int, tree: int) -> Columns:
    """Return the features that a tree may split by, ascending: one at least, the same everywhere.

    Args:
        n_features: to draw from.
        settings: share that is drawn.
        seed: of the fit.
        tree: its number, from 0.
    """
    random = np.random.default_rng(derive_seed(seed, "trees", tree))
    drawn = random.choice(n_features, _drawn(n_features, settings), replace=False)
    return np.sort(drawn).astype(np.int16)


def question(model: Model, growing: Model, columns: Columns) -> dict[str, np.ndarray]:
    """Return what sites are asked for a level of a tree: arrays alone.

    They are those of a model whose last tree is the one that grows, as far as it has splits, and
    ``columns``: a site needs nothing that it was asked before. Which nodes are asked about follows
    from the splits, see :func:`ms_pfl.learning.tree_growth.asked_about`.

    Args:
        model: the complete trees.
        growing: the one that grows, a model of one tree.
        columns: features that it may split by.
    """
    return {**trees.joined(model, growing), COLUMNS: columns}


def check_question(question: Model, n_features: int, settings: TreesParameters) -> None:
    """See that arrays are a question about a level of a tree.

    Raises:
        InputError: they are none, or not of a fit with these settings.
    """
    if COLUMNS not in question:
        raise InputError("the question about boosted trees names no columns")
    model = {name: array for name, array in question.items() if name != COLUMNS}
    trees.check(model, n_features)
    columns, growing = question[COLUMNS], trees.count(model)
    if columns.dtype != np.int16 or columns.shape != (_drawn(n_features, settings),):
        raise InputError("the question about boosted trees has columns of another type or number")
    problems = {
        f"trees of another depth than {settings.depth}": trees.depth_of(model) != settings.depth,
        f"more than {settings.trees} trees, or none": not 1 <= growing <= settings.trees,
        "columns that are no features, ascending": not (
            columns[0] >= 0 and columns[-1] < n_features and (np.diff(columns) > 0).all()
        ),
        "bins that there are not": bool((model[BIN][model[FEATURE] >= 0] > settings.bins).any()),
        "no level that is to grow": bool(
            growing and asked_about(model[FEATURE][-1])[0] >= settings.depth
        ),
        "values in a tree that grows": bool(model[VALUE][-1:].any()),
    }
    for problem, found in problems.items():
        if found:
            raise InputError(f"the question about boosted trees has {problem}")


def steps(
    of: Callable[[Model], Vector],
    labels: Vector,
    n_features: int,
    settings: TreesParameters,
    seed: int,
    monotone: Directions | None = None,
    begin: Model | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the model without a tree, then the model after each tree.

    Nothing is asked before the next model is wanted: who has seen enough takes no more. The fit
    ends by itself after ``settings.trees`` trees, or once all features have been drawn since the
    last tree with a split, because no further tree would have one.

    Args:
        of: from a question to the total of the histograms of all sites, float64, shape
            ``(nodes, columns, bins + 1, 2)``.
        labels: rows of all sites without and with label 1, shape ``(2,)``.
        n_features: of the rows.
        settings: of the trees.
        seed: of the fit; it draws the features of each tree.
        monotone: direction of each feature; None: no constraint.
        begin: a model of the same fit to continue from, which is the first that is yielded.

    Raises:
        InputError: there are more rows than can be added up exactly.
    """
    growth = Growth.shared(settings, directions(monotone, n_features))
    model: Model = trees.start(settings.depth, base_of(labels, settings))
    model = model if begin is None else begin
    yield dict(model)
    while trees.count(model) < settings.trees and not _in_vain(model, n_features, settings, seed):
        columns = draw(n_features, settings, seed, trees.count(model))

        def ask(growing: Model, so_far: Model = model, columns: Columns = columns) -> Vector:
            return of(question(so_far, growing, columns))

        model = trees.joined(model, grow(ask, columns, growth))
        yield dict(model)


def directions(monotone: Directions | None, n_features: int) -> Directions:
    """Return the direction of each feature; without constraints, 0 for all."""
    return np.zeros(n_features, dtype=np.int8) if monotone is None else monotone


def _drawn(n_features: int, settings: TreesParameters) -> int:
    return max(1, round(settings.columns * n_features))


def _in_vain(model: Model, n_features: int, settings: TreesParameters, seed: int) -> bool:
    """Whether all features have been drawn since the last tree with a split."""
    number, drawn = trees.count(model), set[int]()
    while number and (model[FEATURE][number - 1] < 0).all():
        number -= 1
        drawn |= set(draw(n_features, settings, seed, number).tolist())
    return len(drawn) == n_features
