"""How a site's gain over the federated model depends on how many patients it has.

Site i has n_i patients, and a model gains y_i over the federated one there, with a bootstrap
standard error s_i. A random-effects meta-regression (Thompson and Higgins, Stat Med 21, 2002)

    y_i = a + b log2(n_i) + u_i + e_i,    u_i ~ N(0, tau^2),    e_i ~ N(0, s_i^2)

gives the mean gain of sites of a size. tau^2 is Paule and Mandel's (the one at which the weighted
squares of the residuals add up to their degrees of freedom), standard errors are Knapp and
Hartung's (Stat Med 22, 2003), with t of k - 2 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ms_pfl.evaluation.random_effects import variance_at

#: Sites below which no line is fitted.
FEWEST_SITES = 6
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class SizeLine:
    """The mean gain by size.

    Attributes:
        sizes: patients of the sites that it is fitted to, shape (sites,).
        coefficients: a and b, shape (2,).
        covariance: of a and b, shape (2, 2).
        tau: standard deviation of the gains of sites of equal size.
    """

    sizes: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    tau: float

    def gain(self, patients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return mean gain, low and high (pointwise 95 %) at some sizes, shape (3, sizes)."""
        rows = np.column_stack([np.ones(len(patients)), np.log2(patients)])
        mean = rows @ self.coefficients
        error = np.sqrt(np.einsum("ij,jk,ik->i", rows, self.covariance, rows))
        half = stats.t.ppf(0.975, len(self.sizes) - 2) * error
        return np.array([mean, mean - half, mean + half])

    def gains_from(self, sign: float) -> int | None:
        """Return the patients from which on sites gain for sure, None where there is no such size.

        Args:
            sign: 1 where a positive difference is a gain, -1 where a negative one is.

        Returns:
            The smallest observed size from which on the interval of the mean gain leaves out 0 on
            the side of the gain, up to the largest observed one.
        """
        sizes = np.unique(self.sizes)
        _, low, high = self.gain(sizes)
        sure = (low > 0) if sign > 0 else (high < 0)
        if not sure[-1]:
            return None
        unsure = np.flatnonzero(~sure)
        return int(sizes[unsure[-1] + 1 if len(unsure) else 0])


def fit_line(
    patients: NDArray[np.float64], gains: NDArray[np.float64], errors: NDArray[np.float64]
) -> SizeLine | None:
    """Fit the line; None for fewer than ``FEWEST_SITES`` sites, or sites of one size.

    Args:
        patients: of each site, shape (sites,), at least 1.
        gains: of each site, shape (sites,).
        errors: their standard errors, shape (sites,), above 0.
    """
    if len(patients) < FEWEST_SITES or len(np.unique(patients)) < 2:
        return None
    rows = np.column_stack([np.ones(len(patients)), np.log2(patients)])
    freedom = len(patients) - 2

    def solve(variance: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        weights = 1.0 / (errors**2 + variance)
        inverse = np.linalg.inv(rows.T @ (rows * weights[:, None]))
        found: NDArray[np.float64] = inverse @ (rows.T @ (weights * gains))
        return found, np.asarray(inverse, np.float64), float(weights @ (gains - rows @ found) ** 2)

    scale = float(np.var(gains)) + float(np.max(errors) ** 2)
    variance = variance_at(lambda between: solve(between)[2], freedom, scale)
    found, inverse, squares = solve(variance)
    return SizeLine(
        patients, found, inverse * max(1.0, squares / freedom), float(np.sqrt(variance))
    )


def site_gains(
    differences: pd.DataFrame, patients: pd.Series, strategy: str, metric: str
) -> pd.DataFrame:
    """Return what each paradigm gains over the federated one, site by site.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        patients: of each site, by its name.
        strategy: of the federated model.
        metric: such as ``log_loss``.

    Returns:
        A row per paradigm and site that has an interval: paradigm, country, patients, difference,
        low, high, error (a quarter of the interval's width, near enough). Local models, of which
        there is one per learner, count with their gain turned round.
    """
    known = differences[
        (differences["scope"] == "country") & (differences["metric"] == metric)
    ].dropna(subset=["difference", "low", "high"])
    columns = ["paradigm", "country", "difference", "low", "high"]
    over = known[(known["reference"] == "federated") & (known["reference_strategy"] == strategy)]
    local = known[
        (known["reference"] == "local")
        & (known["paradigm"] == "federated")
        & (known["strategy"] == strategy)
    ]
    turned = local.assign(
        paradigm="local", difference=-local["difference"], low=-local["high"], high=-local["low"]
    )
    found = pd.concat([turned[columns], over[columns]], ignore_index=True)
    found["patients"] = found["country"].map(patients).astype("float64")
    found["error"] = (found["high"] - found["low"]) / (2 * _Z)
    return found[found["error"] > 0].reset_index(drop=True)
