"""Metrics over seeds."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.names import METRICS, SCOPES
from ms_pfl.paradigms import models_in_order


def summarize(metrics: pd.DataFrame) -> pd.DataFrame:
    """Give mean and standard deviation over seeds of every metric.

    Args:
        metrics: the table of :func:`ms_pfl.evaluation.scoring.score`.

    Returns:
        One row a paradigm, strategy, scope, country and metric: mean and sd (n - 1 below the
        line) over the seeds in which the value is defined; n_seeds, how many those are (sd is
        NaN with fewer than two); n_episodes and n_positive, their mean over all seeds;
        n_left_out_min and n_left_out_max, the countries left out. The sd is what another split
        and other initial weights change; it is no confidence interval.

    Examples:
        >>> rows = pd.DataFrame({
        ...     "paradigm": "local", "strategy": "none", "seed": [0, 1, 2], "scope": "pooled",
        ...     "country": "", "metric": "roc_auc", "value": [0.70, 0.72, 0.74],
        ...     "n_episodes": 10, "n_positive": 4, "n_countries": 2, "n_left_out": 0,
        ... })
        >>> summarize(rows)[["mean", "sd", "n_seeds"]].round(4).values.tolist()
        [[0.72, 0.02, 3.0]]
    """
    keys = ["paradigm", "strategy", "scope", "country", "metric"]
    summary = (
        metrics.groupby(keys, sort=False)
        .agg(
            mean=("value", "mean"),
            sd=("value", "std"),
            n_seeds=("value", "count"),
            n_episodes=("n_episodes", "mean"),
            n_positive=("n_positive", "mean"),
            n_left_out_min=("n_left_out", "min"),
            n_left_out_max=("n_left_out", "max"),
        )
        .reset_index()
    )
    models = models_in_order(summary)
    scopes, names = list(SCOPES), list(METRICS)
    order = pd.DataFrame(
        {
            "model": [
                models.index(m) for m in zip(summary.paradigm, summary.strategy, strict=True)
            ],
            "scope": [scopes.index(scope) for scope in summary.scope],
            "country": summary["country"],
            "metric": [names.index(metric) for metric in summary.metric],
        }
    ).sort_values(["model", "scope", "country", "metric"])
    return summary.loc[order.index].reset_index(drop=True)
