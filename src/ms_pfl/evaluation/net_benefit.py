"""Would acting on the predictions do more good than harm? Decision curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.replicates import HeldOutRows, intervals
from ms_pfl.evaluation.uncertainty import map_fits

TREAT_ALL = ("treat_all", "")


def net_benefit(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], threshold: float
) -> float:
    r"""Return :math:`TP/n - FP/n \cdot t/(1-t)` (Vickers and Elkin, Med Decis Making 26, 2006).

    Episodes with a probability of at least ``t`` are acted on; the odds of the threshold weigh an
    unnecessary act against a missed one. Acting on nobody has the value 0.

    Args:
        labels: 0 or 1, shape (episodes,).
        probabilities: of label 1, shape (episodes,).
        threshold: in (0, 1).

    Returns:
        At most the share of positives; NaN without episodes.

    >>> p = np.array([0.1, 0.4, 0.6, 0.9])
    >>> round(net_benefit(np.array([0, 1, 0, 1]), p, 0.5), 4), net_benefit(np.zeros(0), p[:0], 0.5)
    (0.0, nan)
    """
    if not labels.size:
        return float("nan")
    acted = probabilities >= threshold
    odds = threshold / (1 - threshold)
    return float(np.mean(acted * (labels - odds * (1 - labels))))


def decision_curves(
    test: pd.DataFrame,
    thresholds: Sequence[float],
    replicates: int,
    seed: int,
    same_rows: bool = True,
) -> pd.DataFrame:
    """Net benefit of every model over thresholds, with intervals, and of treating everybody.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.
        thresholds: probabilities from which on one would act, each in (0, 1).
        replicates: of the patient bootstrap.
        seed: of the bootstrap.
        same_rows: whether all fits of a seed are scored on the same rows.

    Returns:
        paradigm (``treat_all`` for acting on everybody), strategy, threshold, net_benefit (mean
        over seeds), low, high (95 % percentile interval). Treating nobody is 0 everywhere.
    """
    levels = np.asarray(thresholds, dtype=np.float64)
    odds = levels / (1 - levels)

    def curves(rows: HeldOutRows, fit: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        p = fit["probability"].to_numpy()
        return _curve(rows, p >= levels[:, None], odds), _curve(
            rows, np.ones((len(levels), len(p)), dtype=bool), odds
        )

    fits = map_fits(test, replicates, seed, curves, same_rows)
    drawn = {model: np.mean([own for own, _ in pairs], axis=0) for model, pairs in fits.items()}
    # the rows of a seed are the same for all models
    drawn[TREAT_ALL] = np.mean([everybody for _, everybody in next(iter(fits.values()))], axis=0)
    records = []
    for (paradigm, strategy), curve in drawn.items():
        for threshold, value, bounds in zip(levels, curve[:, 0], intervals(curve), strict=True):
            records.append((paradigm, strategy, float(threshold), float(value), *bounds))
    columns = ["paradigm", "strategy", "threshold", "net_benefit", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)


def _curve(rows: HeldOutRows, acted: NDArray[np.bool_], odds: NDArray[np.float64]) -> np.ndarray:
    """Net benefit in every replicate, shape (thresholds, columns)."""
    labels = rows.rows["label"].to_numpy()
    worth = np.where(labels > 0, 1.0, -odds[:, None]) * acted
    return np.asarray(rows.sums(worth) / rows.sums(np.ones((1, len(labels)))))
