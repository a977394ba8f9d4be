r"""Encoded inputs: normal scores, levels and missing values, agreed on by counts of the sites.

A feature of rows :math:`x` becomes its mid-rank :math:`u` among all training rows,
:math:`u(x) = (\#\{x_i < x\} + \#\{x_i = x\} / 2) / n`, as a normal score
:math:`\Phi^{-1}(\min(\max(u, .001), .999))` (van der Waerden's scores; Lehmann, Nonparametrics,
1975). No row is shown for that: the sites add up how many values lie in each cell of a grid, twice.
The first grid is the same for any table: a cell is what sign, exponent and two bits of the mantissa
of a float32 leave open, so no range has to be agreed on. The second divides the cells in which
values lie further, the more the more there are, always by powers of two, so that whole and half
numbers have cells of their own. Values in one cell of the second grid are treated as equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ms_pfl.errors import InputError
from ms_pfl.learning.blas import one_blas_thread
from ms_pfl.learning.parameters import MOST_LEVELS, InputParameters

Rows = NDArray[np.float32]
Counts = NDArray[np.float64]

FIRST_CELLS = 2**11
"""Cells of the first grid: sign, 8 bits of exponent and 2 of mantissa."""
CELLS = 512
"""Cells of the second grid, at most."""
CONTINUOUS = 25
"""A feature with values in more cells than this is taken for a continuous one."""
_SHIFT = 32 - 11
_FINEST = 8  # parts of a cell of the first grid that whole numbers up to 64 need
_CLIP = 1e-3
_FEWEST = 10  # rows that a level needs for a column of its own
_LARGEST = float(np.finfo(np.float32).max)


class Kind(IntEnum):
    """Kinds of columns, see :class:`Encoding`."""

    NORMAL_SCORE = 0
    STANDARDIZED = 1
    MISSING = 2
    LEVEL = 3
    HINGE = 4
    PIECE = 5


def first_counts(x: Rows) -> Counts:
    """Count the values in each cell of the first grid.

    Args:
        x: features, shape ``(rows, features)``, NaN = missing.

    Returns:
        Shape ``(features, FIRST_CELLS)``, in the order of the values; infinite ones are counted in
        the outermost cells.
    """
    n_features = x.shape[1]
    cells = (_keys(x) >> np.uint32(_SHIFT)).astype(np.int64)
    cells += np.arange(n_features) * FIRST_CELLS
    counts = np.bincount(cells[~np.isnan(x)], minlength=n_features * FIRST_CELLS)
    return counts.reshape(n_features, FIRST_CELLS).astype(np.float64)


def second_edges(first: Counts) -> Rows:
    """Return the edges of the second grid.

    Each cell of the first grid with values in it is divided into 8 parts at least where there is
    room, and into more in proportion to its values; where too many cells of the first grid have
    values, neighbors are put together.

    Args:
        first: total of :func:`first_counts`.

    Returns:
        Shape ``(features, CELLS - 1)``, ascending; cell ``i`` holds values from ``edges[i - 1]`` to
        below ``edges[i]``, and cell 0 none of these. What is left over is filled with the largest
        float32.
    """
    edges = np.full((len(first), CELLS - 1), _LARGEST, dtype=np.float32)
    half = CELLS // 2 - 1  # each part of a cell begins with an edge
    for own, counts in zip(edges, first, strict=True):
        shift = _SHIFT
        while np.count_nonzero(counts) > half:
            counts, shift = counts.reshape(-1, 2).sum(axis=1), shift + 1
        held = np.flatnonzero(counts)
        if not len(held):
            continue
        least = min(_FINEST, 2 ** int(np.log2(half / len(held))))
        share = half * counts[held] / counts.sum()
        parts = np.maximum(least, 2 ** np.floor(np.log2(np.maximum(share, 1))).astype(np.int64))
        found = np.concatenate(
            [
                (int(cell) << shift) + (np.arange(n, dtype=np.int64) << shift) // n
                for cell, n in zip(held, parts.tolist(), strict=True)
            ]
        )
        values = np.unique(_values(found))
        own[: len(values)] = values
    return edges


def second_counts(x: Rows, edges: Rows) -> Counts:
    """Count the values in each cell of the second grid; shape ``(features, CELLS)``."""
    counts = np.zeros((x.shape[1], CELLS))
    for own, column, grid in zip(counts, x.T, edges, strict=True):
        held = column[~np.isnan(column)]
        own += np.bincount(np.searchsorted(grid, held, side="right"), minlength=CELLS)
    return counts


@one_blas_thread()
def missing_together(x: Rows) -> Counts:
    """Count the rows in which two features are missing at once; shape ``(features, features)``."""
    missing = np.isnan(x).astype(np.float64)
    return missing.T @ missing


class Column(NamedTuple):
    """What a column of the encoded rows is.

    Attributes:
        kind: one of the kinds of :class:`Encoding`.
        feature: position of the feature that it is made of.
        low: see :class:`Encoding`.
        high: see :class:`Encoding`.
        scale: that the column is multiplied by.
    """

    kind: Kind
    feature: int
    low: float = 0.0
    high: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Encoding:
    """What the columns of encoded rows are.

    A column is, of a feature ``x`` with normal score ``z``, times ``scale``:

    * ``NORMAL_SCORE``: ``z``;
    * ``STANDARDIZED``: ``(x - low) / (high - low)``, that is, ``low`` is the mean and ``high`` one
      standard deviation above it;
    * ``MISSING``: 1 where ``x`` is missing;
    * ``LEVEL``: 1 where ``low <= x < high``;
    * ``HINGE``: ``max(0, z - low)``;
    * ``PIECE``: ``(x - low) / (high - low)``, cut off below 0 and above 1 (piecewise linear
      encoding; Gorishniy, Rubachev and Babenko, NeurIPS 2022).

    A missing value is 0 in every column but ``MISSING``.

    Attributes:
        edges: of the second grid, see :func:`second_edges`.
        scores: normal score of each cell, float64, shape ``(features, CELLS)``.
        kind: of each column, int64, shape ``(columns,)``.
        feature: that it is made of, int64, shape ``(columns,)``.
        low: float64, shape ``(columns,)``.
        high: float64, shape ``(columns,)``.
        scale: float64, shape ``(columns,)``.
        means: of each column over the training rows, float64, shape ``(columns,)``.
    """

    edges: Rows
    scores: NDArray[np.float64]
    kind: NDArray[np.int64]
    feature: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    scale: NDArray[np.float64]
    means: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        edges: Rows,
        counts: Counts,
        together: Counts,
        inputs: InputParameters,
        one_hot: Sequence[int] = (),
        moments: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> Encoding:
        """Return the encoding that follows from the counts of all sites.

        Args:
            edges: of the second grid.
            counts: total of :func:`second_counts`.
            together: total of :func:`missing_together`.
            inputs: which columns there are.
            one_hot: positions of the features whose levels are columns at full weight.
            moments: mean and standard deviation of each feature, where ``inputs`` has them
                standardized.

        Raises:
            InputError: a one-hot feature has too many levels.
        """
        scores = _scores(counts)
        columns = list(_columns(edges, counts, together, inputs, one_hot, moments))
        kind, feature, low, high, scale = map(np.array, zip(*columns, strict=True))
        encoding = cls(
            edges,
            scores,
            kind.astype(np.int64),
            feature.astype(np.int64),
            low.astype(np.float64),
            high.astype(np.float64),
            scale.astype(np.float64),
            np.zeros(len(kind)),
        )
        return replace(encoding, means=encoding._means(counts, np.diag(together)))

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.kind)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.edges)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What each column is."""
        parts = (self.kind, self.feature, self.low, self.high, self.scale)
        return tuple(
            Column(Kind(kind), *told)
            for kind, *told in zip(*(part.tolist() for part in parts), strict=True)
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _means(self, counts: Counts, missing: Counts) -> NDArray[np.float64]:
        """Means of the columns, as if each value were where its cell begins."""
        begins = np.column_stack([np.full(len(self.edges), -_LARGEST), self.edges])
        encoded = self.apply(begins.astype(np.float32).T).astype(np.float64)
        weights = counts[self.feature].T
        total = (encoded * weights).sum(axis=0)
        total += (self.kind == Kind.MISSING) * missing[self.feature] * self.scale
        total[self.kind == Kind.STANDARDIZED] = 0.0
        return total / np.maximum(weights.sum(axis=0) + missing[self.feature], 1)

    def averaged(self, x: Rows, features: NDArray[np.bool_]) -> Rows:
        """Return the encoded rows with the columns of some features at their training means.

        Args:
            x: features, shape ``(rows, features)``.
            features: which of them, shape ``(features,)``.
        """
        encoded = self.apply(x)
        columns = features[self.feature]
        encoded[:, columns] = self.means[columns]
        return encoded

    def cells(self, x: Rows) -> NDArray[np.int64]:
        """Return the cell of each value, shape ``x.shape``; -1 where it is missing."""
        return self._cells(np.ascontiguousarray(x.T)).T

    def apply(self, x: Rows) -> Rows:
        """Return the encoded rows, float32, shape ``(rows, columns)``.

        Args:
            x: features, shape ``(rows, features)``, NaN = missing; infinite values are beyond every
                edge.
        """
        by_feature = np.ascontiguousarray(x.T)
        cells = self._cells(by_feature)
        scores = np.take_along_axis(self.scores, np.maximum(cells, 0), axis=1)
        missing = cells < 0
        scores[missing] = 0.0
        encoded = np.empty((self.width, len(x)), dtype=np.float32)
        for column, (kind, feature, low, high, scale) in zip(encoded, self.columns, strict=True):
            value = by_feature[feature]
            match kind:
                case Kind.NORMAL_SCORE:
                    column[:] = scores[feature] * scale
                    continue
                case Kind.MISSING:
                    column[:] = missing[feature] * scale
                    continue
                case Kind.STANDARDIZED:
                    wide = np.clip(value, -_LARGEST, _LARGEST).astype(np.float64)
                    column[:] = (wide - low) / (high - low) * scale
                case Kind.LEVEL:
                    column[:] = (value >= low) & ((value < high) | (high == _LARGEST))
                    column *= scale
                case Kind.HINGE:
                    column[:] = np.maximum(0, scores[feature] - low) * scale
                case Kind.PIECE:
                    wide = value.astype(np.float64)
                    column[:] = np.clip((wide - low) / (high - low), 0, 1) * scale
            column[missing[feature]] = 0.0
        return np.ascontiguousarray(encoded.T)

    def _cells(self, by_feature: Rows) -> NDArray[np.int64]:
        found = np.empty(by_feature.shape, dtype=np.int64)
        for own, column, grid in zip(found, by_feature, self.edges, strict=True):
            own[:] = np.searchsorted(grid, column, side="right")
        found[np.isnan(by_feature)] = -1
        return found

    def check(self, n_features: int) -> None:
        """See that the arrays are an encoding of so many features.

        Raises:
            InputError: they are none.
        """
        width = len(self.kind)
        shapes = {
            "edges": (n_features, CELLS - 1),
            "scores": (n_features, CELLS),
            **dict.fromkeys(("kind", "feature", "low", "high", "scale", "means"), (width,)),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"the encoding of the inputs has '{name}' of another shape")
        numbers = (self.scores, self.low, self.high, self.scale, self.means, self.edges)
        divided = np.isin(self.kind, (Kind.STANDARDIZED, Kind.PIECE))
        problems = {
            "a number that is not finite": not all(np.isfinite(part).all() for part in numbers),
            "edges that are not ascending": bool((self.edges[:, 1:] < self.edges[:, :-1]).any()),
            "no column": not width,
            "a column of an unknown kind": not np.isin(self.kind, list(Kind)).all(),
            "a column of no feature": not np.isin(self.feature, np.arange(n_features)).all(),
            "a column of no width": bool((self.high <= self.low)[divided].any()),
        }
        for problem, found in problems.items():
            if found:
                raise InputError(f"the encoding of the inputs has {problem}")


def _columns(
    edges: Rows,
    counts: Counts,
    together: Counts,
    inputs: InputParameters,
    one_hot: Sequence[int],
    moments: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> Iterator[Column]:
    n_features = len(counts)
    for feature in range(n_features):
        if moments is None:
            yield Column(Kind.NORMAL_SCORE, feature)
        else:
            mean, sd = moments[0][feature], moments[1][feature]
            yield Column(Kind.STANDARDIZED, feature, float(mean), float(mean + sd))
    for feature in one_hot:
        levels = list(_levels(feature, edges, counts, 1.0))
        if len(levels) > MOST_LEVELS:
            raise InputError(
                f"training.inputs.one_hot: a feature has {len(levels)} levels or more, and "
                f"{MOST_LEVELS} at most have a column each; leave it out there"
            )
        yield from levels
    if inputs.indicators:
        missing, present = np.diag(together), counts.sum(axis=1)
        for feature in range(n_features):
            # of features that are always missing at once, one indicator says all
            same = (together[feature] == missing) & (missing == missing[feature])
            if missing[feature] and present[feature] and int(np.argmax(same)) == feature:
                yield Column(Kind.MISSING, feature)
    for feature in range(n_features):
        held = int(np.count_nonzero(counts[feature]))
        if feature not in one_hot and 2 < held <= inputs.level_columns:
            yield from _levels(feature, edges, counts, inputs.level_scale)
        if held > CONTINUOUS:
            for part in range(1, inputs.knots + 1):
                knot = float(ndtri(part / (inputs.knots + 1)))
                yield Column(Kind.HINGE, feature, knot, scale=inputs.knot_scale)
            yield from _pieces(feature, edges, counts, inputs.bins)


def _levels(feature: int, edges: Rows, counts: Counts, scale: float) -> Iterator[Column]:
    """Yield a column for each cell with enough values."""
    below = np.concatenate([[-_LARGEST], edges[feature].astype(np.float64), [_LARGEST]])
    for cell in np.flatnonzero(counts[feature] >= _FEWEST):
        yield Column(Kind.LEVEL, feature, float(below[cell]), float(below[cell + 1]), scale)


def _pieces(feature: int, edges: Rows, counts: Counts, bins: int) -> Iterator[Column]:
    """Columns between quantiles."""
    if not bins:
        return
    held = np.flatnonzero(counts[feature])
    cumulative = np.cumsum(counts[feature]) / counts[feature].sum()
    inner = np.searchsorted(cumulative, np.arange(1, bins) / bins)
    cells = np.concatenate([held[:1], inner, held[-1:]])
    cuts = np.unique(edges[feature][cells - 1].astype(np.float64))  # where the cells begin
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        yield Column(Kind.PIECE, feature, low, high)


def _scores(counts: Counts) -> NDArray[np.float64]:
    """Return normal scores of the mid-ranks of the cells; 0 where there is no value at all."""
    n = counts.sum(axis=1, keepdims=True)
    ranks = (np.cumsum(counts, axis=1) - counts / 2) / np.maximum(n, 1)
    scores = ndtri(np.clip(ranks, _CLIP, 1 - _CLIP))
    return np.where(n > 0, scores, 0.0)


def _keys(x: Rows) -> NDArray[np.uint32]:
    """Whole numbers in the order of float32 values; -0 is 0."""
    bits = (x + np.float32(0)).view(np.uint32)
    flip = np.where(bits >> np.uint32(31) == 1, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return bits ^ flip


def _values(keys: NDArray[np.int64]) -> Rows:
    """Return the float32 values of keys; what is no finite number becomes the largest or smallest
    one."""
    wide = keys.astype(np.uint32)
    flip = np.where(wide >> np.uint32(31) == 1, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    with np.errstate(invalid="ignore"):
        values = (wide ^ flip).view(np.float32)
        largest = np.where(keys >= 2**31, np.float32(_LARGEST), np.float32(-_LARGEST))
        return np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), largest)
