"""Nodes of the evaluation."""

from __future__ import annotations

import pandas as pd

from ms_pfl.federation.parameters import ProtocolParameters


def score_predictions(
    protocol: ProtocolParameters, **predictions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all trainings on the held-out test patients.

    Args:
        protocol: says whether all were to be tested on the same patients.
        predictions: the predictions table of each training, by any name.

    Returns:
        ``metrics`` (a row a fit, scope, country and metric) and ``coverage`` (a row a seed).
    """
    from ms_pfl.evaluation.scoring import coverage, score

    table = pd.concat(predictions.values(), ignore_index=True)
    same = protocol.same_test_rows
    return score(table, same), coverage(table, same)


def summarize_metrics(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of every metric over the seeds."""
    from ms_pfl.evaluation.comparison import summarize

    return summarize(metrics)
