"""Can a probability be taken at its word? Proper scores of each prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EPSILON = float(np.finfo(np.float64).eps)


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
    p = np.clip(np.asarray(probabilities, dtype=np.float64), _EPSILON, 1 - _EPSILON)
    return float(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p))))
