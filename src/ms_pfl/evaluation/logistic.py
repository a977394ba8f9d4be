r"""Logistic regression by Newton's method: one solver for all fits of the package.

The log-likelihood and its first two derivatives are sums over rows (:func:`newton_sums`), so the
rows may lie anywhere as long as their sums come together; :func:`newton_step` solves what is left.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_SINGULAR = 1e12
_LARGEST_LOGIT = 25.0  # with Firth's penalty: beyond it a risk is 0 or 1 and carries no information


def newton_sums(
    theta: Floats,
    design: Floats,
    labels: NDArray[np.integer] | Floats,
    weights: Floats | None = None,
    *,
    free: int | None = None,
    firth: bool = False,
) -> tuple[Floats, Floats]:
    r"""Return gradient and information of the weighted log-likelihood.

    With :math:`p = 1 / (1 + e^{-X\theta})`: :math:`X^T W (y - p)` and :math:`X^T W P (1 - P) X`.

    Args:
        theta: coefficients, shape (k,); or (k, columns) for one fit per column of weights.
        design: shape (rows, k); the work is done in its precision.
        labels: 0 or 1, shape (rows,).
        weights: at least 0, shape (rows,) or (rows, columns); 1 where left out (one fit only).
        free: how many coefficients, from the first, are fitted. Those behind stay as they are; a
            column that is held at 1 is an offset.
        firth: add the gradient of Firth's penalty, :math:`\frac12 \ln |I(\theta)|` (one fit only).

    Returns:
        Shapes (free,) and (free, free); (free, columns) and (free, free, columns).

    >>> x, y = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([0, 1])
    >>> gradient, information = newton_sums(np.zeros(2), x, y)
    >>> gradient.tolist(), information.tolist()
    ([0.0, 1.0], [[0.5, 0.5], [0.5, 1.0]])
    """
    if theta.ndim == 2:
        return _sums_by_column(theta, design, labels, weights, free)
    eta = design @ theta
    own = design[:, :free]
    if firth:
        eta = np.clip(eta, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    with np.errstate(over="ignore"):
        p = 1 / (1 + np.exp(-eta))
    residual, curvature = labels - p, p * (1 - p)
    if weights is not None:
        residual, curvature = residual * weights, curvature * weights
    information = own.T @ (curvature[:, None] * own)
    if firth:
        leverage = curvature * np.einsum("ij,ji->i", own, np.linalg.solve(information, own.T))
        residual = residual + leverage * (0.5 - p)
    return own.T @ residual, information


def _sums_by_column(
    theta: Floats,
    design: Floats,
    labels: NDArray[np.integer] | Floats,
    weights: Floats | None,
    free: int | None,
) -> tuple[Floats, Floats]:
    k = design.shape[1]
    first, second = np.triu_indices(k)
    products = design.T[first] * design.T[second]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        theta = theta.astype(design.dtype)  # a fit that has no answer may be beyond float32
        p = design[:, -1:] * theta[-1]
        for i in range(k - 2, -1, -1):
            p += design[:, i : i + 1] * theta[i]
        np.exp(np.negative(p, out=p), out=p)
        p += 1
        np.reciprocal(p, out=p)
        residual = labels.astype(design.dtype)[:, None] - p
        residual *= weights
        rest = 1 - p
        rest *= weights
        p *= rest
    gradient = (np.ascontiguousarray(design.T) @ residual).astype(np.float64)
    information = np.empty((k, k, theta.shape[1]))
    information[first, second] = information[second, first] = products @ p
    return gradient[:free], information[:free, :free]


def newton_step(gradient: Floats, information: Floats, largest: float = np.inf) -> Floats:
    """Return Newton's step, ``information^-1 gradient``, of the shape of ``gradient``.

    Args:
        gradient: shape (k,) or (k, columns).
        information: shape (k, k) or (k, k, columns).
        largest: bound of each coefficient's step. Far from the answer the likelihood is flat, and
            a full step passes over it.

    Returns:
        Of one coefficient without information: the largest step uphill. NaN where all is flat or
        the information is singular.

    >>> newton_step(np.array([1.0, 0.0]), np.array([[2.0, 0.0], [0.0, 1.0]])).tolist()
    [0.5, 0.0]
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if len(gradient) == 1:
            return np.clip(gradient / information[0], -largest, largest)
        matrices = np.moveaxis(np.atleast_3d(information), -1, 0)
        one = len(matrices) == 1
        flat = np.linalg.cond(matrices) > _SINGULAR if one else np.linalg.det(matrices) == 0
        matrices = np.where(flat[:, None, None], np.nan, matrices)
        right = gradient.reshape(len(gradient), -1).T[:, :, None]
        step = np.linalg.solve(matrices, right)[:, :, 0].T.reshape(gradient.shape)
    return np.clip(step, -largest, largest)


def fit_logistic(
    design: Floats,
    labels: NDArray[np.integer] | Floats,
    start: Floats,
    weights: Floats | None = None,
    *,
    free: int | None = None,
    ridge: float | Floats = 0.0,
    firth: bool = False,
    largest: float = np.inf,
    tolerance: float = 1e-8,
    steps: int = 30,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    r"""Maximize the weighted log-likelihood minus :math:`\frac12 \sum_j r_j \theta_j^2`.

    Args:
        design: shape (rows, k), see :func:`newton_sums`.
        labels: 0 or 1, shape (rows,).
        start: coefficients to start from, shape (k,) or (k, columns).
        weights: shape (rows,) or (rows, columns).
        free: how many coefficients are fitted; the others stay at ``start``.
        ridge: penalty of all free coefficients, or of each, shape (free,) or (free, 1).
        firth: maximize Firth's penalized likelihood (Biometrika 80, 1993; one fit only); steps are
            halved until it grows.
        largest: of a coefficient's step.
        tolerance: a fit has settled when no coefficient's last step reaches this.
        steps: at most.

    Returns:
        Coefficients, of the shape of ``start``, and whether each fit has settled, shape () or
        (columns,). All columns take as many steps as the slowest.

    >>> x = np.column_stack([np.ones(4), [0.0, 1.0, 0.0, 1.0]])
    >>> theta, settled = fit_logistic(x, np.array([0, 1, 1, 1]), np.zeros(2), free=1)
    >>> round(float(theta[0]), 4), float(theta[1]), bool(settled)  # ln(3 / 1)
    (1.0986, 0.0, True)
    """
    theta = np.array(start, dtype=np.float64)
    settled = np.zeros(theta.shape[1:], dtype=bool)
    size = len(theta[:free])
    for _ in range(steps):
        gradient, information = newton_sums(theta, design, labels, weights, free=free, firth=firth)
        if np.any(ridge):
            gradient = gradient - ridge * theta[:free]
            information = information.copy()
            information[np.arange(size), np.arange(size)] += ridge
        step = newton_step(gradient, information, largest)
        if firth:
            step = _uphill(theta, step, design, labels, tolerance)
        theta[:free] += step
        settled = np.asarray((np.abs(step) < tolerance).all(axis=0))
        if settled.all() or (settled.ndim == 0 and np.isnan(step).any()):
            break
    return theta, settled


def _uphill(
    theta: Floats, step: Floats, design: Floats, labels: NDArray[np.integer] | Floats, least: float
) -> Floats:
    """Halve a step until Firth's likelihood grows: a full step may pass over the top."""
    free = len(step)
    before = _firth_likelihood(theta, design, labels, free)
    while np.any(step):
        after = theta.copy()
        after[:free] += step
        if _firth_likelihood(after, design, labels, free) >= before:
            break
        step = np.where(np.abs(step) < least, 0.0, step / 2)
    return step


def _firth_likelihood(
    theta: Floats, design: Floats, labels: NDArray[np.integer] | Floats, free: int
) -> float:
    eta = np.clip(design @ theta, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    p = 1 / (1 + np.exp(-eta))
    own = design[:, :free]
    penalty = np.linalg.slogdet(own.T @ ((p * (1 - p))[:, None] * own))[1] / 2
    return float(np.sum(labels * eta - np.logaddexp(0, eta)) + penalty)
