"""Can a probability be taken at its word? Proper scores, bins, and logistic recalibration.

The hierarchy is that of Van Calster et al., J Clin Epidemiol 74 (2016): observed over expected and
the intercept ask whether risks are right on average, the slope whether they are spread too far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EPSILON = float(np.finfo(np.float64).eps)
_NEWTON_STEPS = 30
_LAST_STEP = 3e-3  # in logits
_SINGULAR = 1e12
# Newton's step in logits at most: far from the answer the likelihood is flat, and a full step
# passes over it. So the intercept gets there from as far as _NEWTON_STEPS times this.
_LARGEST_STEP = 2.0
# Columns worked on at once, so that a chunk stays in the cache.
_CELLS_A_CHUNK = 400_000


def brier(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    r"""Return the Brier score, the mean of :math:`(p - y)^2`: lower is better.

    It is defined for a single class too, and a size-weighted mean over countries equals the
    pooled value.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).

    Returns:
        A number in [0, 1], NaN without episodes.

    >>> round(brier(np.array([0, 1]), np.array([0.2, 0.6])), 4)
    0.1
    """
    if not labels.size:
        return float("nan")
    return float(np.mean((probabilities - labels) ** 2))


def log_loss(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    r"""Return the mean negative log-likelihood in nats: lower is better.

    :math:`-\frac1n \sum_i y_i \ln p_i + (1 - y_i) \ln(1 - p_i)`. Probabilities are kept a
    machine epsilon away from 0 and 1, as scikit-learn does, so that one certain error does
    not make the whole score infinite.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).

    Returns:
        A number >= 0, NaN without episodes.

    >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 4)
    0.6931
    """
    if not labels.size:
        return float("nan")
    return float(np.mean(log_losses(labels, probabilities)))


def log_losses(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return each episode's part of :func:`log_loss`, shape (episodes,)."""
    p = _inside(probabilities)
    return np.asarray(-np.where(labels == 1, np.log(p), np.log1p(-p)), dtype=np.float64)


def logit(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ``ln(p / (1 - p))``, with probabilities kept a machine epsilon from 0 and 1.

    >>> logit(np.array([0.5, 0.75])).round(4).tolist()
    [0.0, 1.0986]
    """
    p = _inside(probabilities)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def _inside(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.clip(np.asarray(probabilities, dtype=np.float64), _EPSILON, 1 - _EPSILON)


def expected_calibration_error(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], bins: int = 10
) -> float:
    r"""Return the expected calibration error over bins of equally many episodes.

    :math:`\sum_b \frac{n_b}{n} |\bar y_b - \bar p_b|` (Naeini et al., AAAI 2015) over bins between
    the quantiles of the probabilities. It is never below 0, so chance alone makes it positive, and
    resampling more so: it comes without an interval.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).
        bins: at most; equal probabilities are never parted, so there may be fewer.

    Returns:
        A number in [0, 1], NaN without episodes.

    >>> p = np.array([0.1, 0.2, 0.6, 0.7])
    >>> round(expected_calibration_error(np.array([0, 0, 1, 1]), p, bins=2), 4)
    0.25
    """
    table = reliability(labels, probabilities, bins)
    if not len(table["n"]):
        return float("nan")
    gap = np.abs(table["observed"] - table["predicted"])
    return float(gap @ table["n"] / table["n"].sum())


def reliability(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], bins: int = 10
) -> dict[str, NDArray[np.float64]]:
    """Return mean prediction, observed share and episodes of each quantile bin.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).
        bins: at most; equal probabilities are never parted.

    Returns:
        ``predicted``, ``observed`` and ``n``, each of shape (bins that hold episodes,).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not p.size:
        return {name: np.zeros(0) for name in ("predicted", "observed", "n")}
    inner = np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])
    _, bin_of = np.unique(np.searchsorted(inner, p, "left"), return_inverse=True)
    n = np.bincount(bin_of).astype(np.float64)
    return {
        "predicted": np.bincount(bin_of, p) / n,
        "observed": np.bincount(bin_of, labels.astype(np.float64)) / n,
        "n": n,
    }


def observed_expected(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Return observed over expected outcomes, ``sum y / sum p``; 1 is right on average.

    >>> round(observed_expected(np.array([0, 1, 1]), np.array([0.5, 0.5, 0.5])), 4)
    1.3333
    """
    expected = float(np.sum(probabilities))
    return float(np.sum(labels)) / expected if expected > 0 else float("nan")


def calibration_intercept(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> float:
    r"""Return calibration in the large, the ``a`` of
    :math:`\mathrm{logit}\,P(y=1) = a + \mathrm{logit}\,p`.

    0 is right on average; above 0 risks are too low. The slope is held at 1.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).

    Returns:
        In logits; NaN where only one class occurs (it would be infinite).

    >>> float(round(calibration_intercept(np.array([0, 1, 1, 1]), np.full(4, 0.5)), 4))
    1.0986
    """
    return float(_solve_once(labels, logit(probabilities), free_slope=False)[0])


def calibration_slope(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    r"""Return ``b`` of :math:`\mathrm{logit}\,P(y=1) = a + b\,\mathrm{logit}\,p` (Cox, 1958).

    1 is right; below 1 the risks are spread too far, as those of an overfitted model are.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).

    Returns:
        NaN where only one class occurs, all probabilities are equal, or the probabilities tell the
        classes apart without error (it would be infinite).
    """
    return float(_solve_once(labels, logit(probabilities), free_slope=True)[1])


def weighted_recalibration(
    labels: NDArray[np.integer],
    logits: NDArray[np.float64],
    weights: NDArray[np.floating],
    clusters: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibration intercept (slope 1) and slope (intercept free) for many weightings at once.

    Newton's method on the weighted log-likelihood; all columns start where equal weights end.

    Args:
        labels: 0 or 1, shape (rows,).
        logits: of the probabilities, shape (rows,).
        weights: at least 0, shape (clusters, columns).
        clusters: the row of ``weights`` that belongs to each row, shape (rows,).

    Returns:
        Both of shape (columns,); NaN where it does not exist, see :func:`calibration_slope`.
    """
    columns = weights.shape[1]
    intercepts, slopes = np.full(columns, np.nan), np.full(columns, np.nan)
    if not labels.size or labels.min() == labels.max():
        return intercepts, slopes
    y, x = labels.astype(np.float32), logits.astype(np.float32)
    in_the_large = _start(_solve_once(labels, logits, free_slope=False), slope=1.0)
    free = _start(_solve_once(labels, logits, free_slope=True), slope=0.0)
    step = max(1, _CELLS_A_CHUNK // len(y))
    for first in range(0, columns, step):
        chunk = slice(first, first + step)
        own = weights[:, chunk].astype(np.float32)[clusters]
        intercepts[chunk] = _solve(y, x, own, in_the_large, free_slope=False)[0]
        slopes[chunk] = _solve(y, x, own, free, free_slope=True)[1]
    return intercepts, slopes


def _start(theta: NDArray[np.float64], slope: float) -> NDArray[np.float64]:
    """Where the columns start; intercept 0 and the slope where equal weights end nowhere."""
    return np.array([0.0, slope]) if np.isnan(theta).any() else theta


def _solve_once(
    labels: NDArray[np.integer], logits: NDArray[np.float64], *, free_slope: bool
) -> NDArray[np.float64]:
    """Intercept and slope of the rows as they are; NaN where they do not exist."""
    nothing = np.full(2, np.nan)
    if not labels.size or labels.min() == labels.max():
        return nothing
    # equal risks for all: there the likelihood bends, however wrong the risks are
    share = labels.mean()
    theta = np.array([np.log(share / (1 - share)), 0.0]) if free_slope else np.array([0.0, 1.0])
    design = np.stack([np.ones_like(logits), logits])
    free = slice(0, 1 + free_slope)
    with np.errstate(over="ignore"):
        for _ in range(_NEWTON_STEPS):
            p = 1 / (1 + np.exp(-(theta @ design)))
            bend = (design[free] * (p * (1 - p))) @ design[free].T
            score = design[free] @ (labels - p)
            if free_slope:
                if np.linalg.cond(bend) > _SINGULAR:
                    return nothing
                step = np.linalg.solve(bend, score)
            else:
                step = _bounded(score, bend[0])
            theta[free] += step
            if np.abs(step).max() < 1e-8:
                return theta
    return nothing


def _bounded(score: NDArray[np.float64], bend: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton's step of the intercept; where nothing bends, the largest one uphill.

    NaN where all is flat: one class only, and the intercept on its way to infinity.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        step = score / bend
    return np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)


def _solve(
    y: NDArray[np.float32],
    x: NDArray[np.float32],
    weights: NDArray[np.float32],
    start: NDArray[np.float64],
    *,
    free_slope: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton from (intercept, slope) in every column; NaN where it does not settle.

    float32 halves the time. Newton's error is of the order of the last step squared, so a last step
    below the tolerance leaves one far below the spread of the replicates.
    """
    basis = np.stack([np.ones_like(x), x, x * x])
    a, b = (np.full(weights.shape[1], part) for part in start)
    settled = np.zeros(len(a), dtype=bool)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for _ in range(_NEWTON_STEPS):
            p = x[:, None] * b.astype(np.float32) + a.astype(np.float32)
            np.negative(p, out=p)
            np.exp(p, out=p)
            p += 1
            np.reciprocal(p, out=p)
            residual = (y[:, None] - p) * weights
            p *= (1 - p) * weights
            score = (basis[:2] @ residual).astype(np.float64)
            bend = (basis @ p).astype(np.float64)
            if free_slope:
                determinant = bend[0] * bend[2] - bend[1] ** 2
                da = (bend[2] * score[0] - bend[1] * score[1]) / determinant
                db = (bend[0] * score[1] - bend[1] * score[0]) / determinant
            else:
                da, db = _bounded(score[0], bend[0]), np.zeros_like(b)
            a, b = a + da, b + db
            settled = (np.abs(da) < _LAST_STEP) & (np.abs(db) < _LAST_STEP)
            if settled.all():
                break
    return np.where(settled, a, np.nan), np.where(settled, b, np.nan)
