"""How sure: intervals for every metric, differences between paradigms, and tests of them."""

from __future__ import annotations

import gc

import pandas as pd

from ms_pfl.evaluation.evaluate import PARADIGM, Estimates
from ms_pfl.evaluation.metrics import SCOPES
from ms_pfl.paradigms import family_of, is_recalibrated, planned_pairs

DIFFERENCES_COLUMNS = [
    "paradigm", "strategy", "reference", "reference_strategy", "scope", "country", "metric",
    "difference", "low", "high", "p", "p_holm",
    "n_countries", "n_better", "wilcoxon_p", "wilcoxon_p_holm",
]  # fmt: skip


def add_intervals(summary: pd.DataFrame, estimates: Estimates) -> pd.DataFrame:
    """Put 95 % intervals beside the means over seeds.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        estimates: of :func:`ms_pfl.evaluation.evaluate.evaluate`, pooled and by country.

    Returns:
        paradigm, strategy, scope, country, metric, value (mean over seeds), low and high
        (percentile interval of the patient bootstrap; NaN for what resampling would bias, such as
        the expected calibration error, for calibration by country, and for countries with fewer
        than ``MIN_PATIENTS`` test patients, or all values if that few can be drawn in all).
    """
    keys = [*PARADIGM, "scope", "country", "metric"]
    found = estimates.intervals().rename(columns={"group": "country"})
    table = summary[[*keys, "mean"]].rename(columns={"mean": "value"})
    return table.merge(found[[*keys, "low", "high"]], on=keys, how="left")


def planned_differences(estimates: Estimates) -> pd.DataFrame:
    """Subtract what a model is compared with, replicate by replicate, and test the difference.

    * The interval is that of the replicates' differences: both models on the same drawn patients.
    * ``p``: twice the smaller share of replicates on one side of 0, a replicate added to both
      (Davison and Hinkley, 1997, 4.2): never 0, and 1 where all differences are 0.
    * ``wilcoxon_p`` (macro): Wilcoxon's signed-rank test over countries, on differences that are
      means over seeds; ``n_better`` of ``n_countries`` differ to the better.
    * ``p_holm``, ``wilcoxon_p_holm``: adjusted (Holm, 1979) over the models that are compared with
      the same reference by the same metric and scope; recalibrated ones apart.

    Args:
        estimates: of :func:`ms_pfl.evaluation.evaluate.evaluate`, pooled and by country.

    Returns:
        A row a pair (:func:`planned_pairs`), metric, scope and country; ``DIFFERENCES_COLUMNS``.
        Differences are model minus reference. By country there are intervals (from
        ``MIN_PATIENTS`` test patients on) and no tests; nor are there any where that few patients
        can be drawn in all.
    """
    pairs = planned_pairs([(paradigm, strategy) for paradigm, strategy in estimates.values])
    table = estimates.differences(pairs).rename(columns={"group": "country"})
    # whether recalibration helps is another question than whether personalization does
    recalibrated = table["paradigm"].map(is_recalibrated)
    further = [
        family_of(*model) for model in zip(table["paradigm"], table["strategy"], strict=True)
    ]
    family = [table["reference"], table["metric"], table["scope"], recalibrated, further]
    for name in ("p", "wilcoxon_p"):
        table[f"{name}_holm"] = table.groupby(family)[name].transform(holm)
    return table.sort_values(
        "scope", key=lambda names: names.map(list(SCOPES).index), kind="stable", ignore_index=True
    )[DIFFERENCES_COLUMNS]


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
