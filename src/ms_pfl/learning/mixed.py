r"""Logistic regression with an intercept of each site's own, of which the variance is estimated.

The model of a row of site :math:`k` is :math:`z = x\beta + b + u_k` with
:math:`u_k \sim N(0, \sigma^2)`: a generalized linear mixed model, fitted by penalized
quasi-likelihood, that is, by Laplace's approximation (Breslow and Clayton, JASA 1993). Given
:math:`\sigma^2`, minimized is

.. math:: \sum_k \Bigl( \ell_k(\beta, b, u_k) + \frac{u_k^2}{2\sigma^2} \Bigr)
          + \frac{\lambda}{2} \lVert\beta\rVert^2

with the log-loss :math:`\ell_k` of the rows of a site. Each site finds its own :math:`u_k` given
what is shared, and sends the gradient there and the Hessian of what is left when :math:`u_k` is
minimized out: with the weights :math:`w = p (1 - p)`, their sum :math:`s_k` and
:math:`h_k = \sum w x` (the intercept's column among the :math:`x`), that is Schur's complement
:math:`H_k - h_k h_k^\top / (s_k + 1 / \sigma^2)`. The sums of the sites are added up, and Newton's
steps are those of the joint minimum.

The posterior variance of :math:`u_k` is :math:`v_k = 1 / (s_k + 1 / \sigma^2)`. The step of the EM
algorithm, :math:`\sigma^2 \leftarrow \sum_k (u_k^2 + v_k) / K` (McCulloch, JASA 1997), leaves the
same :math:`\sigma^2` as it is as :math:`\sigma^2 \leftarrow \sum_k u_k^2 / \sum_k (1 - v_k /
\sigma^2)` (Schall, Biometrika 1991), which gets there in fewer steps and is taken here. Of sums it
needs :math:`\sum_k u_k^2` alone: :math:`1 - v_k / \sigma^2` is :math:`\sigma^2` times the
intercept's element of Schur's complement.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ms_pfl.learning import logistic
from ms_pfl.learning.blas import one_blas_thread
from ms_pfl.learning.logistic import DEVIATION, Penalty, Vector
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scoring import probabilities

VARIANCE = "variance"
LEAST = 1e-4
"""A smaller variance is none: that is a standard deviation of a hundredth of log-odds."""
_STEPS = 200
_SHRINKS = 0.8
_ROUNDING = 1e-14  # of a row in the slope


def start(n_features: int) -> dict[str, Vector]:
    """Return what is shared before the first step: no coefficient, and sites that may differ."""
    return {**logistic.start(n_features), VARIANCE: np.ones(1)}


@one_blas_thread()
def deviation(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    r"""Return a site's own :math:`u` given what is shared.

    It is where :math:`\sum (p - y) + u / \sigma^2`, which rises with :math:`u`, is 0: Newton's
    steps, and the middle of the interval where one leaves it or is not half of the one before.

    Args:
        arrays: what is shared.
        x: features of the site's training rows, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.
    """
    variance = float(arrays[VARIANCE][0])
    if variance == 0:
        return 0.0
    z = logistic.logits(_plain(arrays), x)
    high = variance * len(y)  # no row pulls by more than 1
    low, u, before = -high, 0.0, 2 * high
    for _ in range(_STEPS):
        p = probabilities(z + u)
        slope = float(np.sum(p - y)) + u / variance
        if abs(slope) <= _ROUNDING * len(y):
            break
        low, high = (low, u) if slope > 0 else (u, high)
        after = u - slope / (float(np.sum(p * (1 - p))) + 1 / variance)
        if not low < after < high or abs(after - u) > before / 2:
            after = (low + high) / 2
        before, u = abs(after - u), after
    return u


def own(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> dict[str, Vector]:
    """Return what a site keeps of the model for itself, see :func:`deviation`."""
    return {DEVIATION: np.array([deviation(arrays, x, y)])}


@one_blas_thread()
def sums(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> dict[str, Vector]:
    """Return what a site adds to a step.

    Args:
        arrays: what is shared, which the step begins with.
        x: features, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.

    Returns:
        ``gradient``, ``hessian``, ``loss`` and ``n`` as of :func:`ms_pfl.learning.logistic.sums`,
        at the site's own intercept and with the Hessian of the module's text, and ``square`` of the
        site's deviation ``(1,)``.
    """
    variance = float(arrays[VARIANCE][0])
    u = deviation(arrays, x, y)
    own_model = {**_plain(arrays), DEVIATION: np.array([u])}
    found = {**logistic.sums(own_model, x, y), "square": np.array([u**2])}
    return {**found, "hessian": _schur(own_model, x, variance)} if variance else found


def steps(
    n_features: int,
    of: Callable[[Arrays], Arrays],
    settings: LogisticParameters,
    variance: float | None = None,
) -> Iterator[tuple[dict[str, Vector], float]]:
    """Yield what is shared after each step, with the mean log-loss a row of what was before it.

    Args:
        n_features: columns of the rows.
        of: from what is shared to the sums over all sites.
        settings: ridge, steps, and where to stop: no coefficient and not the root of the variance
            changes by more.
        variance: of the sites' intercepts; None: it is estimated.

    Raises:
        TrainingDivergedError: the loss is not finite.
    """
    penalty = Penalty.ridge(n_features, settings.ridge)
    theta = np.zeros(n_features + 1)
    now = 1.0 if variance is None else variance
    change = math.nan
    for _ in range(settings.steps):
        before = of(_shared(theta, now))
        theta, after, size = logistic.step(theta, _penalized(before, now), _at(of, now), penalty)
        used = now
        if variance is None:
            now, change = _next_variance(after, now, change)
        yield _shared(theta, now), float(before["loss"][0] / before["n"][0])
        if max(size, abs(np.sqrt(now) - np.sqrt(used))) < settings.tolerance:
            return


def _schur(arrays: Arrays, x: NDArray[np.float32], variance: float) -> Vector:
    """Schur's complement, as a sum of squares: around the weighted mean row, and of that row.

    So it loses no digits where a column hardly varies within the site.
    """
    wide = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    p = probabilities(logistic.logits(arrays, x))
    w = p * (1 - p)
    s = float(np.sum(w))
    mean = w @ wide / s if s else np.zeros(wide.shape[1])
    mean[-1] = 1.0
    away = wide - mean
    found: Vector = (away * w[:, None]).T @ away + np.outer(mean, mean) * (s / (1 + variance * s))
    return found


def _next_variance(held: Arrays, variance: float, before: float) -> tuple[float, float]:
    """Return the variance after a step, 0 where sites do not differ, and the step's log-change.

    The steps shrink by a nearly constant ratio. So every second one goes on to where the sum of all
    that are still to come ends (Aitken's extrapolation), unless they hardly shrink.

    Args:
        held: the sums about the model with this variance.
        variance: before the step.
        before: the log-change of the step before; NaN: that one was extrapolated, or there is none.
    """
    left = variance * float(held["hessian"][-1, -1])  # the sum of 1 - v / variance
    found = float(held["square"][0]) / left if left > 0 else 0.0
    if found < LEAST:
        return 0.0, math.nan
    change = math.log(found / variance)
    if before and 0 < (ratio := change / before) < _SHRINKS:
        return max(LEAST, variance * math.exp(change / (1 - ratio))), math.nan
    return found, change


def _at(of: Callable[[Arrays], Arrays], variance: float) -> Callable[[Arrays], Arrays]:
    """The sums about a model without a variance, with that of the step."""
    return lambda held: _penalized(of({**held, VARIANCE: np.array([variance])}), variance)


def _penalized(held: Arrays, variance: float) -> Arrays:
    """The sums with the penalty of the deviations in the loss."""
    if variance == 0:
        return held
    return {**held, "loss": held["loss"] + held["square"] / (2 * variance)}


def _shared(theta: Vector, variance: float) -> dict[str, Vector]:
    return {**logistic.arrays_of(theta), VARIANCE: np.array([variance])}


def _plain(arrays: Arrays) -> dict[str, np.ndarray]:
    return {name: arrays[name] for name in (logistic.COEFFICIENTS, logistic.INTERCEPT)}
