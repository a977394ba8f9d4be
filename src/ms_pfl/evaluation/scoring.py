"""From the predictions table to the metrics table: the same estimands for every paradigm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.calibration import (
    brier,
    calibration_intercept,
    calibration_slope,
    expected_calibration_error,
    log_loss,
    observed_expected,
)
from ms_pfl.evaluation.checks import FIT, check_predictions
from ms_pfl.evaluation.discrimination import has_both_classes, pr_auc, roc_auc
from ms_pfl.paradigms import models_in_order

Metric = Callable[[NDArray[np.integer], NDArray[np.floating]], float]
METRIC_FUNCTIONS: dict[str, Metric] = {
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "brier": brier,
    "log_loss": log_loss,
    "calibration_error": expected_calibration_error,
    "calibration_intercept": calibration_intercept,
    "calibration_slope": calibration_slope,
    "observed_expected": observed_expected,
}
# Over countries a mean of these says little: of slopes few are finite, of errors most is noise.
_NO_MEANS = (
    "calibration_error",
    "calibration_intercept",
    "calibration_slope",
    "observed_expected",
)
METRICS_COLUMNS = [
    *FIT,
    "scope",
    "country",
    "metric",
    "value",
    "n_episodes",
    "n_positive",
    "n_countries",
    "n_left_out",
]


@dataclass(frozen=True)
class _Value:
    """A metric of one group of rows and what stands behind it."""

    value: float
    n_episodes: int
    n_positive: int


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
        ``country``), metric (a key of ``METRIC_FUNCTIONS``), value,
        n_episodes and n_positive (of the rows behind the value; of the country or of all
        countries where the value is undefined), n_countries (behind the value), n_left_out
        (countries left out because they have one class).

    Raises:
        InputError: the table is malformed, or paradigms were scored on different rows.
    """
    from sklearn import config_context

    test = check_predictions(predictions, same_rows)
    records: list[tuple[object, ...]] = []
    # The rows are checked above; scikit-learn need not look again at every country.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        fits = {fit: rows for fit, rows in test.groupby(FIT, sort=True)}
        for paradigm, strategy in models_in_order(test):
            for fit in sorted(key for key in fits if key[:2] == (paradigm, strategy)):
                records += [(*fit, *record) for record in _score_fit(fits[fit])]
    metrics = pd.DataFrame.from_records(records, columns=METRICS_COLUMNS)
    texts = {name: "str" for name in ("paradigm", "strategy", "scope", "country", "metric")}
    return metrics.astype(texts)


def _score_fit(rows: pd.DataFrame) -> list[tuple[object, ...]]:
    labels = rows["label"].to_numpy()
    probabilities = rows["probability"].to_numpy()
    countries, starts = np.unique(rows["country"].to_numpy(dtype=object), return_index=True)
    bounds = [*starts, len(labels)]  # the rows come sorted by country
    slices = {str(country): slice(bounds[i], bounds[i + 1]) for i, country in enumerate(countries)}
    records: list[tuple[object, ...]] = []
    for metric, function in METRIC_FUNCTIONS.items():
        by_country = {
            country: _value(function, labels[part], probabilities[part])
            for country, part in slices.items()
        }
        everything = _value(function, labels, probabilities)
        behind = 0 if np.isnan(everything.value) else len(slices)
        records.append(_record("pooled", "", metric, everything, behind, len(slices) - behind))
        if metric not in _NO_MEANS:
            records += _means(metric, by_country)
        for country, own in by_country.items():
            defined = int(not np.isnan(own.value))
            records.append(_record("country", country, metric, own, defined, 1 - defined))
    return records


def _value(function: Metric, labels: np.ndarray, probabilities: np.ndarray) -> _Value:
    return _Value(function(labels, probabilities), len(labels), int(labels.sum()))


def _means(metric: str, by_country: dict[str, _Value]) -> list[tuple[object, ...]]:
    defined = [own for own in by_country.values() if not np.isnan(own.value)]
    left_out = len(by_country) - len(defined)
    counted = defined or list(by_country.values())
    n_episodes = sum(own.n_episodes for own in counted)
    n_positive = sum(own.n_positive for own in counted)
    macro = weighted = float("nan")
    if defined:
        values = np.array([own.value for own in defined])
        sizes = np.array([own.n_episodes for own in defined], dtype=np.float64)
        macro = float(values.mean())
        weighted = float(values @ sizes / sizes.sum())
    return [
        _record(scope, "", metric, _Value(value, n_episodes, n_positive), len(defined), left_out)
        for scope, value in (("macro", macro), ("weighted", weighted))
    ]


def _record(
    scope: str, country: str, metric: str, own: _Value, n_countries: int, n_left_out: int
) -> tuple[object, ...]:
    return (
        scope,
        country,
        metric,
        own.value,
        own.n_episodes,
        own.n_positive,
        n_countries,
        n_left_out,
    )


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
