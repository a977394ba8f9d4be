r"""Gradient boosted trees as arrays, and the log-odds that they give.

A model of :math:`T` trees of depth :math:`D` is a mapping of

* ``feature`` int16 ``(T, 2**D - 1)``: the feature that each inner node splits by, -1 where it does
  not split. The nodes are in level order: those of level :math:`l` begin at :math:`2^l - 1`.
* ``bin`` int16 ``(T, 2**D - 1)``: a row goes left where its code is at most this one, else right.
* ``missing_left`` uint8 ``(T, 2**D - 1)``: whether a row that misses the feature goes left.
* ``value`` float64 ``(T, 2**D)``: what each leaf adds to the log-odds.
* ``base`` float64 ``(1,)``: the log-odds before the first tree.

Each tree is a full one. In a node that does not split every row goes left: ``bin`` is ``MOST_BINS``
and ``missing_left`` 1. So a leaf above the last level is the leftmost of those below it, and the
others are never reached. Rows are given as codes of :class:`ms_pfl.learning.bins.Bins`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning.bins import MISSING
from ms_pfl.learning.parameters import MOST_BINS

FEATURE, BIN, MISSING_LEFT, VALUE, BASE = "feature", "bin", "missing_left", "value", "base"
SPLITS = (FEATURE, BIN, MISSING_LEFT)
"""The arrays that say how trees split."""
TYPES = {FEATURE: "int16", BIN: "int16", MISSING_LEFT: "uint8", VALUE: "float64", BASE: "float64"}
"""The type of each array."""
MOST_DEPTH = 6

Model = Mapping[str, np.ndarray]
Vector = NDArray[np.float64]
Codes = NDArray[np.uint8]
"""Codes of rows, feature by feature, shape ``(features, rows)``."""
_CELLS_AT_ONCE = 2**23
"""Nodes times rows that are looked at in one step."""


def start(depth: int, base: float = 0.0, number: int = 0) -> dict[str, np.ndarray]:
    """Return a model of some trees in which no node splits and that add nothing to the base."""
    nodes = 2**depth - 1
    return {
        FEATURE: np.full((number, nodes), -1, dtype=np.int16),
        BIN: np.full((number, nodes), MOST_BINS, dtype=np.int16),
        MISSING_LEFT: np.ones((number, nodes), dtype=np.uint8),
        VALUE: np.zeros((number, nodes + 1)),
        BASE: np.array([base]),
    }


def count(model: Model) -> int:
    """Return the number of trees."""
    return len(model[FEATURE])


def depth_of(model: Model) -> int:
    """Return the depth of the trees."""
    return int(model[VALUE].shape[1]).bit_length() - 1


def first(model: Model, trees: int) -> dict[str, np.ndarray]:
    """Return the model of its first trees."""
    return {name: array if name == BASE else array[:trees] for name, array in model.items()}


def joined(model: Model, more: Model) -> dict[str, np.ndarray]:
    """Return the model that adds the trees of another one, both as deep as the deeper of them.

    The bases are added up: the log-odds are those of both together.
    """
    depth = max(depth_of(model), depth_of(more))
    one, other = deepened(model, depth), deepened(more, depth)
    found = {name: np.concatenate([one[name], other[name]]) for name in (*SPLITS, VALUE)}
    return {**found, BASE: one[BASE] + other[BASE]}


def deepened(model: Model, depth: int) -> Model:
    """Return the same trees at a larger depth, with nodes that do not split below their leaves."""
    more = depth - depth_of(model)
    if not more:
        return model
    found = start(depth, float(model[BASE][0]), count(model))
    for name in SPLITS:
        found[name][:, : model[name].shape[1]] = model[name]
    found[VALUE][:, :: 2**more] = model[VALUE]
    return found


def check(model: Model, n_features: int) -> None:
    """See that arrays are a model of trees over so many features.

    Raises:
        InputError: they are none.
    """
    if {name: str(array.dtype) for name, array in model.items()} != TYPES:
        raise InputError("the arrays are not those of boosted trees, or of another type")
    depth = depth_of(model) if model[VALUE].ndim == 2 else 0
    if not 1 <= depth <= MOST_DEPTH:
        raise InputError(f"the boosted trees have a depth that is not 1 to {MOST_DEPTH}")
    number = len(model[VALUE])
    shapes = {
        **dict.fromkeys(SPLITS, (number, 2**depth - 1)),
        VALUE: (number, 2**depth),
        BASE: (1,),
    }
    if {name: array.shape for name, array in model.items()} != shapes:
        raise InputError("the arrays of the boosted trees have shapes that do not fit together")
    feature, last, left = (model[name] for name in SPLITS)
    split = feature >= 0
    parents = split[:, (np.arange(2**depth - 1) - 1) // 2]
    problems = {
        "a number that is not finite": not all(np.isfinite(model[n]).all() for n in (VALUE, BASE)),
        "a split by no feature": bool(((feature < -1) | (feature >= n_features)).any()),
        "a split at no bin": bool(((last < MISSING) | (last > MOST_BINS)).any()),
        "a side of missing values that is neither": bool((left > 1).any()),
        "a split with nothing on its left": bool(((last == MISSING) & (left == 0)).any()),
        "a split below a leaf": bool((split & ~parents)[:, 1:].any()),
        "a leaf that goes right": bool((((last < MOST_BINS) | (left == 0)) & ~split).any()),
    }
    for problem, found in problems.items():
        if found:
            raise InputError(f"the boosted trees have {problem}")


def by_feature(codes: NDArray[np.float32]) -> Codes:
    """Return codes feature by feature, one byte each.

    Args:
        codes: of :meth:`ms_pfl.learning.bins.Bins.apply`, shape ``(rows, features)``.
    """
    return np.ascontiguousarray(codes.T.astype(np.uint8))


def logits(model: Model, codes: NDArray[np.float32]) -> Vector:
    """Return the log-odds of rows, float64, shape ``(rows,)``: the trees are added in their order.

    Args:
        model: of any number of trees.
        codes: of :meth:`ms_pfl.learning.bins.Bins.apply`, shape ``(rows, features)``.
    """
    step = max(1, _CELLS_AT_ONCE // max(1, model[FEATURE].size))
    parts = [
        _logits(model, by_feature(codes[begin : begin + step]))
        for begin in range(0, len(codes), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _logits(model: Model, codes: Codes) -> Vector:
    """Return the log-odds of few rows: all trees are walked at once, level by level."""
    number, depth = count(model), depth_of(model)
    right = _goes_right(codes, *(model[name].ravel() for name in SPLITS))
    right = right.reshape(number, 2**depth - 1, codes.shape[1])
    place = np.zeros((number, codes.shape[1]), dtype=np.intp)
    for level in range(depth):
        below = np.take_along_axis(right, (2**level - 1 + place)[:, None], axis=1)[:, 0]
        place = 2 * place + below
    values = np.take_along_axis(model[VALUE], place, axis=1)
    found = np.full(codes.shape[1], float(model[BASE][0]))
    for own in values:  # in the order of the trees, as they grew
        found += own
    return found


class Walk:
    """The way of rows down a tree; of a tree that grows, only levels that are new are walked."""

    def __init__(self, codes: Codes) -> None:
        """Keep the rows."""
        self.codes = codes
        self._right: list[NDArray[np.bool_]] = []  # at each level that has been walked
        self._places = [np.zeros(codes.shape[1], dtype=np.uint8)]  # at each level, the next too
        self._held = dict.fromkeys(SPLITS, b"")  # how the nodes of these levels split

    def places(self, splits: Model, levels: int) -> Codes:
        """Return the node that each row is in, by its position in its level, shape ``(rows,)``.

        Args:
            splits: the arrays :data:`SPLITS` of one tree, each of shape ``(nodes,)``.
            levels: how many it goes down from the root.
        """
        told = {name: splits[name].tobytes() for name in SPLITS}
        if not all(told[name].startswith(held) for name, held in self._held.items()):
            del self._right[:], self._places[1:]
        for level in range(len(self._right), levels):
            nodes = slice(2**level - 1, 2 ** (level + 1) - 1)
            right = _goes_right(self.codes, *(splits[name][nodes] for name in SPLITS))
            # all rows are compared at all nodes of a level, which costs less than to choose
            for above in self._right:
                half = len(right) // 2
                right = np.where(above, right[half:], right[:half])
            self._right.append(right[0])
            self._places.append(self._places[-1] << np.uint8(1) | right[0])
        known = 2 ** len(self._right) - 1
        self._held = {name: told[name][: known * splits[name].itemsize] for name in SPLITS}
        return self._places[levels]


def _goes_right(
    codes: Codes, feature: np.ndarray, last: np.ndarray, missing_left: np.ndarray
) -> NDArray[np.bool_]:
    """Whether rows go right at some nodes, shape ``(nodes, rows)``.

    One comparison of bytes: where missing values go right, 1 is taken from code and bin, and 0
    becomes 255, the largest byte.
    """
    shift = missing_left ^ np.uint8(1)
    values = codes.take(feature, axis=0, mode="clip")  # -1, where all go left: the first feature
    values -= shift[:, None]
    right: NDArray[np.bool_] = values > (last - shift).astype(np.uint8)[:, None]
    return right


class Margins:
    """The log-odds of rows, kept while a model grows: a tree more costs one tree alone.

    They are the bits of :func:`logits` for every model, whatever was asked before: what a model
    does not extend, bit by bit, is added up from its first tree.
    """

    def __init__(self, walk: Walk) -> None:
        """Keep the rows; who grows a tree on them can walk it with the same."""
        self._walk = walk
        self._forget(start(1))

    def at(self, model: Model) -> bool:
        """Return whether a model is the last one."""
        return self._trees == count(model) and self.extended_by(model)

    def extended_by(self, model: Model) -> bool:
        """Return whether a model begins with all trees of the last one."""
        return self._depth == depth_of(model) and all(
            model[name].tobytes().startswith(held) for name, held in self._held.items()
        )

    def of(self, model: Model) -> Vector:
        """Return the log-odds under a model, shape ``(rows,)``."""
        if not self.extended_by(model):
            self._forget(model)
        if self._trees < count(model):
            for tree in range(self._trees, count(model)):
                splits = {name: model[name][tree] for name in SPLITS}
                self._margin += model[VALUE][tree].take(self._walk.places(splits, self._depth))
            self._hold(model)
        return self._margin.copy()

    def _forget(self, model: Model) -> None:
        self._margin = np.full(self._walk.codes.shape[1], float(model[BASE][0]))
        self._hold(first(model, 0))

    def _hold(self, model: Model) -> None:
        self._trees, self._depth = count(model), depth_of(model)
        self._held = {name: model[name].tobytes() for name in TYPES}
