"""Nodes of the evaluation."""

from __future__ import annotations

import pandas as pd


def score_predictions(**predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all trainings on the held-out test patients.

    Args:
        predictions: the predictions table of each training, by any name.

    Returns:
        ``metrics`` (a row a fit, scope, country and metric) and ``coverage`` (a row a seed).
    """
    from ms_pfl.evaluation.scoring import coverage, score

    table = pd.concat(predictions.values(), ignore_index=True)
    return score(table), coverage(table)


def summarize_metrics(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of every metric over the seeds."""
    from ms_pfl.evaluation.comparison import summarize

    return summarize(metrics)
