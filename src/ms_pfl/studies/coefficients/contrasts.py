r"""Odds ratios of two rows, as regressions see them.

Two rows that differ in one feature differ, as the model sees them, by the contrast :math:`c`, which
may have several columns: a normal score, hinges, levels. Their log odds ratio is
:math:`c^\top\theta` with the standard error :math:`\sqrt{c^\top V c}`, :math:`V` the covariance of
the coefficients (:func:`ms_pfl.learning.logistic.sandwich`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ms_pfl.learning.blas import one_blas_thread
from ms_pfl.learning.encoding import Encoding, Kind
from ms_pfl.learning.inputs import Inputs
from ms_pfl.learning.logistic import theta_of
from ms_pfl.learning.scaler import Scaler
from ms_pfl.training.bundle import ModelBundle

Z = NormalDist().inv_cdf(0.975)
Rows = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A regression of one seed.

    Attributes:
        inputs: what rows become before it sees them.
        theta: its coefficients, the intercept last, shape ``(columns + 1,)``.
        covariance: of them, shape ``(columns + 1, columns + 1)``.
        scaled: False: of a scaler only the means are used, in the place of missing values.
    """

    inputs: Inputs
    theta: Vector
    covariance: Vector
    scaled: bool = True

    @property
    def tells_missing(self) -> bool:
        """Whether some column tells that a value is missing."""
        return isinstance(self.inputs, Encoding) and Kind.MISSING in self.inputs.kind

    def levels(self) -> frozenset[int]:
        """Return the features of which levels have columns of their own."""
        if not isinstance(self.inputs, Encoding):
            return frozenset()
        return frozenset(self.inputs.feature[self.inputs.kind == Kind.LEVEL].tolist())

    def contrasts(self, low: Rows, high: Rows) -> Vector:
        """Return what rows are above others, as the regression sees them.

        Args:
            low: compared with, shape ``(rows, features)``, NaN = missing.
            high: what is compared, of the same shape.

        Returns:
            Shape ``(rows, columns + 1)``; the intercept's is 0.
        """
        seen = self.inputs.apply
        if isinstance(self.inputs, Scaler) and not self.scaled:
            seen = self.inputs.unscaled
        apart = seen(high).astype(np.float64) - seen(low).astype(np.float64)
        return np.column_stack([apart, np.zeros(len(apart))])


class Estimates(NamedTuple):
    """Log odds ratios and their standard errors, shape ``(rows,)`` each."""

    log_odds_ratio: Vector
    standard_error: Vector

    def interval(self) -> tuple[Vector, Vector]:
        """Return the 95 % intervals of the log odds ratios."""
        away = Z * self.standard_error
        return self.log_odds_ratio - away, self.log_odds_ratio + away


def fits_of(bundle: ModelBundle, scaling: str) -> list[Fit]:
    """Return the fits of a training whose covariance was saved, by seed.

    Args:
        bundle: its models.
        scaling: ``training.protocol.scaling``; with ``country`` rows of two countries that have
            the same values differ, so there is no fit here.
    """
    if scaling == "country":
        return []
    starts = bundle.starts()
    return [
        Fit(starts[seed].inputs, theta_of(starts[seed].arrays), covariance, scaling != "none")
        for seed, covariance in bundle.covariances().items()
    ]


@one_blas_thread()
def compare(fits: Sequence[Fit], low: Rows, high: Rows) -> Estimates:
    r"""Return log odds ratios of rows, as means over seeds.

    The standard error is the mean of those of the seeds. The standard deviation of a mean is at
    most the mean of the standard deviations, however its parts are correlated (Minkowski's
    inequality), and seeds share most of their patients: so averaging makes no interval too narrow.
    With one seed it is that of the one fit.

    Args:
        fits: of one training, a seed each, one at least.
        low: compared with, shape ``(rows, features)``, NaN = missing.
        high: what is compared, of the same shape.
    """
    middle, errors = [], []
    for fit in fits:
        contrasts = fit.contrasts(low, high)
        middle.append(contrasts @ fit.theta)
        variance = ((contrasts @ fit.covariance) * contrasts).sum(axis=1)
        errors.append(np.sqrt(np.maximum(variance, 0.0)))
    return Estimates(np.mean(middle, axis=0), np.mean(errors, axis=0))


def rows_with(n_features: int, values: Mapping[int, Vector | float], n_rows: int = 1) -> Rows:
    """Return rows in which some features have values and all others are missing.

    What two such rows have alike, the missing ones too, is not in their contrast.

    Args:
        n_features: of a row.
        values: by position of the feature, one or one per row.
        n_rows: how many.
    """
    rows = np.full((n_rows, n_features), np.nan, dtype=np.float32)
    for feature, given in values.items():
        rows[:, feature] = given
    return rows


def missing_with(x: Rows, feature: int) -> list[int]:
    """Return the features that are missing in the same rows as one, which is among them."""
    missing = np.isnan(x)
    same = (missing == missing[:, [feature]]).all(axis=0)
    return [int(place) for place in np.flatnonzero(same)]
