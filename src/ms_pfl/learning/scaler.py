"""The federated scaler: mean and standard deviation of the pooled rows, from sums alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError

_CONSTANT = 1e-10


@dataclass(frozen=True)
class ScalerSums:
    """A country's ``n``, ``sum x`` and ``sum x^2`` a feature, missing values left out, float64."""

    n: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, x: NDArray[np.float32]) -> ScalerSums:
        """Return the sums of rows ``x``, shape ``(rows, features)``, NaN = missing."""
        # transposed, so that numpy sums in pairs, which rounds less than one by one
        columns = np.ascontiguousarray(x.T, dtype=np.float64)
        present = ~np.isnan(columns)
        values = np.where(present, columns, 0.0)
        return cls(
            present.sum(axis=1).astype(np.float64),
            values.sum(axis=1),
            np.square(values).sum(axis=1),
        )


@dataclass(frozen=True)
class Scaler:
    """``(x - mean) / sd`` a feature; float64 arrays of shape ``(features,)``."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    @property
    def width(self) -> int:
        """Number of columns of prepared rows."""
        return len(self.mean)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.mean)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {"mean": self.mean, "sd": self.sd}

    def check(self, n_features: int) -> None:
        """See that the arrays are a scaler of so many features.

        Raises:
            InputError: they are none.
        """
        if {self.mean.shape, self.sd.shape} != {(n_features,)}:
            raise InputError(f"the scaler has no mean and sd of each of {n_features} features")
        if not np.isfinite([self.mean, self.sd]).all():
            raise InputError("the scaler has a number that is not finite")
        if (self.sd <= 0).any():
            raise InputError("sd of the scaler has to be above 0")

    def unscaled(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the rows as they are, float32, with the mean in the place of a missing value."""
        return np.where(np.isnan(x), self.mean, x).astype(np.float32)

    @classmethod
    def from_sums(cls, parts: Iterable[ScalerSums]) -> Scaler:
        """Return the scaler of all countries together, added in the order given.

        ``mean = S1 / N``, ``sd = sqrt(S2 / N - mean^2)`` (population) with ``N``, ``S1``, ``S2``
        the countries' ``n``, ``sum x``, ``sum x^2`` added up. A feature that nobody has gets mean
        0; one that does not vary, or by less than rounding can tell, gets sd 1.
        """
        parts = list(parts)
        n = np.sum([part.n for part in parts], axis=0)
        seen = np.maximum(n, 1.0)
        mean = np.sum([part.total for part in parts], axis=0) / seen
        mean_square = np.sum([part.squares for part in parts], axis=0) / seen
        variance = mean_square - mean**2
        varies = variance > _CONSTANT * mean_square
        return cls(mean, np.sqrt(np.where(varies, variance, 1.0)))

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scaled rows, float32; a missing value becomes the federated mean, that is, 0."""
        scaled = (x.astype(np.float64) - self.mean) / self.sd
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)
