r"""What sites send while boosted trees are grown: sums over their rows, exact.

A row's slope :math:`w (p - y)` and curvature :math:`w p (1 - p)` are rounded to multiples of
:math:`2^{-30}` before they are added up. Sums of such numbers over up to :data:`MOST_ROWS` rows are
exact in float64, and so are their differences: however rows are divided among sites, and in
whatever order they are added, the total is the same bits. So the trees are those of one who has all
rows, node by node.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ms_pfl.errors import InputError
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.learning.tree_growth import Columns, asked_about
from ms_pfl.learning.trees import FEATURE, Model, Vector, Walk, by_feature

MOST_ROWS = 2**22
"""Training rows of all sites, at most, times the weight of label 1 if that is above 1. A number of
a row is at most 2**30 units times its weight, and float64 holds whole numbers up to 2**53: one bit
is left over."""
_UNITS = 2.0**30
_CELLS_AT_ONCE = 2**18


def check_rows(rows: float, settings: TreesParameters) -> None:
    """See that sums over so many training rows are exact.

    Raises:
        InputError: they may not be.
    """
    weight = max(1.0, settings.positive_weight)
    if rows * weight > MOST_ROWS:
        raise InputError(
            f"boosted trees take {int(MOST_ROWS / weight):,} training rows at most with the "
            f"positive_weight {settings.positive_weight:g}, and there are {int(rows):,}: leave "
            "patients out, or lower that weight"
        )


class TreeRows:
    """Training rows, as trees are grown from them."""

    def __init__(
        self, codes: NDArray[np.float32], y: NDArray[np.float32], settings: TreesParameters
    ) -> None:
        """Keep the rows.

        Args:
            codes: of :meth:`ms_pfl.learning.bins.Bins.apply`, shape ``(rows, features)``.
            y: labels 0/1, shape ``(rows,)``.
            settings: bins, and the weight of the rows with label 1.

        Raises:
            InputError: there are more rows than can be added up exactly.
            ValueError: a code is beyond the bins.
        """
        check_rows(len(y), settings)
        self.walk = Walk(by_feature(codes))
        if self.walk.codes.max(initial=0) > settings.bins:
            raise ValueError(f"there are codes beyond the {settings.bins} bins of the settings")
        self._width = settings.bins + 1
        self._chosen: tuple[bytes, NDArray[np.int32]] | None = None
        self._y = y.astype(np.float64)
        self._weights: Vector | None = None
        if settings.positive_weight != 1:
            self._weights = np.where(y > 0.5, settings.positive_weight, 1.0)

    @property
    def labels(self) -> Vector:
        """Rows without and with label 1, shape ``(2,)``."""
        having = float(np.count_nonzero(self._y))
        return np.array([len(self._y) - having, having])

    def slopes(self, margin: Vector) -> Vector:
        """Return slopes and curvatures of the log-loss, in units of ``2**-30``.

        Args:
            margin: log-odds of the rows, shape ``(rows,)``.

        Returns:
            Whole numbers, shape ``(2, rows)``.
        """
        p = expit(margin)
        found = np.empty((2, len(p)))
        np.subtract(p, self._y, out=found[0])
        np.multiply(p, 1.0 - p, out=found[1])
        found *= _UNITS
        np.rint(found, out=found)
        if self._weights is not None:  # a whole number counts a row so many times, to the bit
            found *= self._weights
            np.rint(found, out=found)
        return found

    def loss(self, margin: Vector) -> float:
        """Return the log-loss of the rows (nats), each rounded to ``2**-30``, times its weight.

        Args:
            margin: log-odds of the rows, shape ``(rows,)``.
        """
        each = np.rint((np.logaddexp(0.0, margin) - self._y * margin) * _UNITS)
        if self._weights is not None:
            each = np.rint(each * self._weights)
        return float(each.sum()) / _UNITS

    def histogram(self, slopes: Vector, splits: Model, columns: Columns) -> Vector:
        """Return the sums of the rows of each node that a growing tree is to be asked about.

        Args:
            slopes: of :meth:`slopes`.
            splits: of the tree so far, each array of shape ``(nodes,)``.
            columns: features that are asked about.

        Returns:
            Sums of slopes and curvatures by code, float64, shape
            ``(nodes, columns, bins + 1, 2)``; the first code is that of missing values.
        """
        level, nodes = asked_about(splits[FEATURE])
        shape = len(nodes), len(columns), self._width
        cells, begins = self._cells(columns), None
        if level:
            slots = [-1] * 2**level
            for place, node in enumerate(nodes):
                slots[node] = place * shape[1] * shape[2]
            slot = np.array(slots).take(self.walk.places(splits, level))
            inside = (slot >= 0).nonzero()[0]
            cells, slopes = cells.take(inside, axis=0), slopes.take(inside, axis=1)
            begins = slot.take(inside)[:, None] if len(nodes) > 1 else None
        return _sums(cells, begins, slopes, math.prod(shape)).reshape(*shape, 2)

    def _cells(self, columns: Columns) -> NDArray[np.int32]:
        """Cells of a histogram of some features, shape ``(rows, columns)``; kept for all levels."""
        name = columns.tobytes()
        if self._chosen is None or self._chosen[0] != name:
            begins = np.arange(len(columns), dtype=np.int32) * self._width
            cells = np.empty((self.walk.codes.shape[1], len(columns)), dtype=np.int32)
            np.add(self.walk.codes.take(columns, axis=0).T, begins, out=cells)
            self._chosen = name, cells
        return self._chosen[1]


def _sums(
    cells: NDArray[np.int32], begins: NDArray[np.intp] | None, slopes: Vector, size: int
) -> Vector:
    """Add up the slopes and the curvatures of rows in each cell of a histogram.

    Row by row: two values of one feature after the other are often in the same cell, and would wait
    for each other.

    Args:
        cells: of each row and column, shape ``(rows, columns)``.
        begins: what is added to the cells of each row, shape ``(rows, 1)``; None: nothing.
        slopes: shape ``(2, rows)``.
        size: cells of the histogram.

    Returns:
        Both sums of each cell, shape ``(size, 2)``.
    """
    rows, columns = cells.shape
    step = max(1, _CELLS_AT_ONCE // columns)  # rows of which the cells fit into the cache
    found = np.zeros((size, 2))
    for first in range(0, rows, step):
        part = cells[first : first + step]
        part = part.astype(np.intp) if begins is None else part + begins[first : first + step]
        flat = part.ravel()
        for place, each in enumerate(slopes):
            found[:, place] += np.bincount(flat, each[first : first + step].repeat(columns), size)
    found *= 1 / _UNITS
    return found
