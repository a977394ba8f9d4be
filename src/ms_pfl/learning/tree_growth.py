r"""One boosted tree, grown from histograms of slopes and curvatures.

A tree adds :math:`v` to the log-odds of the rows of a leaf. With the slopes of their log-loss
:math:`g = w (p - y)` and its curvatures :math:`h = w p (1 - p)`, summed to :math:`G` and :math:`H`,
the best is :math:`v = -G / (H + \lambda)`, and a split of a node gains

.. math:: \frac{G_L^2}{H_L + \lambda} + \frac{G_R^2}{H_R + \lambda} - \frac{G^2}{H + \lambda}

(Chen and Guestrin, XGBoost, KDD 2016; missing values take the side that gains more, as there). So
whoever grows a tree needs no row, but the sums of :math:`g` and :math:`h` over the rows of each
node by feature and code. It asks once per level. From the second level on it asks about the left
children alone, as the right ones are what is left of their parents; and it asks about no leaf, as
the sums of both children are in the histogram of their parent. The sums are exact
(:mod:`ms_pfl.learning.tree_rows`), so that a difference of two is one too.

Monotone constraints are those of scikit-learn and of LightGBM's basic method: a split by such a
feature is taken only if the values of its children are in that order, and no node below it goes
beyond the middle of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ms_pfl.learning import trees
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.trees import SPLITS, VALUE, Model, Vector

Columns = NDArray[np.int16]
Directions = NDArray[np.int8]
"""1 where the log-odds may only rise with a feature, -1 where they may only fall, else 0."""
_ROUNDING = 1e-9
_TINY = 2.0**-30  # the least sum of curvatures that is not 0


@dataclass(frozen=True)
class Growth:
    """How a tree is grown.

    Attributes:
        depth: levels of nodes that split, at most.
        learning_rate: that the values of its leaves are multiplied by.
        l2: of the values.
        least_hessian: sum of curvatures in each child of a split, at least; above 0.
        least_gain: that a split has to exceed.
        shifts: whether a tree without a split adds the value of its one leaf to all rows; else it
            adds nothing.
        monotone: shape ``(features,)``.
    """

    depth: int
    learning_rate: float
    l2: float
    least_hessian: float
    least_gain: float
    shifts: bool
    monotone: Directions

    @classmethod
    def shared(cls, settings: TreesParameters, monotone: Directions) -> Growth:
        """Return that of trees that are the whole model: its base is their share of label 1."""
        return cls(
            settings.depth,
            settings.learning_rate,
            settings.l2,
            settings.least_hessian,
            settings.least_gain,
            False,
            monotone,
        )

    @classmethod
    def personal(cls, settings: TreesParameters, monotone: Directions) -> Growth:
        """Return that of trees that a site grows for itself on top of a model of all sites.

        One that cannot split is an intercept of the site's own.
        """
        return cls(
            settings.personal_depth,
            settings.personal_learning_rate,
            settings.personal_l2,
            settings.personal_least_hessian,
            settings.least_gain,
            True,
            monotone,
        )


def grow(ask: Callable[[Model], Vector], columns: Columns, growth: Growth) -> dict[str, np.ndarray]:
    """Return a model of one tree, with the base 0.

    Of splits that gain the same, the one by the first feature is taken, at the lowest bin, with
    missing values left. Where no row of a node misses the feature, missing values go to the child
    with the larger sum of curvatures, left if both are the same.

    Args:
        ask: from the tree as far as it has splits to the histograms of the nodes of
            :func:`asked_about`, shape ``(nodes, columns, bins + 1, 2)``: sums of slopes and
            curvatures by feature and code.
        columns: the features that the histograms are of, ascending.
        growth: how it is grown.
    """
    tree = trees.start(growth.depth, number=1)
    feature, last, missing_left, leaves = (tree[name][0] for name in (*SPLITS, VALUE))
    nodes = np.zeros(1, dtype=np.intp)  # of this level, by position, that may split
    bounds = np.array([[-np.inf, np.inf]])
    sums = ask(tree)
    values = _values(sums[:, 0].sum(axis=1).T, growth.l2, bounds.T) * growth.shifts
    for level in range(growth.depth):
        if level:
            left = ask(tree)
            sums = np.stack([left, sums - left], axis=1).reshape(-1, *left.shape[1:])
        found = _best_splits(sums, columns, growth, bounds)
        splits = found.gain > growth.least_gain + _ROUNDING
        leaves[nodes[~splits] << (growth.depth - level)] = values[~splits]
        parents = nodes[splits]
        own = 2**level - 1 + parents
        feature[own], last[own] = found.feature[splits], found.last[splits]
        missing_left[own] = found.missing_left[splits]
        nodes = np.column_stack([2 * parents, 2 * parents + 1]).ravel()
        sums, values = sums[splits], found.values[splits].ravel()
        bounds = _handed_down(found, growth, bounds)[splits].reshape(-1, 2)
        if not len(nodes):
            break
    leaves[nodes] = values
    leaves *= growth.learning_rate
    return tree


def asked_about(feature: np.ndarray) -> tuple[int, list[int]]:
    """Return the level that a growing tree lacks, and the nodes of it that are asked about.

    Args:
        feature: of its nodes, shape ``(nodes,)``.

    Returns:
        The level, and positions in it, ascending: the root, or the left children of the nodes that
        split. The level of a tree that is complete is that of its leaves.
    """
    split = [node for node, own in enumerate(feature.tolist(), start=1) if own >= 0]
    if not split:
        return 0, [0]
    level = split[-1].bit_length()  # with the root as 1, the nodes of this level begin at 2**level
    return level, [2 * node - 2**level for node in split if node.bit_length() == level]


class _Splits(NamedTuple):
    """The best split of each node; ``values``: of its children, shape ``(nodes, 2)``."""

    gain: Vector
    feature: Columns
    last: NDArray[np.int16]
    missing_left: NDArray[np.bool_]
    values: Vector


def _best_splits(sums: Vector, columns: Columns, growth: Growth, bounds: Vector) -> _Splits:
    """Find the best split of each node.

    Args:
        sums: histograms of the nodes, shape ``(nodes, columns, bins + 1, 2)``.
        columns: features that they are of.
        growth: how the tree is grown.
        bounds: of the values of each node, shape ``(nodes, 2)``.
    """
    # slopes and curvatures, each (nodes, columns, codes); candidates: (nodes, columns, last bin on
    # the left, missing values left or right)
    each = np.ascontiguousarray(np.moveaxis(sums, -1, 0))
    total = each[:, :, 0].sum(axis=-1)
    upto = np.cumsum(each, axis=-1)[..., 1:]
    left = np.stack([upto, upto - each[..., :1]], axis=-1)
    right = total[..., None, None, None] - left
    wide = bounds.T[..., None, None, None]
    below, above = _values(left, growth.l2, wide), _values(right, growth.l2, wide)
    gain = _score(left, below, growth.l2) + _score(right, above, growth.l2)
    enough = np.minimum(left[1], right[1]) >= growth.least_hessian
    direction = growth.monotone[columns][:, None, None]
    gain[~enough | ((above - below) * direction < 0)] = -np.inf

    flat = gain.reshape(len(sums), -1)
    best = flat.argmax(axis=1)
    node = np.arange(len(sums))
    column, last, side = np.unravel_index(best, gain.shape[1:])
    at = node, column, last, side
    none_missing = each[1, node, column, 0] == 0
    heavier = left[1][at] >= right[1][at]
    own = _values(total, growth.l2, bounds.T)
    return _Splits(
        flat[node, best] - _score(total, own, growth.l2),
        columns[column],
        (last + 1).astype(np.int16),
        np.where(none_missing, heavier, side == 0),
        np.column_stack([below[at], above[at]]),
    )


def _values(sums: Vector, l2: float, bounds: Vector) -> Vector:
    """Return the best values of leaves; slopes and curvatures, and both bounds, along the first
    axis."""
    g, h = sums
    least, most = bounds
    return np.clip(-g / np.maximum(h + l2, _TINY), least, most)


def _score(sums: Vector, values: Vector, l2: float) -> Vector:
    r"""Twice what leaves with these values take from the penalized loss: G^2 / (H + l2) at best."""
    g, h = sums
    found: Vector = -(2 * g + (h + l2) * values) * values
    return found


def _handed_down(found: _Splits, growth: Growth, bounds: Vector) -> Vector:
    """Return the bounds of the values of both children of each node, shape ``(nodes, 2, 2)``."""
    direction = growth.monotone[found.feature]
    middle = found.values.mean(axis=1)
    handed = np.repeat(bounds[:, None], 2, axis=1)
    rising, falling = direction > 0, direction < 0
    handed[rising, 0, 1] = handed[rising, 1, 0] = middle[rising]
    handed[falling, 0, 0] = handed[falling, 1, 1] = middle[falling]
    return handed
