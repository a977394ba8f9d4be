"""Calibration of risks: logits, bins of equal size, recalibration under many weightings at once."""

import numpy as np
from numpy.typing import NDArray

from ms_pfl.evaluation.logistic import fit_logistic

_STEPS = 200  # of a recalibration
_EPSILON = float(np.finfo(np.float64).eps)
_LAST_STEP = 3e-3  # in logits
# A step of the intercept, in logits; it gets there from as far as 30 times this.
_LARGEST_STEP = 2.0
# Columns worked on at once, so that a chunk stays in the cache.
_CELLS_PER_CHUNK = 400_000


def inside(risks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the risks, kept a machine epsilon away from 0 and 1.

    So one certain error does not make a score infinite; scikit-learn does the same.
    """
    return np.clip(np.asarray(risks, dtype=np.float64), _EPSILON, 1 - _EPSILON)


def logit(risks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ``ln(p / (1 - p))``, with risks kept a machine epsilon from 0 and 1.

    >>> logit(np.array([0.5, 0.75])).round(4).tolist()
    [0.0, 1.0986]
    """
    p = inside(risks)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def quantile_bins(risks: NDArray[np.floating], bins: int = 10) -> NDArray[np.intp]:
    """Return the bin of each row, 0, 1, …, between the quantiles of the risks.

    Args:
        risks: shape (rows,).
        bins: at most; equal risks are never parted, so there may be fewer.

    >>> quantile_bins(np.array([0.7, 0.1, 0.1, 0.9]), bins=2).tolist()
    [1, 0, 0, 1]
    """
    if not len(risks):
        return np.zeros(0, dtype=np.intp)
    inner = np.quantile(risks, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.searchsorted(inner, risks, "left"), return_inverse=True)[1]


def reliability(
    labels: NDArray[np.integer], risks: NDArray[np.floating], bins: int = 10
) -> dict[str, NDArray[np.float64]]:
    """Return mean risk, observed share and episodes of each bin of :func:`quantile_bins`.

    Args:
        labels: 0 or 1, shape (episodes,).
        risks: of label 1, shape (episodes,).
        bins: at most.

    Returns:
        ``predicted``, ``observed`` and ``n``, each of shape (bins that hold episodes,).
    """
    bin_of = quantile_bins(risks, bins)
    n = np.bincount(bin_of).astype(np.float64)
    return {
        "predicted": np.bincount(bin_of, risks) / n,
        "observed": np.bincount(bin_of, labels.astype(np.float64)) / n,
        "n": n,
    }


def recalibrate_columns(
    labels: NDArray[np.integer],
    logits: NDArray[np.float64],
    weights: NDArray[np.floating],
    clusters: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return calibration intercept and slope for many weightings at once.

    The intercept is ``a`` of :math:`\mathrm{logit}\,P(y=1) = a + \mathrm{logit}\,p`, the slope
    ``b`` of :math:`\mathrm{logit}\,P(y=1) = a + b\,\mathrm{logit}\,p` (Cox, 1958).

    Args:
        labels: 0 or 1, shape (rows,).
        logits: of the risks, shape (rows,).
        weights: at least 0, shape (clusters, columns). All weights of column 0 are 1: it is solved
            first and in float64, and the others start where it ends. They are solved in float32,
            which halves the time: Newton's error is of the order of the last step squared, far
            below the spread of replicates.
        clusters: the row of ``weights`` that belongs to each row, shape (rows,).

    Returns:
        Both of shape (columns,). NaN where only one class has weight (they would be infinite); of
        the slope also where all risks are equal or separate the classes without error.
    """
    columns = weights.shape[1]
    found = np.full((2, columns), np.nan)
    if len(np.unique(labels)) < 2:
        return found[0], found[1]
    design = np.column_stack([np.ones_like(logits), logits])
    single = design.astype(np.float32)
    share = labels.mean()
    # with equal risks for all the likelihood bends, however wrong the risks are
    starts = ([0.0, 1.0], [np.log(share / (1 - share)), 0.0])
    size = max(1, _CELLS_PER_CHUNK // len(labels))
    for i, start in enumerate(starts):
        largest = np.inf if i else _LARGEST_STEP
        theta, known = fit_logistic(design, labels, np.array(start), free=1 + i, largest=largest)
        begin = theta if known else np.array([0.0, 1.0 - i])
        for first in range(0, columns if columns > 1 else 0, size):
            own = weights[:, first : first + size].astype(np.float32)[clusters]
            drawn, settled = fit_logistic(
                single, labels, np.repeat(begin[:, None], own.shape[1], axis=1), own, free=1 + i,
                largest=largest, tolerance=_LAST_STEP,
            )  # fmt: skip
            found[i, first : first + size] = np.where(settled, drawn[i], np.nan)
        found[i, 0] = theta[i] if known else np.nan
    return found[0], found[1]


def fit_recalibration(
    labels: NDArray[np.integer], logits: NDArray[np.float64], *, slope: bool
) -> tuple[float, float]:
    r"""Fit ``a`` and ``b`` of :math:`\mathrm{logit}\,P(y=1) = a + b\,\mathrm{logit}\,p`.

    Firth's penalized likelihood (Biometrika 80, 1993; Heinze and Schemper, Stat Med 21, 2002)
    :math:`\ell(\theta) + \frac12 \ln |I(\theta)|`: finite also where a small country's validation
    episodes have one class, and less biased than maximum likelihood.

    Args:
        labels: 0 or 1, shape (episodes,).
        logits: of the probabilities, shape (episodes,).
        slope: whether to fit ``b``; it is 1 otherwise.

    Returns:
        ``a`` and ``b``; 0 and 1 without episodes.

    >>> a, b = fit_recalibration(np.array([0, 1, 1, 1]), np.zeros(4), slope=False)
    >>> round(a, 4), b  # ln((3 + 1/2) / (1 + 1/2))
    (0.8473, 1.0)
    """
    if not len(labels):
        return 0.0, 1.0
    both = bool(slope and labels.min() != labels.max() and np.ptp(logits) > 0)
    design = np.column_stack([np.ones_like(logits), logits])
    start = np.array([0.0, 1.0])
    theta, _ = fit_logistic(design, labels, start, free=1 + both, firth=True, steps=_STEPS)
    return float(theta[0]), float(theta[1])
