"""How sure: intervals for every metric, differences between paradigms, and tests of them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS, draw_patients
from ms_pfl.evaluation.checks import FIT
from ms_pfl.evaluation.names import HIGHER_IS_BETTER, SCOPES
from ms_pfl.evaluation.replicates import (
    Estimand,
    FitReplicates,
    HeldOutRows,
    ModelReplicates,
    intervals,
    replicate_fit,
)
from ms_pfl.paradigms import family_of, is_recalibrated, models_in_order, planned_pairs

Model = tuple[str, str]
_Result = TypeVar("_Result")

_ROUNDING = 1e-12
DIFFERENCES_COLUMNS = [
    "paradigm", "strategy", "reference", "reference_strategy", "scope", "country", "metric",
    "difference", "low", "high", "p", "p_holm",
    "n_countries", "n_better", "wilcoxon_p", "wilcoxon_p_holm",
]  # fmt: skip


@dataclass(frozen=True)
class Bootstrap:
    """The replicates of every model, and how many test patients each country has over all seeds."""

    models: dict[Model, ModelReplicates]
    patients: dict[str, int]

    def few(self, scope: str, country: str) -> bool:
        """Whether an estimand rests on too few patients to tell how much it varies.

        A country's only patient is drawn in every replicate, and tells nothing.
        """
        if scope == "country":
            return self.patients[country] < MIN_PATIENTS
        return sum(n for n in self.patients.values() if n > 1) < MIN_PATIENTS

    def intervals(self, estimands: Sequence[Estimand], drawn: np.ndarray) -> np.ndarray:
        """95 % intervals, shape (estimands, 2); NaN for what rests on too few patients."""
        bounds = intervals(drawn)
        few = [self.few(scope, country) for _, scope, country in estimands]
        bounds[np.array(few, dtype=bool)] = np.nan
        return bounds


def replicate_models(
    test: pd.DataFrame, replicates: int, seed: int, same_rows: bool = True
) -> Bootstrap:
    """Bootstrap every model: one draw of patients a replicate, for all models and seeds.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.
        replicates: of the bootstrap.
        seed: of the bootstrap.
        same_rows: whether all fits of a seed are scored on the same rows.
    """

    def replicate(rows: HeldOutRows, fit: pd.DataFrame) -> FitReplicates:
        return replicate_fit(rows, fit["probability"].to_numpy())

    fits = map_fits(test, replicates, seed, replicate, same_rows)
    patients = test[["country", "patient_id"]].drop_duplicates()["country"].value_counts()
    return Bootstrap(
        {model: ModelReplicates.over_seeds(own) for model, own in fits.items()},
        {str(country): int(n) for country, n in patients.items()},
    )


def map_fits(
    test: pd.DataFrame,
    replicates: int,
    seed: int,
    function: Callable[[HeldOutRows, pd.DataFrame], _Result],
    same_rows: bool = True,
) -> dict[Model, list[_Result]]:
    """Apply a function to the resampled rows of every fit; a list over seeds a model.

    Args:
        test: as for :func:`replicate_models`, in its order.
        replicates: of the bootstrap.
        seed: of the bootstrap.
        function: called with the rows of a seed and the rows of a fit; in threads, one a core.
        same_rows: whether all fits of a seed are scored on the same rows.
    """
    from threadpoolctl import threadpool_limits

    resamples = draw_patients(test, replicates, seed)
    shared: dict[int, HeldOutRows] = {}

    def rows_of(split: int, rows: pd.DataFrame) -> HeldOutRows:
        if not same_rows:
            return HeldOutRows.of(rows, resamples, seed)
        if split not in shared:
            shared[split] = HeldOutRows.of(rows, resamples, seed)
        return shared[split]

    # a thread a core, so BLAS may not start threads of its own; the order of models decides nothing
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {
            fit: pool.submit(function, rows_of(int(str(fit[2])), rows), rows)
            for fit, rows in test.groupby(FIT, sort=True)
        }
        results = {fit: future.result() for fit, future in waiting.items()}
    found: dict[Model, list[_Result]] = {model: [] for model in models_in_order(test)}
    for fit in sorted(results):
        found[str(fit[0]), str(fit[1])].append(results[fit])
    return found


def estimate(summary: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Put 95 % intervals beside the means over seeds.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.comparison.summarize`.
        bootstrap: of :func:`replicate_models`.

    Returns:
        paradigm, strategy, scope, country, metric, value (mean over seeds), low and high
        (percentile interval of the patient bootstrap; NaN for what resampling would bias, such as
        the expected calibration error, for calibration by country, and for countries with fewer
        than ``MIN_PATIENTS`` test patients, or all values if that few can be drawn in all).
    """
    keys = ["paradigm", "strategy", "scope", "country", "metric"]
    table = summary[[*keys, "mean"]].rename(columns={"mean": "value"})
    table[["low", "high"]] = np.nan
    for (paradigm, strategy), own in table.groupby(["paradigm", "strategy"], sort=False):
        values = bootstrap.models[str(paradigm), str(strategy)].values
        estimands = list(zip(own["metric"], own["scope"], own["country"], strict=True))
        known = np.array([estimand in values for estimand in estimands])
        found = [estimand for estimand in estimands if estimand in values]
        drawn = np.array([values[estimand] for estimand in found])
        table.loc[own.index[known], ["low", "high"]] = bootstrap.intervals(found, drawn)
    return table


def differences(bootstrap: Bootstrap) -> pd.DataFrame:
    """Subtract what a model is compared with, replicate by replicate, and test the difference.

    * The interval is that of the replicates' differences: both models on the same drawn patients.
    * ``p``: twice the smaller share of replicates on one side of 0, a replicate added to both
      (Davison and Hinkley, 1997, 4.2): never 0, and 1 where all differences are 0.
    * ``wilcoxon_p`` (macro): Wilcoxon's signed-rank test over countries, on differences that are
      means over seeds; ``n_better`` of ``n_countries`` differ to the better.
    * ``p_holm``, ``wilcoxon_p_holm``: adjusted (Holm, 1979) over the models that are compared with
      the same reference by the same metric and scope; recalibrated ones apart.

    Args:
        bootstrap: of :func:`replicate_models`.

    Returns:
        A row a pair (:func:`planned_pairs`), metric, scope and country; ``DIFFERENCES_COLUMNS``.
        Differences are model minus reference. By country there are intervals (from
        ``MIN_PATIENTS`` test patients on) and no tests; nor are there any where that few patients
        can be drawn in all.
    """
    records = []
    for model, other in planned_pairs(list(bootstrap.models)):
        own, base = bootstrap.models[model].values, bootstrap.models[other].values
        common = [estimand for estimand in own if estimand in base]
        gained = np.array([own[estimand] - base[estimand] for estimand in common])
        gained[np.abs(gained) < _ROUNDING] = 0.0  # rankings that are alike but for rounding
        bounds = bootstrap.intervals(common, gained)
        for (metric, scope, country), drawn, (low, high) in zip(
            common, gained, bounds, strict=True
        ):
            record = {
                "paradigm": model[0],
                "strategy": model[1],
                "reference": other[0],
                "reference_strategy": other[1],
                "scope": scope,
                "country": country,
                "metric": metric,
                "difference": float(drawn[0]),
                "low": low,
                "high": high,
            }
            if scope != "country" and not bootstrap.few(scope, country):
                record["p"] = bootstrap_p(drawn[1:])
            if scope == "macro":
                of_countries = [
                    row[0]
                    for row, name in zip(gained, common, strict=True)
                    if name[:2] == (metric, "country")
                ]
                record |= _over_countries(np.array(of_countries), metric)
            records.append(record)
    table = pd.DataFrame.from_records(records, columns=DIFFERENCES_COLUMNS)
    # whether recalibration helps is another question than whether personalization does
    recalibrated = table["paradigm"].map(is_recalibrated)
    further = [
        family_of(*model) for model in zip(table["paradigm"], table["strategy"], strict=True)
    ]
    family = [table["reference"], table["metric"], table["scope"], recalibrated, further]
    for name in ("p", "wilcoxon_p"):
        table[f"{name}_holm"] = table.groupby(family)[name].transform(holm)
    order = {scope: i for i, scope in enumerate(SCOPES)}
    return table.sort_values("scope", key=lambda s: s.map(order), kind="stable", ignore_index=True)


def bootstrap_p(drawn: np.ndarray) -> float:
    """Two-sided p of the replicates of a difference against 0.

    >>> bootstrap_p(np.array([0.1, 0.2, 0.3])), bootstrap_p(np.zeros(3))
    (0.5, 1.0)
    """
    known = drawn[~np.isnan(drawn)]
    below, above = int((known <= 0).sum()) + 1, int((known >= 0).sum()) + 1
    return min(1.0, 2 * min(below, above) / (len(known) + 1))


def holm(p: pd.Series) -> pd.Series:
    """Holm's adjustment of the p that are there; the others stay missing.

    >>> holm(pd.Series([0.01, 0.04, float("nan"), 0.03])).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    known = p.notna()
    adjusted = p.astype("float64").copy()
    if known.any():
        gc.freeze()  # multipletests collects garbage, among all that a run holds by now
        try:
            adjusted[known] = multipletests(p[known].to_numpy(), method="holm")[1]
        finally:
            gc.unfreeze()
    return adjusted


def _over_countries(gained: np.ndarray, metric: str) -> dict[str, float]:
    from scipy.stats import wilcoxon

    better = gained > 0 if HIGHER_IS_BETTER[metric] else gained < 0
    # differences of 0 say nothing to the signed-rank test; where there is nothing else, p is 1
    p = float(wilcoxon(gained).pvalue) if np.any(gained != 0) else 1.0
    return {"n_countries": len(gained), "n_better": int(better.sum()), "wilcoxon_p": p}
