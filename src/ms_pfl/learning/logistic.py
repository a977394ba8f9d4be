r"""Logistic regression by Newton's steps on sums over rows, so that sites can fit it together.

With :math:`z = x\beta + b`, :math:`p = 1 / (1 + e^{-z})` and a ridge :math:`\lambda` on
:math:`\beta` alone, a step solves :math:`(H + \Lambda)\,\delta = g - \Lambda\theta`, where
:math:`g = \sum x (y - p)` and :math:`H = \sum p (1 - p) x x^\top` are sums over the rows of all
sites (Fisher scoring; McCullagh and Nelder, Generalized Linear Models, 1989). The sums of the sites
added up are those of the pooled rows: the fit is that of one who has all rows.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scoring import log_loss_sum, probabilities
from ms_pfl.learning.training import TrainingDivergedError

COEFFICIENTS, INTERCEPT = "coefficients", "intercept"
_HALVINGS = 30
_ROUNDING = 1e-12


def start(n_features: int) -> dict[str, NDArray[np.float64]]:
    """Return the model that predicts one half for every row."""
    return {COEFFICIENTS: np.zeros(n_features), INTERCEPT: np.zeros(1)}


def logits(arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-odds of rows, float64, shape ``(rows,)``.

    The order of the rows in memory decides the last bit of a product: here it is always the same.
    """
    wide = x.astype(np.float64, order="C")
    return wide @ arrays[COEFFICIENTS] + arrays[INTERCEPT][0]


def sums(
    arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Return what a site adds to a step: gradient, Hessian, log-loss (nats) and rows.

    Args:
        arrays: the model that the step begins with.
        x: features, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.

    Returns:
        ``gradient`` of the log-likelihood ``(features + 1,)``, the intercept last, ``hessian`` of
        the log-loss ``(features + 1, features + 1)``, ``loss`` and ``n`` ``(1,)``.
    """
    wide = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    z = logits(arrays, x)
    p = probabilities(z)
    return {
        "gradient": wide.T @ (y - p),
        "hessian": (wide * (p * (1 - p))[:, None]).T @ wide,
        "loss": np.array([log_loss_sum(z, y)]),
        "n": np.array([float(len(x))]),
    }


def steps(
    n_features: int, of: Callable[[Arrays], Arrays], settings: LogisticParameters
) -> Iterator[tuple[dict[str, NDArray[np.float64]], float]]:
    """Yield the model after each step, with the mean log-loss a row of the model before it.

    A step that would raise the penalized loss is halved until it does not.

    Args:
        n_features: columns of the rows.
        of: from a model to the sums over all rows that it is fitted to.
        settings: ridge, steps, and where to stop.

    Raises:
        TrainingDivergedError: the loss is not finite.
    """
    penalty = np.r_[np.full(n_features, settings.ridge), 0.0]
    theta = np.zeros(n_features + 1)
    held = of(_arrays(theta))
    for _ in range(settings.steps):
        objective = _objective(held, theta, penalty)
        if not math.isfinite(objective):
            raise TrainingDivergedError("the loss of the logistic regression", 1.0)
        gradient = held["gradient"] - penalty * theta
        # the least-norm step where a column is constant or a copy and the ridge is 0
        step = np.linalg.lstsq(held["hessian"] + np.diag(penalty), gradient, rcond=1e-12)[0]
        before, size = held, 1.0
        for _ in range(_HALVINGS):
            held = of(_arrays(theta + size * step))
            if _objective(held, theta + size * step, penalty) <= objective * (1 + _ROUNDING):
                break
            size /= 2
        theta = theta + size * step
        yield _arrays(theta), float(before["loss"][0] / before["n"][0])
        if np.abs(size * step).max() < settings.tolerance:
            return


def _objective(held: Arrays, theta: NDArray[np.float64], penalty: NDArray[np.float64]) -> float:
    return float(held["loss"][0] + (penalty * theta**2).sum() / 2)


def _arrays(theta: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {COEFFICIENTS: theta[:-1].copy(), INTERCEPT: theta[-1:].copy()}
