"""What a difference between two models amounts to: interval, p and verdict from one standard error.

The standard error is that of the bootstrap of patients (:mod:`.bootstrap`). Interval and p are two
readings of the same ratio, difference over standard error, so neither can contradict the other, and
p has no floor that depends on the number of replicates.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.05
#: The verdicts on a difference, none of which overlaps another.
BETTER, WORSE, EQUIVALENT, INCONCLUSIVE = VERDICTS = (
    "better", "worse", "equivalent", "inconclusive",
)  # fmt: skip
#: Where there is no interval, or no side of 0 is the better one.
NO_VERDICT = ""
FEWEST_SEEDS = 5  # with four, t has 3 degrees of freedom, and the interval says nothing
_DRAWS = 100_000  # of the maximum: they put the floor of its p at 0.00001


@dataclass(frozen=True)
class Inference:
    """Differences with their intervals and p, all of shape (k,).

    ``low`` and ``high`` exclude 0 exactly where ``p`` is below :data:`LEVEL`.
    """

    low: Floats
    high: Floats
    p: Floats


def standard_errors(drawn: Floats) -> Floats:
    """Return the standard deviations of replicates, columns 1 and on.

    Args:
        drawn: shape (k, 1 + replicates); a replicate that is NaN does not count.

    Returns:
        Shape (k,); exactly 0 where all replicates are equal, NaN where fewer than two are defined.

    >>> standard_errors(np.array([[9.0, 1.0, 3.0], [9.0, 0.1, 0.1]])).round(4).tolist()
    [1.4142, 0.0]
    """
    replicates = drawn[:, 1:]
    known = ~np.isnan(replicates)
    n = known.sum(axis=1)
    first = np.where(known, replicates, np.inf).min(axis=1, initial=np.inf)
    # about a replicate, not about 0: equal ones give exactly 0
    gaps = np.where(known, replicates - np.where(n > 0, first, 0.0)[:, None], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = gaps.sum(axis=1) / n
        squares = np.where(known, np.square(gaps - mean[:, None]), 0.0).sum(axis=1)
        return np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)


def pointwise(
    differences: Floats, errors: Floats, freedom: Floats | float, levels: Floats | float = LEVEL
) -> Inference:
    r"""Return two-sided intervals and p of differences, each by itself.

    :math:`d \pm t\,SE`, with the quantile of Student's t, and :math:`p = 2 P(T > |d| / SE)`.

    Args:
        differences: as observed, shape (k,).
        errors: standard errors, shape (k,).
        freedom: degrees of freedom: patients less the countries that they are drawn within.
        levels: of significance of the intervals, such as 0.05 for 95 % intervals.

    Returns:
        Where the standard error is 0: p = 1, and an interval without width if the difference is 0.
        If it is not, the replicates do not say how much it varies, and there is no interval. All
        NaN where the standard error is.

    >>> found = pointwise(np.array([0.02, 0.0, 0.02]), np.array([0.01, 0.0, 0.0]), 600)
    >>> found.p.round(4).tolist()
    [0.046, 1.0, 1.0]
    >>> found.low.round(4).tolist(), found.high.round(4).tolist()
    ([0.0004, 0.0, nan], [0.0396, 0.0, nan])
    """
    from scipy.stats import t

    half = _half_widths(differences, errors, t.isf(np.asarray(levels) / 2, freedom))
    p = 2 * t.sf(_ratios(differences, errors), freedom)
    return Inference(differences - half, differences + half, np.where(errors == 0, 1.0, p))


def _half_widths(differences: Floats, errors: Floats, quantile: Floats | float) -> Floats:
    return np.where((errors == 0) & (differences != 0), np.nan, quantile * errors)


def _ratios(differences: Floats, errors: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(errors > 0, np.abs(differences) / errors, np.where(errors == 0, 0, np.nan))


def simultaneous(drawn: Floats, freedom: float) -> Inference:
    r"""Return simultaneous intervals and adjusted p of a few differences planned beforehand.

    By the maximum of their t statistics (Hothorn, Bretz and Westfall, Biom J 50, 2008): with
    :math:`T` of a multivariate t distribution with the correlations of the replicates,
    :math:`p_j = P(\max_i |T_i| \ge |d_j| / SE_j)`, and all intervals
    :math:`d_j \pm c\,SE_j` with :math:`P(\max_i |T_i| \le c) = 0.95`. Differences that move
    together cost little. The distribution is drawn, with a fixed seed.

    Args:
        drawn: as observed and in every replicate, shape (k, 1 + replicates).
        freedom: degrees of freedom, as in :func:`pointwise`.

    >>> random = np.random.default_rng(0)
    >>> drawn = np.c_[[0.03, 0.0], 0.01 * random.standard_normal((2, 1000))]
    >>> found = simultaneous(drawn, 600)
    >>> bool(found.p[0] > pointwise(drawn[:, 0], standard_errors(drawn), 600).p[0])
    True
    """
    differences, errors = drawn[:, 0], standard_errors(drawn)
    varies = errors > 0
    half, p = _half_widths(differences, errors, 0.0), np.where(errors == 0, 1.0, np.nan)
    if varies.any():
        largest = _largest_t(drawn[varies, 1:], freedom)
        # of the draws, the one itself among them, so that p is never 0
        rank = math.floor(LEVEL * (len(largest) + 1))
        half[varies] = largest[len(largest) - rank] * errors[varies]
        ratios = _ratios(differences, errors)[varies]
        below = np.searchsorted(largest, ratios, side="left")
        p[varies] = (1 + len(largest) - below) / (len(largest) + 1)
    return Inference(differences - half, differences + half, p)


def _largest_t(replicates: Floats, freedom: float) -> Floats:
    """Draws of the largest |t| of differences with these correlations, in rising order."""
    correlations = np.atleast_2d(np.corrcoef(replicates[:, ~np.isnan(replicates).any(axis=0)]))
    values, vectors = np.linalg.eigh(correlations)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    random = np.random.default_rng(0)
    normal = random.standard_normal((_DRAWS, len(replicates))) @ root
    scale = np.sqrt(random.chisquare(freedom, _DRAWS) / freedom)
    return np.sort(np.abs(normal).max(axis=1) / scale)


def holm(p: pd.Series) -> pd.Series:
    """Return Holm's adjustment (Scand J Stat 6, 1979) of the p that are there.

    >>> holm(pd.Series([0.01, 0.04, float("nan"), 0.03])).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    known = p.notna()
    adjusted = p.astype("float64").copy()
    if known.any():
        gc.freeze()  # multipletests collects garbage, among all that a run holds by now
        try:
            adjusted[known] = multipletests(p[known].to_numpy(), method="holm")[1]
        finally:
            gc.unfreeze()
    return adjusted


def holm_levels(p: pd.Series) -> pd.Series:
    r"""Return the level of significance of each interval that agrees with Holm's p.

    Holm's method compares the k-th smallest of m p with :math:`\alpha / (m - k + 1)`, and stops at
    the first that is larger. An interval at the level at which its own p would be rejected excludes
    0 exactly where the adjusted p is below :math:`\alpha` (Serlin, J Exp Educ 61, 1993). Between
    :math:`\alpha` and Bonferroni's :math:`\alpha / m`.

    >>> holm_levels(pd.Series([0.01, 0.04, float("nan"), 0.03])).round(4).tolist()
    [0.0167, 0.0333, nan, 0.025]
    """
    known = p.dropna().astype("float64").sort_values(kind="stable")
    left = np.arange(len(known), 0, -1)
    adjusted = np.maximum.accumulate(left * known.to_numpy())
    with np.errstate(invalid="ignore"):
        factor = np.where(known > 0, adjusted / known.to_numpy(), len(known))
    return pd.Series(LEVEL / factor, index=known.index).reindex(p.index)


def verdict(low: float, high: float, sign: float, margin: float = math.nan) -> str:
    """Return what an interval of a difference says: one of :data:`VERDICTS`.

    *Better* and *worse*: the whole interval is on that side of 0. *Equivalent*: it holds 0 and lies
    within the margin, which for a 95 % interval makes two one-sided tests at 2.5 %. *Inconclusive*:
    neither.

    Args:
        low: lower bound; NaN where there is no interval.
        high: upper bound.
        sign: 1 where a positive difference is better, -1 where a negative one is; NaN where
            neither is, as of calibration slopes.
        margin: the largest difference that does not matter; NaN where none is set, and nothing is
            equivalent.

    Returns:
        The verdict, or :data:`NO_VERDICT`.

    >>> verdict(0.001, 0.02, 1), verdict(0.001, 0.02, -1), verdict(-0.004, 0.006, 1, 0.01)
    ('better', 'worse', 'equivalent')
    >>> verdict(-0.008, 0.021, 1, 0.01)
    'inconclusive'
    """
    if math.isnan(low) or math.isnan(high) or math.isnan(sign):
        return NO_VERDICT
    if low > 0 or high < 0:
        return BETTER if sign * low > 0 else WORSE
    return EQUIVALENT if within(low, high, margin) else INCONCLUSIVE


def within(low: float, high: float, margin: float) -> bool:
    """Return whether a whole interval lies within ± a margin; no margin, NaN, holds none."""
    return bool(-margin < low and high < margin)


def add_verdicts(
    table: pd.DataFrame, signs: Mapping[str, float], margins: Mapping[str, float]
) -> pd.DataFrame:
    """Return a table of differences with what their intervals say.

    Args:
        table: metric, low and high.
        signs: by metric, as in :func:`verdict`.
        margins: by metric, where one is set.

    Returns:
        The table with ``verdict`` and ``within_margin``: whether the whole interval lies within
        ± the margin, so that a difference to the better or worse is smaller than what matters.
    """
    rows = [
        (float(low), float(high), signs[metric], margins.get(metric, math.nan))
        for metric, low, high in zip(table["metric"], table["low"], table["high"], strict=True)
    ]
    return table.assign(
        verdict=pd.Series([verdict(*row) for row in rows], index=table.index, dtype="str"),
        within_margin=np.array([within(low, high, m) for low, high, _, m in rows], dtype=bool),
    )


def procedure_interval(values: Floats, test_to_train: float) -> tuple[float, float]:
    r"""Return the interval of a whole procedure: split, train, test.

    :math:`\bar d \pm t_{J-1} \sqrt{(1/J + n_\mathrm{test}/n_\mathrm{train})\,S^2}` over J seeds
    (Nadeau and Bengio, Mach Learn 52, 2003). The training sets of the seeds overlap, so their
    values are alike, and the plain standard error would be too small. :math:`S^2` holds what other
    test patients change as well; the bootstrap's variance is not added.

    Args:
        values: one per seed, shape (seeds,).
        test_to_train: test patients per training patient.

    Returns:
        Lower and upper 95 % bounds; NaN with fewer than :data:`FEWEST_SEEDS` values.

    >>> low, high = procedure_interval(np.array([0.01, 0.02, 0.03, 0.02, 0.02]), 1 / 3)
    >>> round(low, 4), round(high, 4)
    (0.0057, 0.0343)
    """
    from scipy.stats import t

    known = values[~np.isnan(values)]
    n = len(known)
    if n < FEWEST_SEEDS or math.isnan(test_to_train):
        return math.nan, math.nan
    spread = math.sqrt((1 / n + test_to_train) * known.var(ddof=1))
    half = float(t.isf(LEVEL / 2, n - 1)) * spread
    return float(known.mean() - half), float(known.mean() + half)
