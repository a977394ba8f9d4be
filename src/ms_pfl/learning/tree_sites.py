"""Boosted trees at a site: what it answers, and trees that it grows for itself.

*Private trees* (adaptive): after every few shared trees a site grows one on its own rows, at the
log-odds of all trees so far, its own among them; its slopes for the next shared trees are those at
these log-odds too. They follow from the shared trees and the site's rows alone, so there is nothing
of them that has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ms_pfl.learning import trees
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_growth import Directions, Growth, grow
from ms_pfl.learning.tree_rows import TreeRows
from ms_pfl.learning.tree_steps import COLUMNS, directions, steps
from ms_pfl.learning.trees import SPLITS, TYPES, Margins, Model, Vector, Walk


class TreeSite:
    """A site's training rows, and what it knows of the trees that are grown.

    Each answer is the same bits whatever was asked before: what is kept is used where a question
    continues the last one, and else found again from the question and the rows.
    """

    def __init__(
        self,
        codes: NDArray[np.float32],
        y: NDArray[np.float32],
        settings: TreesParameters,
        monotone: Directions | None = None,
        *,
        private: bool = False,
    ) -> None:
        """Keep the rows.

        Args:
            codes: of :meth:`ms_pfl.learning.bins.Bins.apply`, shape ``(rows, features)``.
            y: labels 0/1, shape ``(rows,)``.
            settings: of the trees.
            monotone: direction of each feature, for private trees; None: no constraint.
            private: whether it grows private trees, after every ``settings.private_every`` shared
                ones.

        Raises:
            InputError: there are more rows than can be added up exactly.
        """
        self._rows = TreeRows(codes, y, settings)
        self._growth = Growth.personal(settings, directions(monotone, codes.shape[1]))
        self._every = settings.private_every if private else 0
        self._own: Model = trees.start(self._growth.depth)
        self._shared, self._private = Margins(self._rows.walk), Margins(Walk(self._rows.walk.codes))
        self._slopes: Vector | None = None

    @property
    def labels(self) -> Vector:
        """Rows without and with label 1, shape ``(2,)``: the answer to the first question."""
        return self._rows.labels

    def histogram(self, question: Model) -> Vector:
        """Return the answer to a question, see :func:`ms_pfl.learning.tree_steps.question`.

        Returns:
            Sums of slopes and curvatures, shape ``(nodes, columns, bins + 1, 2)``.
        """
        model = {name: question[name] for name in TYPES}
        model = trees.first(model, trees.count(model) - 1)
        if self._slopes is None or not self._shared.at(model):
            self._advance(model)
            self._slopes = self._rows.slopes(self._margin(model))
        splits = {name: question[name][-1] for name in SPLITS}
        return self._rows.histogram(self._slopes, splits, question[COLUMNS])

    def private_trees(self, model: Model) -> dict[str, np.ndarray]:
        """Return the site's private trees beside a shared model, as a model with the base 0.

        The log-odds of both together are those of :func:`ms_pfl.learning.trees.joined`.
        """
        self._advance(model)
        self._slopes = None
        return dict(self._own)

    def _advance(self, model: Model) -> None:
        """Grow the private trees that are due."""
        if not self._every:
            return
        if not self._shared.extended_by(model):
            self._own = trees.start(self._growth.depth)
        due = trees.count(model) // self._every
        for number in range(trees.count(self._own) + 1, due + 1):
            margin = self._margin(trees.first(model, number * self._every))
            self._own = trees.joined(self._own, own_tree(self._rows, margin, self._growth))

    def _margin(self, model: Model) -> Vector:
        margin = self._shared.of(model)
        return margin + self._private.of(self._own) if self._every else margin


def alone(
    codes: NDArray[np.float32],
    y: NDArray[np.float32],
    settings: TreesParameters,
    seed: int,
    monotone: Directions | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the model of some rows without a tree, then after each tree.

    It is the fit of :func:`ms_pfl.learning.tree_steps.steps` with one site, which has all rows.

    Args:
        codes: of :meth:`ms_pfl.learning.bins.Bins.apply`, shape ``(rows, features)``.
        y: labels 0/1, shape ``(rows,)``.
        settings: of the trees.
        seed: of the fit.
        monotone: direction of each feature; None: no constraint.

    Raises:
        InputError: there are more rows than can be added up exactly.
    """
    site = TreeSite(codes, y, settings)
    return steps(site.histogram, site.labels, codes.shape[1], settings, seed, monotone)


def on_top(
    given: Model,
    codes: NDArray[np.float32],
    y: NDArray[np.float32],
    settings: TreesParameters,
    monotone: Directions | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield a given model, then with one to ``settings.own_trees`` trees of a site's own after it.

    Own trees may split by all features, and differ from the given ones in depth, learning rate and
    penalty (``personal_depth`` and so on).

    Args:
        given: the model to start from.
        codes: of :meth:`ms_pfl.learning.bins.Bins.apply`, shape ``(rows, features)``.
        y: labels 0/1, shape ``(rows,)``.
        settings: of the trees.
        monotone: direction of each feature; None: no constraint.

    Raises:
        InputError: there are more rows than can be added up exactly.
    """
    rows = TreeRows(codes, y, settings)
    growth = Growth.personal(settings, directions(monotone, codes.shape[1]))
    margins, model = Margins(rows.walk), given
    yield dict(model)
    for _ in range(settings.own_trees):
        model = trees.joined(model, own_tree(rows, margins.of(model), growth))
        yield dict(model)


def own_tree(rows: TreeRows, margin: Vector, growth: Growth) -> dict[str, np.ndarray]:
    """Return a tree that is grown on some rows alone, by all features, as a model with the base 0.

    Args:
        rows: that it is grown on.
        margin: their log-odds before it, shape ``(rows,)``.
        growth: how it is grown.
    """
    slopes = rows.slopes(margin)
    columns = np.arange(len(rows.walk.codes), dtype=np.int16)

    def ask(growing: Model) -> Vector:
        splits = {name: growing[name][0] for name in SPLITS}
        return rows.histogram(slopes, splits, columns)

    return grow(ask, columns, growth)
