"""Binned inputs of boosted trees: the bin of each value, agreed on by counts of the sites.

The bins follow from the counts of all sites' values in the cells of the second grid
(:mod:`ms_pfl.learning.encoding`), so that no row is shown. A value becomes a *code*: 0 where it is
missing, else its bin, from 1 on, in the order of the values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning.encoding import Counts, Rows
from ms_pfl.learning.parameters import MOST_BINS

MISSING = 0
"""The code of a missing value. The first bin has the code 1: with missing values in front, a code
is at once a position in a histogram, whatever the number of bins."""
_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Bins:
    """Where the bins of each feature begin.

    Attributes:
        cuts: where its second and further bins begin, ascending, float32, shape
            ``(features, MOST_BINS - 1)``; what is left over is filled with the largest float32.
        medians: code of the bin of its median, float32, shape ``(features,)``; 0 where no training
            row has the feature.
    """

    cuts: Rows
    medians: Rows

    @classmethod
    def of(cls, edges: Rows, counts: Counts, bins: int) -> Bins:
        """Return the bins that follow from the counts of all sites.

        A feature with values in at most ``bins`` cells has a bin for each of these. Otherwise a bin
        ends at the end of a cell, as near as can be to an equal share of the values that are left
        for it and the bins after it (a cell with many values takes from no other bin).

        Args:
            edges: of the second grid, shape ``(features, CELLS - 1)``.
            counts: total of :func:`ms_pfl.learning.encoding.second_counts`.
            bins: of a feature at most, from 2 to ``MOST_BINS``.
        """
        cuts = np.full((len(edges), MOST_BINS - 1), _LARGEST, dtype=np.float32)
        medians = np.zeros(len(edges), dtype=np.float32)
        for feature, own in enumerate(counts):
            held = np.flatnonzero(own)
            if not len(held):
                continue
            upto = np.cumsum(own[held])
            ends = _ends(upto, bins)
            begins = edges[feature, held[ends + 1] - 1]
            ends = ends[begins < _LARGEST]  # no bin for that one value alone
            cuts[feature, : len(ends)] = begins[: len(ends)]
            medians[feature] = 1 + np.count_nonzero(upto[ends] < upto[-1] / 2)
        return cls(cuts, medians)

    @property
    def width(self) -> int:
        """Number of columns of the codes: that of the features."""
        return len(self.cuts)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.cuts)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {"cuts": self.cuts, "medians": self.medians}

    def apply(self, x: Rows) -> Rows:
        """Return the codes of rows, float32, shape ``(rows, features)``.

        Args:
            x: features, shape ``(rows, features)``, NaN = missing; infinite values fall into the
                outermost bins.
        """
        codes = np.empty((self.width, len(x)), dtype=np.float32)
        for own, column, cuts in zip(codes, np.ascontiguousarray(x.T), self.cuts, strict=True):
            held = cuts[cuts < _LARGEST]
            own[:] = np.searchsorted(held, column, side="right") + 1
            own[np.isnan(column)] = MISSING
        return np.ascontiguousarray(codes.T)

    def averaged(self, x: Rows, features: NDArray[np.bool_]) -> Rows:
        """Return the codes of rows with some features at the bin of their median.

        A tree cannot take the mean of codes. To set the features missing would not be neutral
        either: trees learn what the risk of rows is that miss a value.

        Args:
            x: features, shape ``(rows, features)``.
            features: which of them, shape ``(features,)``.
        """
        codes = self.apply(x)
        codes[:, features] = self.medians[features]
        return codes

    def check(self, n_features: int) -> None:
        """See that the arrays are bins of so many features.

        Raises:
            InputError: they are none.
        """
        shapes = {"cuts": (n_features, MOST_BINS - 1), "medians": (n_features,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"the bins of the inputs have '{name}' of another shape")
        held = self.cuts < _LARGEST
        ascending = (self.cuts[:, 1:] > self.cuts[:, :-1]) | ~held[:, 1:]
        problems = {
            "a number that is not finite": not np.isfinite(self.cuts).all(),
            "cuts that are not ascending": not ascending.all(),
            "a median in no bin": not np.isin(self.medians, np.arange(MOST_BINS + 1)).all()
            or bool((self.medians > held.sum(axis=1) + 1).any()),
        }
        for problem, found in problems.items():
            if found:
                raise InputError(f"the bins of the inputs have {problem}")


def _ends(upto: Counts, bins: int) -> NDArray[np.int64]:
    """Return the last of the cells with values in each bin but the last one.

    Args:
        upto: values up to the end of each cell with values, shape ``(cells,)``.
        bins: at most.
    """
    if len(upto) <= bins:
        return np.arange(len(upto) - 1)
    ends: list[int] = []
    last, done = -1, 0.0
    for left in range(bins, 1, -1):
        target = done + (upto[-1] - done) / left
        cell = int(np.searchsorted(upto, target))
        if cell > last + 1 and target - upto[cell - 1] < upto[cell] - target:
            cell -= 1
        if cell >= len(upto) - 1:
            break
        ends.append(cell)
        last, done = cell, float(upto[cell])
    return np.array(ends, dtype=np.int64)
