"""Do higher probabilities go to the episodes that worsen? ROC-AUC and PR-AUC."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def has_both_classes(labels: NDArray[np.integer]) -> bool:
    """Return whether 0 and 1 both occur; the ranking metrics are undefined otherwise."""
    return bool(labels.size) and bool(labels.min() != labels.max())


def roc_auc(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    r"""Return the area under the ROC curve.

    The probability that a random positive is ranked above a random negative, ties counting
    one half: :math:`P(p_+ > p_-) + P(p_+ = p_-)/2`.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).

    Returns:
        A number in [0, 1], or NaN when only one class occurs. The published code scored such
        clients -1 and averaged that in.

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    # of the ranks of the positives (Mann and Whitney 1947): scikit-learn's checks take ten times
    # as long as this, and a run scores some thousand groups
    from scipy.stats import rankdata

    if not has_both_classes(labels):
        return float("nan")
    positive = np.asarray(labels) == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    ranks = float(rankdata(probabilities)[positive].sum())
    return (ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def pr_auc(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    r"""Return the area under the precision-recall curve as average precision.

    :math:`\sum_k (R_k - R_{k-1}) P_k` over the distinct thresholds, without interpolation,
    which would flatter the model (Davis and Goadrich, ICML 2006).

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).

    Returns:
        A number in (0, 1]; its value under no skill is the share of positives. NaN when only
        one class occurs.

    >>> round(pr_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
    0.8333
    """
    from sklearn.metrics import average_precision_score

    if not has_both_classes(labels):
        return float("nan")
    return float(average_precision_score(labels, probabilities))
