r"""Logistic regression by Newton's steps on sums over rows, so that sites can fit it together.

With :math:`z = x\beta + b`, :math:`p = 1 / (1 + e^{-z})` and a ridge :math:`\lambda` on
:math:`\beta` alone, a step solves :math:`(H + \Lambda)\,\delta = g - \Lambda\theta`, where
:math:`g = \sum x (y - p)` and :math:`H = \sum p (1 - p) x x^\top` are sums over the rows of all
sites (Fisher scoring; McCullagh and Nelder, Generalized Linear Models, 1989). The sums of the sites
added up are those of the pooled rows: the fit is that of one who has all rows.

A site alone fits with the same steps, in two ways: by itself (:func:`alone`), or around a model
that it was given (:func:`around`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ms_pfl.learning.blas import one_blas_thread
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scoring import log_loss_sum, probabilities
from ms_pfl.learning.training import TrainingDivergedError

COEFFICIENTS, INTERCEPT = "coefficients", "intercept"
DEVIATION = "deviation"
"""What a site's own coefficients are above the common ones, the intercept last."""
Vector = NDArray[np.float64]
_HALVINGS = 30
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Penalty:
    r"""A penalty :math:`\sum_j w_j (\theta_j - c_j)^2 / 2`, the intercept last.

    Attributes:
        weights: of each coefficient, at least 0, shape ``(features + 1,)``.
        center: where it is 0, shape ``(features + 1,)``.
    """

    weights: Vector
    center: Vector

    @classmethod
    def ridge(cls, n_features: int, strength: float) -> "Penalty":
        """Return a ridge on the coefficients, and none on the intercept."""
        weights = np.r_[np.full(n_features, float(strength)), 0.0]
        return cls(weights, np.zeros(n_features + 1))

    @classmethod
    def around(cls, arrays: Arrays, strength: float) -> "Penalty":
        """Return the squared distance to a model, its intercept too."""
        center = theta_of(arrays)
        return cls(np.full(len(center), float(strength)), center)

    def value(self, theta: Vector) -> float:
        """Return the penalty of some coefficients."""
        return float((self.weights * (theta - self.center) ** 2).sum() / 2)

    def gradient(self, theta: Vector) -> Vector:
        """Return its gradient."""
        found: Vector = self.weights * (theta - self.center)
        return found


def start(n_features: int) -> dict[str, Vector]:
    """Return the model that predicts one half for every row."""
    return {COEFFICIENTS: np.zeros(n_features), INTERCEPT: np.zeros(1)}


@one_blas_thread()
def logits(arrays: Arrays, x: NDArray[np.float32]) -> Vector:
    """Return the log-odds of rows, float64, shape ``(rows,)``.

    The order of the rows in memory decides the last bit of a product: here it is always the same.
    """
    wide = x.astype(np.float64, order="C")
    theta = theta_of(arrays)
    if DEVIATION in arrays:
        theta = theta + arrays[DEVIATION]
    z: Vector = wide @ theta[:-1] + theta[-1]
    return z


@one_blas_thread()
def sums(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.float32]) -> dict[str, Vector]:
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
    n_features: int,
    of: Callable[[Arrays], Arrays],
    settings: LogisticParameters,
    penalty: Penalty | None = None,
    begin: Arrays | None = None,
) -> Iterator[tuple[dict[str, Vector], float]]:
    """Yield the model after each step, with the mean log-loss a row of the model before it.

    A step that would raise the penalized loss is halved until it does not.

    Args:
        n_features: columns of the rows.
        of: from a model to the sums over all rows that it is fitted to.
        settings: ridge, steps, and where to stop.
        penalty: in the place of the ridge.
        begin: the model before the first step; None: the one of :func:`start`.

    Raises:
        TrainingDivergedError: the loss is not finite.
    """
    if penalty is None:
        penalty = Penalty.ridge(n_features, settings.ridge)
    theta = np.zeros(n_features + 1) if begin is None else theta_of(begin)
    held = of(arrays_of(theta))
    for _ in range(settings.steps):
        before = held
        theta, held, size = step(theta, held, of, penalty)
        yield arrays_of(theta), float(before["loss"][0] / before["n"][0])
        if size < settings.tolerance:
            return


@one_blas_thread()
def step(
    theta: Vector, held: Arrays, of: Callable[[Arrays], Arrays], penalty: Penalty
) -> tuple[Vector, Arrays, float]:
    """Take one step of Newton, halved until the penalized loss does not rise.

    Args:
        theta: the coefficients before it, the intercept last.
        held: the sums about them.
        of: from a model to the sums about it.
        penalty: of the coefficients.

    Returns:
        The coefficients after it, the sums about them, and the largest change of a coefficient.

    Raises:
        TrainingDivergedError: the loss before it is not finite.
    """
    objective = _objective(held, theta, penalty)
    if not math.isfinite(objective):
        raise TrainingDivergedError("the loss of the logistic regression", 1.0)
    gradient = held["gradient"] - penalty.gradient(theta)
    # the least-norm step where a column is constant or a copy and the ridge is 0
    delta = np.linalg.lstsq(held["hessian"] + np.diag(penalty.weights), gradient, rcond=1e-12)[0]
    size = 1.0
    for _ in range(_HALVINGS):
        held = of(arrays_of(theta + size * delta))
        if _objective(held, theta + size * delta, penalty) <= objective * (1 + _ROUNDING):
            break
        size /= 2
    return theta + size * delta, held, float(np.abs(size * delta).max())


def alone(
    x: NDArray[np.float32], y: NDArray[np.float32], settings: LogisticParameters
) -> Iterator[dict[str, Vector]]:
    r"""Yield a site's own model with each ridge of ``local_ridges``, the strongest first.

    Minimized is the log-loss of its rows, and of half a row with the outcome and half a row without
    it at :math:`x = 0`, plus the ridge: :math:`\log(1 + e^b) - b / 2` on the intercept is Jeffreys'
    prior of a share (without features the share is :math:`(k + 1/2) / (n + 1)`; Firth, Biometrika
    1993). So there is a finite model where all rows have the outcome or none has, and of one row.

    Args:
        x: features, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.
        settings: ridges, steps, and where to stop.
    """
    n_features = x.shape[1]
    model = start(n_features)

    def of(held: Arrays) -> Arrays:
        return _with_half_rows(sums(held, x, y), float(held[INTERCEPT][0]))

    for ridge in settings.local_ridges or (settings.ridge,):
        penalty = Penalty.ridge(n_features, ridge)
        *_, (model, _) = steps(n_features, of, settings, penalty, model)
        yield model


def around(
    center: Arrays, x: NDArray[np.float32], y: NDArray[np.float32], settings: LogisticParameters
) -> Iterator[dict[str, Vector]]:
    r"""Yield a site's model around a given one with each of ``strengths``, the strongest first.

    Minimized is the log-loss of its rows plus :math:`s / 2\,\lVert\theta - c\rVert^2`, with the
    strength :math:`s`, the given coefficients :math:`c`, and the intercept among them: the mode of
    the posterior with the prior :math:`\theta \sim N(c, I / s)`.

    Args:
        center: the given model.
        x: features, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.
        settings: strengths, steps, and where to stop.
    """
    n_features = x.shape[1]
    model = dict(center)
    for strength in settings.strengths:
        penalty = Penalty.around(center, strength)
        fitted = steps(n_features, lambda held: sums(held, x, y), settings, penalty, model)
        *_, (model, _) = fitted
        yield model


@one_blas_thread()
def clustered_sums(
    arrays: Arrays,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    patients: NDArray[np.int32],
) -> dict[str, Vector]:
    r"""Return what a site adds to the standard errors that are clustered by patient.

    Args:
        arrays: the fitted model.
        x: features, shape ``(rows, features)``, without NaN.
        y: labels 0/1, shape ``(rows,)``.
        patients: a number for the patient of each row, from 0, shape ``(rows,)``.

    Returns:
        ``hessian`` as of :func:`sums`, ``meat``, the sum over patients of :math:`s_p s_p^\top` with
        :math:`s_p` the sum of :math:`x (y - p)` over the patient's rows
        ``(features + 1, features + 1)``, and ``n``, the rows ``(1,)``.
    """
    wide = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    residual = y - probabilities(logits(arrays, x))
    scores = np.zeros((int(patients.max(initial=-1)) + 1, wide.shape[1]))
    np.add.at(scores, patients, wide * residual[:, None])
    found = sums(arrays, x, y)
    return {"hessian": found["hessian"], "meat": scores.T @ scores, "n": found["n"]}


@one_blas_thread()
def sandwich(hessian: Vector, meat: Vector, ridge: float) -> Vector:
    r"""Return the covariance of fitted coefficients, clustered by patient, the intercept last.

    :math:`(H + \Lambda)^{-1} M (H + \Lambda)^{-1}` without a correction for few patients (Liang and
    Zeger, Biometrika 1986). Patients are nested in sites, so that :math:`M` is a sum over sites.
    With a ridge it is the covariance of the penalized coefficients, which are biased towards 0.

    Args:
        hessian: of all sites, shape ``(features + 1, features + 1)``.
        meat: of all sites, of the same shape.
        ridge: with which the model was fitted.
    """
    penalty = Penalty.ridge(len(hessian) - 1, ridge)
    bread = np.linalg.pinv(hessian + np.diag(penalty.weights), rcond=1e-12, hermitian=True)
    found: Vector = bread @ meat @ bread
    return (found + found.T) / 2


def theta_of(arrays: Arrays) -> Vector:
    """Return the coefficients of a model, the intercept last."""
    return np.r_[arrays[COEFFICIENTS], arrays[INTERCEPT]]


def arrays_of(theta: Vector) -> dict[str, Vector]:
    """Return the model of coefficients, the intercept last."""
    return {COEFFICIENTS: theta[:-1].copy(), INTERCEPT: theta[-1:].copy()}


def _objective(held: Arrays, theta: Vector, penalty: Penalty) -> float:
    return float(held["loss"][0]) + penalty.value(theta)


def _with_half_rows(held: Arrays, intercept: float) -> Arrays:
    """Return the sums with half a row of each class at ``x = 0`` added."""
    p = float(probabilities(np.array([intercept]))[0])
    gradient, hessian = held["gradient"].copy(), held["hessian"].copy()
    gradient[-1] += 0.5 - p
    hessian[-1, -1] += p * (1 - p)
    loss = held["loss"] + np.logaddexp(0.0, intercept) - intercept / 2
    return {**held, "gradient": gradient, "hessian": hessian, "loss": loss}
