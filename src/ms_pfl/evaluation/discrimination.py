"""Do higher risks go to the episodes with the outcome? ROC-AUC and average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Cells worked on at once, so that a chunk of a large test split stays in the cache.
_CELLS_PER_CHUNK = 1_000_000


def has_both_classes(labels: NDArray[np.integer]) -> bool:
    """Return whether 0 and 1 both occur; the ranking metrics are undefined otherwise."""
    return bool(labels.size) and bool(labels.min() != labels.max())


def rank_metrics(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    weights: NDArray[np.floating],
    clusters: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return ROC-AUC and average precision of weighted rows, for many weightings at once.

    With weights :math:`w`, positives :math:`i` and negatives :math:`j`:
    ROC-AUC :math:`= \sum_i w_i (N_{<i} + N_{\le i}) / (2 P N)`, where :math:`N_{<i}` is the weight
    of the negatives that score below :math:`i`; average precision
    :math:`= \sum_i w_i \frac{P_{\ge i}}{P_{\ge i} + N_{\ge i}} / P`. Whole weights give what
    repeating rows would give. Average precision is not interpolated, which would flatter the model
    (Davis and Goadrich, ICML 2006).

    Args:
        labels: 0 or 1, shape (rows,).
        scores: shape (rows,).
        weights: at least 0, shape (clusters, columns).
        clusters: the row of ``weights`` that belongs to each row, shape (rows,).

    Returns:
        Both of shape (columns,); NaN where only one class has weight.

    >>> y, s = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
    >>> w = np.array([[1, 1, 2], [1, 1, 0], [1, 3, 1]])
    >>> roc, pr = rank_metrics(y, s, w, np.arange(3))
    >>> roc.tolist(), pr.round(4).tolist()
    ([0.5, 0.75, 1.0], [0.8333, 0.95, 1.0])
    """
    columns = weights.shape[1]
    roc, pr = np.full(columns, np.nan), np.full(columns, np.nan)
    order = np.argsort(scores, kind="stable")
    positive = labels[order] > 0
    positives, negatives = order[positive], order[~positive]
    if not len(positives) or not len(negatives):
        return roc, pr
    # for each positive: how many negatives score below, how many not above, and the first tie
    lower = np.searchsorted(scores[negatives], scores[positives], "left")
    upper = np.searchsorted(scores[negatives], scores[positives], "right")
    first = np.searchsorted(scores[positives], scores[positives], "left")
    positives, negatives = clusters[positives], clusters[negatives]
    step = max(1, _CELLS_PER_CHUNK // len(order))
    for start in range(0, columns, step):
        chunk = slice(start, start + step)
        part = weights[:, chunk].astype(np.float64)
        own = part[positives]
        below, ranked = _running_sum(part[negatives]), _running_sum(own)
        n_positive, n_negative = ranked[-1], below[-1]
        under = below[lower]
        won = (own * (under + below[upper])).sum(axis=0)
        true_positives = n_positive - ranked[first]
        with np.errstate(invalid="ignore"):
            precision = true_positives / (true_positives + (n_negative - under))
        # a positive without weight above which nothing has weight: 0 / 0, and it does not count
        hits = np.where(own > 0, own * precision, 0.0).sum(axis=0)
        pairs = n_positive * n_negative
        both = pairs > 0
        np.divide(won / 2, pairs, out=roc[chunk], where=both)
        np.divide(hits, n_positive, out=pr[chunk], where=both)
    return roc, pr


def _running_sum(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the first 0, 1, 2 … rows; shape (rows + 1, columns)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums
