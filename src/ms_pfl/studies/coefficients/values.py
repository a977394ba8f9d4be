"""Which values of a feature are shown: none that is that of a few patients.

A value is shown as it is where at least 10 patients have it. A feature with more values than that
could show is shown at rounded quantiles, so that no value is a patient's own. Either way at least
10 patients lie between any two values that are shown next to each other, and beyond the last one or
nobody: counts of rows up to a value tell of no smaller group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS

Vector = NDArray[np.float64]
How = Literal["binary", "quartiles", "ends", "level", "missing"]

_SHARES = np.array([0.01, *np.arange(1, 40) / 40, 0.99])
"""Of the rows, at which a feature with many values is shown: between the 1st and the 99th
percentile, among them quartiles and median."""


class Comparison(NamedTuple):
    """Two values of a feature that are compared.

    Attributes:
        how: ``binary``: there are no others; ``quartiles``: the upper with the lower one; ``ends``:
            the highest with the lowest value shown, where quartiles are equal; ``level``: with the
            lowest one; ``missing``: no value with the median.
        low: compared with; the median of ``missing``.
        high: what is compared; NaN where it is missing.
    """

    how: How
    low: float
    high: float


@dataclass(frozen=True)
class Values:
    """The values of a feature in some rows.

    Attributes:
        values: in ascending order, without the missing ones, float32, shape ``(rows,)``.
        patients: a number for the patient of each, ascending where values are equal.
        n_missing: patients with a row in which the value is missing.
    """

    values: NDArray[np.float32]
    patients: NDArray[np.int32]
    n_missing: int

    @classmethod
    def of(cls, values: NDArray[np.float32], patients: NDArray[np.int32]) -> Values:
        """Sort the values of rows.

        Args:
            values: NaN = missing, shape ``(rows,)``.
            patients: a number for the patient of each row, of the same shape.
        """
        missing = np.isnan(values)
        held, owners = values[~missing], patients[~missing]
        order = np.lexsort((owners, held))
        return cls(held[order], owners[order], len(np.unique(patients[missing])))

    @cached_property
    def common(self) -> Vector:
        """The values that at least 10 patients have, ascending."""
        values, counts = self._distinct
        found: Vector = values[counts >= MIN_PATIENTS].astype(np.float64)
        return found

    @cached_property
    def shown(self) -> Vector:
        """The values between the 1st and the 99th percentile at which a curve is shown."""
        if not len(self.values):
            return np.empty(0)
        quantiles = self._quantile(_SHARES).astype(np.float64)
        low, high = quantiles[0], quantiles[-1]
        common = self.common[(self.common >= low) & (self.common <= high)]
        if len(self._distinct[0]) <= len(_SHARES):
            return self._apart(common)
        rounded = quantiles
        if high > low:
            rounded = np.round(quantiles, 2 - int(np.floor(np.log10(high - low))))
        exact = np.isin(quantiles, common)
        kept = common if len(common) <= len(_SHARES) else quantiles[exact]
        return self._apart(np.unique(np.r_[kept, rounded[~exact]]))

    @property
    def median(self) -> float:
        """The shown value next to the median; NaN where none is shown."""
        return self._near(0.5)

    @property
    def comparison(self) -> Comparison | None:
        """Which two values stand for the feature; None where there are no two."""
        if len(self._distinct[0]) == 2:
            pair = self.common.tolist()
            return Comparison("binary", *pair) if len(pair) == 2 else None
        if len(self.shown) < 2:
            return None
        low, high = self._near(0.25), self._near(0.75)
        if low < high:
            return Comparison("quartiles", low, high)
        return Comparison("ends", float(self.shown[0]), float(self.shown[-1]))

    def share_up_to(self, values: Vector) -> Vector:
        """Return the share of the rows with a value that have at most some values."""
        upto = np.searchsorted(self.values, values.astype(np.float32), side="right")
        return upto / max(len(self.values), 1)

    @cached_property
    def _distinct(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Each value, and how many patients have it."""
        another = np.r_[True, self.values[1:] != self.values[:-1]][: len(self.values)]
        first = another | np.r_[True, self.patients[1:] != self.patients[:-1]][: len(another)]
        counts = np.bincount(np.cumsum(another)[first] - 1, minlength=0)
        return self.values[another], counts

    def _quantile(self, shares: Vector) -> NDArray[np.float32]:
        places = np.ceil(shares * len(self.values)).astype(np.int64) - 1
        return self.values[np.clip(places, 0, None)]

    def _near(self, share: float) -> float:
        if not len(self.shown):
            return float("nan")
        quantile = float(self._quantile(np.array([share]))[0])
        return float(self.shown[np.argmin(np.abs(self.shown - quantile))])

    def _apart(self, candidates: Vector) -> Vector:
        """Of some ascending values those between which there are enough patients."""
        ends = np.searchsorted(self.values, candidates.astype(np.float32), side="right")
        kept: list[int] = []
        begins = [0]
        for place, end in enumerate(ends.tolist()):
            if self._n_patients(begins[-1], end) >= MIN_PATIENTS:
                kept.append(place)
                begins.append(end)
        while kept and 0 < self._n_patients(begins[-1], None) < MIN_PATIENTS:
            kept.pop()
            begins.pop()
        return candidates[kept]

    def _n_patients(self, begin: int, end: int | None) -> int:
        return len(np.unique(self.patients[begin:end]))
