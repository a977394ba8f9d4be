"""From predictions to metrics, and over seeds: the same estimands for every paradigm."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.checks import check_predictions
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.metrics import METRICS, SCOPES
from ms_pfl.paradigms import models_in_order


def score(predictions: pd.DataFrame, same_rows: bool = True) -> pd.DataFrame:
    """Score the test split of every fit, pooled, over countries and by country.

    * ``pooled``: the metric of all test episodes together, whatever their country.
    * ``country``: the metric of one country's test episodes.
    * ``macro``: the mean of the country values, every country counting the same.
    * ``weighted``: their mean weighted by the country's test episodes.

    Measures of calibration beyond Brier score and log-loss come pooled and by country only.

    ROC-AUC and PR-AUC (and calibration slope and intercept) are undefined where a country's test
    episodes are all of one class: such a country has a NaN of its own, is left out of ``macro``
    and ``weighted``, and is counted in ``n_left_out``. Brier score and log-loss are defined there
    and keep it.

    Args:
        predictions: the concatenated predictions tables of all fits, see
            :func:`ms_pfl.evaluation.checks.check_predictions`.
        same_rows: as there.

    Returns:
        A long table: paradigm, strategy, seed, scope, country (empty unless scope is
        ``country``), metric (a key of ``METRICS``), value,
        n_episodes and n_positive (of the rows behind the value; of the country or of all
        countries where the value is undefined), n_countries (behind the value), n_left_out
        (countries left out because they have one class).

    Raises:
        InputError: the table is malformed, or paradigms were scored on different rows.
    """
    test = check_predictions(predictions, same_rows)
    return evaluate(test, ("pooled", "country")).observed()


def coverage(predictions: pd.DataFrame, same_rows: bool = True) -> pd.DataFrame:
    """Count, for each seed, what the comparison rests on.

    Args:
        predictions: as for :func:`score`.
        same_rows: as there.

    Returns:
        One row a seed: seed, n_patients, n_episodes, n_positive (test split), n_countries
        (with test episodes), n_single_class (of those, with test episodes of one class only).

    Raises:
        InputError: as :func:`score`.
    """
    test = check_predictions(predictions, same_rows)
    records = []
    for seed, rows in test.groupby("seed", sort=True):
        fit = rows.drop_duplicates("episode_id")
        classes = fit.groupby("country")["label"].nunique()
        records.append(
            {
                "seed": seed,
                "n_patients": len(fit[["country", "patient_id"]].drop_duplicates()),
                "n_episodes": len(fit),
                "n_positive": int(fit["label"].sum()),
                "n_countries": len(classes),
                "n_single_class": int((classes == 1).sum()),
            }
        )
    return pd.DataFrame.from_records(records)


def summarize(metrics: pd.DataFrame) -> pd.DataFrame:
    """Give mean and standard deviation over seeds of every metric.

    Args:
        metrics: the table of :func:`score`.

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
    places = summary[["country"]].assign(
        model=[models.index(m) for m in zip(summary.paradigm, summary.strategy, strict=True)],
        scope=summary["scope"].map(list(SCOPES).index),
        metric=summary["metric"].map(list(METRICS).index),
    )
    order = places.sort_values(["model", "scope", "country", "metric"]).index
    return summary.loc[order].reset_index(drop=True)
