r"""What to expect in a further country, from the countries that there are.

Each country's value is its true one plus chance, and the true ones differ by a variance
:math:`\tau^2` (random effects). The further country is taken for one more of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: With fewer, the interval of a further country has no degree of freedom.
FEWEST = 3
_LEVEL = 0.05
_DOUBLINGS, _BISECTIONS = 200, 200


@dataclass(frozen=True)
class RandomEffects:
    r"""A random-effects summary of k values.

    ``mean`` with its standard error ``se`` (Hartung and Knapp, 2001) and 95 % interval
    ``mean_low`` to ``mean_high`` (t, k - 1); ``tau``: standard deviation between countries (Paule
    and Mandel, 1982), with its 95 % interval by the Q profile (Viechtbauer, Stat Med 26, 2007);
    ``low`` to ``high``: 95 % prediction interval of the true value in a further country,
    :math:`\hat\mu \pm t_{k-2} \sqrt{\hat\tau^2 + SE^2}` (Higgins, Thompson and Spiegelhalter,
    JRSS A 172, 2009; with Hartung and Knapp's SE, Partlett and Riley, Stat Med 36, 2017).
    """

    k: int
    mean: float
    se: float
    mean_low: float
    mean_high: float
    tau: float
    tau_low: float
    tau_high: float
    low: float
    high: float

    def probability_above(self, bound: float) -> float:
        """Return the probability that a further country's true value is above a bound.

        From the t distribution that the prediction interval is made of (Snell et al., J Clin
        Epidemiol 69, 2016).
        """
        from scipy.stats import t

        scale = math.hypot(self.tau, self.se)
        if scale == 0:
            return float(self.mean > bound)
        return float(t.cdf((self.mean - bound) / scale, self.k - 2))


def combine(values: Floats, errors: Floats) -> RandomEffects | None:
    """Summarize countries by random effects.

    Args:
        values: of each country, shape (k,).
        errors: their standard errors, shape (k,). Where all are 0 and all values are equal, the
            summary is that value without spread; else countries with a standard error of 0 are
            left out, for they have no finite weight.

    Returns:
        The summary; None with fewer than :data:`FEWEST` countries.

    >>> found = combine(np.array([0.1, 0.3, 0.35, 0.65]), np.array([0.1, 0.1, 0.1, 0.1]))
    >>> round(found.mean, 3), round(found.tau, 3), round(found.low, 3), round(found.high, 3)
    (0.35, 0.204, -0.655, 1.355)
    """
    from scipy.stats import t

    if len(values) >= FEWEST and not errors.any() and np.ptp(values) == 0:
        value = float(values[0])
        return RandomEffects(len(values), value, 0.0, value, value, 0.0, 0.0, 0.0, value, value)
    known = errors > 0
    y, v = values[known], np.square(errors[known])
    k = len(y)
    if k < FEWEST:
        return None
    variance = between_variance(y, v)
    weights = 1 / (v + variance)
    mean = float(weights @ y / weights.sum())
    se = math.sqrt(float(weights @ np.square(y - mean)) / (k - 1) / float(weights.sum()))
    half = float(t.isf(_LEVEL / 2, k - 1)) * se
    far = float(t.isf(_LEVEL / 2, k - 2)) * math.sqrt(variance + se**2)
    tau_low, tau_high = (math.sqrt(bound) for bound in between_variance_interval(y, v))
    return RandomEffects(
        k, mean, se, mean - half, mean + half, math.sqrt(variance), tau_low, tau_high, mean - far,
        mean + far,
    )  # fmt: skip


def between_variance(values: Floats, variances: Floats) -> float:
    r"""Return Paule and Mandel's variance between countries, at least 0.

    The :math:`\tau^2` at which :math:`Q(\tau^2) = \sum_c (y_c - \hat\mu)^2 / (v_c + \tau^2)` is
    what chance makes it, k - 1; 0 where it is below that already at 0.

    Args:
        values: shape (k,).
        variances: of each by chance, above 0, shape (k,).

    >>> round(between_variance(np.array([1.0, 2.0, 3.0]), np.full(3, 0.25)), 6)  # 1 - 0.25
    0.75
    """
    return _at_which(values, variances, len(values) - 1)


def between_variance_interval(values: Floats, variances: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the variance between countries by the Q profile."""
    from scipy.stats import chi2

    k = len(values)
    bounds = chi2.isf([_LEVEL / 2, 1 - _LEVEL / 2], k - 1)
    low, high = (_at_which(values, variances, float(bound)) for bound in bounds)
    return low, high


def _q(values: Floats, variances: Floats, between: float) -> float:
    weights = 1 / (variances + between)
    mean = weights @ values / weights.sum()
    return float(weights @ np.square(values - mean))


def _at_which(values: Floats, variances: Floats, q: float) -> float:
    """Return the variance at which Q is ``q``, 0 where it is smaller from the start."""
    return variance_at(lambda between: _q(values, variances, between), q, float(variances.max()))


def variance_at(statistic: Callable[[float], float], value: float, scale: float) -> float:
    """Return the variance between countries at which a statistic has a value.

    Args:
        statistic: falls with the variance.
        value: that is looked for.
        scale: above 0, of the size of the variance.

    Returns:
        The variance, by bisection to the last bit; 0 where the statistic is not above the value at
        0.
    """
    if statistic(0.0) <= value:
        return 0.0
    low, high = 0.0, scale
    for _ in range(_DOUBLINGS):
        if statistic(high) <= value:
            break
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if statistic(middle) > value else (low, middle)
    return (low + high) / 2
