"""From the predictions table to the metrics table: the same estimands for every paradigm."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.checks import check_predictions
from ms_pfl.evaluation.discrimination import has_both_classes
from ms_pfl.evaluation.evaluate import evaluate


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
        labels = fit.groupby("country")["label"]
        single = sum(not has_both_classes(own.to_numpy()) for _, own in labels)
        records.append(
            {
                "seed": seed,
                "n_patients": len(fit[["country", "patient_id"]].drop_duplicates()),
                "n_episodes": len(fit),
                "n_positive": int(fit["label"].sum()),
                "n_countries": labels.ngroups,
                "n_single_class": single,
            }
        )
    return pd.DataFrame.from_records(records)
