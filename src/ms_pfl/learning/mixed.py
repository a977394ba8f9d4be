r"""Logistic regression with coefficients of each site's own, of which the variances are estimated.

The model of a row of site :math:`k` is :math:`z = x\beta + b + r u_k`, where :math:`r` holds the
constant 1 and those columns of :math:`x` whose coefficients differ between sites, and
:math:`u_{kj} \sim N(0, \sigma^2_{g(j)})`: a generalized linear mixed model. Columns share a
variance by groups: the intercept is one, and each feature with slopes or a smooth term of the
sites' own is one. It is fitted by penalized quasi-likelihood, that is, by Laplace's approximation
(Breslow and Clayton, JASA 1993). Given the variances, minimized is

.. math:: \sum_k \Bigl( \ell_k(\beta, b, u_k) + \sum_j \frac{u_{kj}^2}{2\sigma^2_{g(j)}} \Bigr)
          + \frac{\lambda}{2} \lVert\beta\rVert^2

with the log-loss :math:`\ell_k` of the rows of a site. Each site finds its own :math:`u_k` given
what is shared, and sends the gradient there and the Hessian of what is left when :math:`u_k` is
minimized out. With the weights :math:`W = \mathrm{diag}(p (1 - p))` and
:math:`D = \mathrm{diag}(1 / \sigma^2_{g(j)})` that is Schur's complement
:math:`X^\top W X - X^\top W R (R^\top W R + D)^{-1} R^\top W X`. The sums of the sites are added
up, and Newton's steps are those of the joint minimum.

The posterior covariance of :math:`u_k` is :math:`V_k = (R^\top W R + D)^{-1}`. The step of the EM
algorithm, :math:`\sigma^2_g \leftarrow \mathrm{mean}_{k, j \in g} (u_{kj}^2 + V_{kjj})` (McCulloch,
JASA 1997), leaves the same variance as it is as
:math:`\sigma^2_g \leftarrow \sum_{k, j \in g} u_{kj}^2 / \sum_{k, j \in g} (1 - V_{kjj} /
\sigma^2_g)` (Schall, Biometrika 1991), which gets there in fewer steps and is taken here. Of sums
it needs :math:`\sum_k u_{kj}^2` alone: :math:`1 - V_{kjj} / \sigma^2_g` is :math:`\sigma^2_g` times
the element :math:`jj` of Schur's complement.
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
from ms_pfl.learning.scoring import log_loss_sum, probabilities

Groups = NDArray[np.int64]
VARIANCE = "variance"
LEAST = 1e-4
"""A smaller variance is none: that is a standard deviation of a hundredth of log-odds."""
_STEPS = 200
_HALVINGS = 50
_SHRINKS = 0.8
_ROUNDING = 1e-13  # of a row in the loss
_CLOSE = 1e-12  # Newton's decrement, the square of a distance in posterior standard deviations


def groups_of(features: NDArray[np.int64], private: dict[int, NDArray[np.bool_]]) -> Groups:
    """Return the group of each coefficient, the intercept last.

    Args:
        features: position of the feature that each column is made of, shape ``(columns,)``.
        private: by position of a feature which of all columns may differ between sites, if they are
            made of it.

    Returns:
        Shape ``(columns + 1,)``: -1 where sites have the coefficient in common, 0 for the
        intercept, and from 1 on a group for each feature of ``private``.
    """
    found = np.full(len(features) + 1, -1, dtype=np.int64)
    found[-1] = 0
    for group, (feature, wanted) in enumerate(private.items(), start=1):
        found[:-1][(features == feature) & wanted] = group
    return found


def intercepts(n_features: int) -> Groups:
    """Return the groups where the intercept alone differs between sites."""
    return groups_of(np.zeros(n_features, dtype=np.int64), {})


def start(groups: Groups) -> dict[str, Vector]:
    """Return what is shared before the first step: no coefficient, and sites that may differ."""
    return {**logistic.start(len(groups) - 1), VARIANCE: (groups >= 0).astype(np.float64)}


@one_blas_thread()
def deviation(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> Vector:
    r"""Return a site's own :math:`u` given what is shared, 0 where sites have one coefficient.

    Newton's steps from 0, each halved until what is minimized does not rise. The last is the one
    that begins within a millionth of a posterior standard deviation, as the error is squared.

    Args:
        arrays: what is shared.
        x: features of the site's training rows, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.

    Returns:
        Shape ``(features + 1,)``, the intercept's last.
    """
    variance = arrays[VARIANCE]
    found = np.zeros(len(variance))
    held = np.flatnonzero(variance)
    if not len(held):
        return found
    z = logistic.logits(_plain(arrays), x)
    own, weights = _wide(x)[:, held], 1 / variance[held]
    u, value = np.zeros(len(held)), log_loss_sum(z, y)
    for _ in range(_STEPS):
        p = probabilities(z + own @ u)
        slope = own.T @ (p - y) + u * weights
        bend = (own * (p * (1 - p))[:, None]).T @ own + np.diag(weights)
        delta = -np.linalg.solve(bend, slope)
        for _ in range(_HALVINGS):
            after = u + delta
            loss = log_loss_sum(z + own @ after, y) + float(weights @ after**2) / 2
            if loss <= value + _ROUNDING * len(y):
                break
            delta /= 2
        u, value = after, loss
        if -float(slope @ delta) <= _CLOSE:
            break
    found[held] = u
    return found


def own(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> dict[str, Vector]:
    """Return what a site keeps of the model for itself, see :func:`deviation`."""
    return {DEVIATION: deviation(arrays, x, y)}


@one_blas_thread()
def sums(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> dict[str, Vector]:
    """Return what a site adds to a step.

    Args:
        arrays: what is shared, which the step begins with.
        x: features, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.

    Returns:
        ``gradient``, ``hessian``, ``loss`` and ``n`` as of :func:`ms_pfl.learning.logistic.sums`,
        at the site's own coefficients and with the Hessian of the module's text, and ``square`` of
        each of the site's deviations ``(features + 1,)``.
    """
    u = deviation(arrays, x, y)
    own_model = {**_plain(arrays), DEVIATION: u}
    found = {**logistic.sums(own_model, x, y), "square": u**2}
    if not arrays[VARIANCE].any():
        return found
    return {**found, "hessian": _schur(own_model, x, arrays[VARIANCE])}


def steps(
    of: Callable[[Arrays], Arrays],
    settings: LogisticParameters,
    groups: Groups,
    variance: float | None = None,
) -> Iterator[tuple[dict[str, Vector], float]]:
    """Yield what is shared after each step, with the mean log-loss a row of what was before it.

    Args:
        of: from what is shared to the sums over all sites.
        settings: ridge, steps, and where to stop: no coefficient and not the root of a variance
            changes by more.
        groups: of the coefficients, see :func:`groups_of`.
        variance: of every group; None: it is estimated.

    Raises:
        TrainingDivergedError: the loss is not finite.
    """
    penalty = Penalty.ridge(len(groups) - 1, settings.ridge)
    theta = np.zeros(len(groups))
    now = np.full(groups.max() + 1, 1.0 if variance is None else variance)
    change = np.full(len(now), math.nan)
    for _ in range(settings.steps):
        wide = np.where(groups >= 0, now[groups], 0.0)
        before = of(_shared(theta, wide))
        theta, after, size = logistic.step(theta, _penalized(before, wide), _at(of, wide), penalty)
        used = now
        if variance is None:
            told = [
                _next_variance(after, groups == group, own, last)
                for group, (own, last) in enumerate(zip(now.tolist(), change.tolist(), strict=True))
            ]
            now, change = map(np.array, zip(*told, strict=True))
        wide = np.where(groups >= 0, now[groups], 0.0)
        yield _shared(theta, wide), float(before["loss"][0] / before["n"][0])
        if max(size, float(np.abs(np.sqrt(now) - np.sqrt(used)).max())) < settings.tolerance:
            return


def _wide(x: NDArray[np.float32]) -> Vector:
    return np.column_stack([x.astype(np.float64), np.ones(len(x))])


def _schur(arrays: Arrays, x: NDArray[np.float32], variance: Vector) -> Vector:
    """Schur's complement, as a sum of squares: of what the site's own columns leave, and of theirs.

    So it loses no digits where a column hardly varies within the site.
    """
    wide, held = _wide(x), np.flatnonzero(variance)
    p = probabilities(logistic.logits(arrays, x))
    w = (p * (1 - p))[:, None]
    own, weights = wide[:, held], 1 / variance[held]
    taken = np.linalg.solve((own * w).T @ own + np.diag(weights), (own * w).T @ wide)
    left = wide - own @ taken
    found: Vector = (left * w).T @ left + (taken * weights[:, None]).T @ taken
    return (found + found.T) / 2


def _next_variance(
    held: Arrays, group: NDArray[np.bool_], variance: float, before: float
) -> tuple[float, float]:
    """Return a variance after a step, 0 where sites do not differ, and the step's log-change.

    The steps shrink by a nearly constant ratio. So every second one goes on to where the sum of all
    that are still to come ends (Aitken's extrapolation), unless they hardly shrink.

    Args:
        held: the sums about the model with this variance.
        group: the coefficients that have the variance.
        variance: before the step.
        before: the log-change of the step before; NaN: that one was extrapolated, or there is none.
    """
    left = variance * float(np.diag(held["hessian"])[group].sum())  # the sum of 1 - V / variance
    found = float(held["square"][group].sum()) / left if left > 0 else 0.0
    if found < LEAST:
        return 0.0, math.nan
    change = math.log(found / variance)
    if before and 0 < (ratio := change / before) < _SHRINKS:
        return max(LEAST, variance * math.exp(change / (1 - ratio))), math.nan
    return found, change


def _at(of: Callable[[Arrays], Arrays], variance: Vector) -> Callable[[Arrays], Arrays]:
    """Return the sums about a model without variances, with those of the step."""
    return lambda held: _penalized(of({**held, VARIANCE: variance}), variance)


def _penalized(held: Arrays, variance: Vector) -> Arrays:
    """Return the sums with the penalty of the deviations in the loss."""
    at = variance > 0
    return {**held, "loss": held["loss"] + (held["square"][at] / (2 * variance[at])).sum()}


def _shared(theta: Vector, variance: Vector) -> dict[str, Vector]:
    return {**logistic.arrays_of(theta), VARIANCE: variance}


def _plain(arrays: Arrays) -> dict[str, np.ndarray]:
    return {name: arrays[name] for name in (logistic.COEFFICIENTS, logistic.INTERCEPT)}
