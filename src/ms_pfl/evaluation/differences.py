"""The planned differences between models: size, uncertainty, and what is concluded from them.

A few comparisons are *primary*: named beforehand in the configuration, with simultaneous intervals.
All others are *exploratory*. Of every row, interval and p are of one standard error and one level,
and the verdict follows from the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.evaluate import PARADIGM, Estimates
from ms_pfl.evaluation.inference import (
    add_verdicts,
    holm,
    holm_levels,
    pointwise,
    procedure_interval,
    simultaneous,
)
from ms_pfl.evaluation.metrics import METRICS, SCOPES
from ms_pfl.evaluation.parameters import PrimaryParameters
from ms_pfl.paradigms import family_of, is_recalibrated, model_name, planned_pairs

PRIMARY, EXPLORATORY = "primary", "exploratory"
MAX_T, HOLM, UNADJUSTED = "max-t", "Holm", ""
COLUMNS = [
    "paradigm", "strategy", "reference", "reference_strategy", "scope", "country", "metric",
    "difference", "se", "low", "high", "p", "role", "adjusted", "verdict", "within_margin",
    "unadjusted_low", "unadjusted_high", "unadjusted_p", "sd", "procedure_low", "procedure_high",
    "n_countries", "n_better", "wilcoxon_p", "wilcoxon_p_holm",
]  # fmt: skip
_PAIR = ["paradigm", "strategy", "reference", "reference_strategy"]


def add_intervals(summary: pd.DataFrame, estimates: Estimates) -> pd.DataFrame:
    """Put 95 % intervals beside the means over seeds.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        estimates: of :func:`ms_pfl.evaluation.evaluate.evaluate`, pooled and by country.

    Returns:
        paradigm, strategy, scope, country, metric, value (mean over seeds), low and high
        (percentile interval of the patient bootstrap; NaN for what resampling would bias, such as
        the expected calibration error, for an interval that does not hold its value, for
        calibration intercept and slope by country, and for countries with fewer than
        ``MIN_PATIENTS`` test patients, or all values if that few can be drawn in all).
    """
    keys = [*PARADIGM, "scope", "country", "metric"]
    found = estimates.intervals().rename(columns={"group": "country"})
    table = summary[[*keys, "mean"]].rename(columns={"mean": "value"})
    return table.merge(found[[*keys, "low", "high"]], on=keys, how="left")


def planned_differences(
    estimates: Estimates,
    primary: PrimaryParameters | None = None,
    margins: Mapping[str, float] | None = None,
    test_to_train: float = math.nan,
) -> pd.DataFrame:
    """Subtract what a model is compared with, replicate by replicate, and say what follows.

    * ``se``: standard error of the difference, both models on the same drawn patients.
    * ``low``, ``high``, ``p``: of that standard error. Primary rows: simultaneous, by the maximum
      of their t statistics (:func:`.inference.simultaneous`). Exploratory rows that are pooled or
      means over countries: by Holm's method, over the models that are compared with the same
      reference by the same metric and scope, recalibrated ones and further methods apart; the
      interval at the level of the p (:func:`.inference.holm_levels`). By country: unadjusted.
    * ``verdict``, ``within_margin``: :func:`.inference.add_verdicts`.
    * ``procedure_low``, ``procedure_high``: :func:`.inference.procedure_interval`.
    * ``wilcoxon_p`` (macro): Wilcoxon's signed-rank test over countries, on differences that are
      means over seeds; ``n_better`` of ``n_countries`` differ to the better.

    Args:
        estimates: of :func:`ms_pfl.evaluation.evaluate.evaluate`, pooled and by country.
        primary: the comparisons that were planned as primary; None: all are exploratory.
        margins: by metric, the largest difference that does not matter.
        test_to_train: test patients per training patient; NaN where not known.

    Returns:
        A row per pair (:func:`planned_pairs`), metric, scope and country; :data:`COLUMNS`.
        Differences are model minus reference. ``role``: primary or exploratory; ``adjusted``:
        ``max-t``, ``Holm`` or empty; ``sd`` over seeds. Without intervals where fewer than
        ``MIN_PATIENTS`` test patients can be drawn.

    Raises:
        InputError: a primary comparison is between models that are not there.
    """
    pairs = planned_pairs([(paradigm, strategy) for paradigm, strategy in estimates.values])
    table = estimates.differences(pairs).rename(columns={"group": "country"})
    table = table.rename(
        columns={name: f"unadjusted_{name}" for name in ("low", "high", "p")}
    ).assign(role=EXPLORATORY, adjusted=UNADJUSTED)
    table[["low", "high", "p"]] = table[["unadjusted_low", "unadjusted_high", "unadjusted_p"]]
    first = _primary_rows(table, primary)
    table.loc[first, "role"] = PRIMARY
    _adjust_exploratory(table, estimates)
    _adjust_primary(table, first, estimates)
    seeds = [_over_seeds(estimates, row, test_to_train) for row in table.to_dict("records")]
    columns = ["sd", "procedure_low", "procedure_high"]
    table = table.join(pd.DataFrame(seeds, index=table.index, columns=columns, dtype="float64"))
    signs = {name: metric.sign for name, metric in METRICS.items()}
    return add_verdicts(table, signs, margins or {}).sort_values(
        "scope", key=lambda names: names.map(list(SCOPES).index), kind="stable", ignore_index=True
    )[COLUMNS]


def _primary_rows(table: pd.DataFrame, primary: PrimaryParameters | None) -> pd.Index[int]:
    """Return the rows that are primary."""
    if primary is None:
        return table.index[:0]
    own = table[(table["strategy"] == primary.strategy) & (table["scope"] == "pooled")]
    found = {(str(row["paradigm"]), str(row["reference"])) for row in own.to_dict("records")}
    missing = [pair for pair in primary.pairs if pair not in found]
    if missing:
        paradigm, reference = missing[0]
        raise InputError(
            f"Parameter 'comparison.primary': {model_name(paradigm, primary.strategy)} is not "
            f"compared with {reference} training in this run; name trainings of this run, or set "
            "comparison.primary: null"
        )
    pairs = pd.Series(list(zip(own["paradigm"], own["reference"], strict=True)), index=own.index)
    return own.index[pairs.isin(list(primary.pairs)) & own["metric"].isin(primary.metrics)]


def _adjust_exploratory(table: pd.DataFrame, estimates: Estimates) -> None:
    """Adjust p and intervals of the exploratory rows that are not of single countries."""
    # whether recalibration helps is another question than whether personalization does
    recalibrated = table["paradigm"].map(is_recalibrated)
    further = [
        family_of(*model) for model in zip(table["paradigm"], table["strategy"], strict=True)
    ]
    family = [table["reference"], table["metric"], table["scope"], recalibrated, further]
    table["wilcoxon_p_holm"] = table.groupby(family)["wilcoxon_p"].transform(holm)
    tested = (
        (table["role"] == EXPLORATORY) & (table["country"] == "") & table["unadjusted_p"].notna()
    )
    p = table["unadjusted_p"].where(tested)
    levels = p.groupby(family).transform(holm_levels)[tested]
    own = table[tested]
    freedom = np.array([estimates.freedom(scope, "") for scope in own["scope"]])
    values = own["difference"].to_numpy(), own["se"].to_numpy()
    found = pointwise(*values, freedom, levels.to_numpy())
    table.loc[tested, "low"], table.loc[tested, "high"] = found.low, found.high
    table.loc[tested, "p"] = p.groupby(family).transform(holm)[tested]
    table.loc[tested, "adjusted"] = HOLM


def _adjust_primary(table: pd.DataFrame, rows: pd.Index[int], estimates: Estimates) -> None:
    """Adjust p and intervals of the primary rows together."""
    rows = rows[table.loc[rows, "unadjusted_p"].notna()]
    if rows.empty:
        return
    drawn = []
    for row in table.loc[rows].to_dict("records"):
        model = str(row["paradigm"]), str(row["strategy"])
        other = str(row["reference"]), str(row["reference_strategy"])
        common, gained = estimates.drawn_differences(model, other)
        drawn.append(gained[common.index((str(row["metric"]), "pooled", ""))])
    found = simultaneous(np.array(drawn), estimates.freedom("pooled", ""))
    table.loc[rows, "low"], table.loc[rows, "high"] = found.low, found.high
    table.loc[rows, "p"], table.loc[rows, "adjusted"] = found.p, MAX_T


def _over_seeds(
    estimates: Estimates, row: Mapping[Any, Any], test_to_train: float
) -> tuple[float, float, float]:
    """Return the sd of a difference over seeds, and the interval of the procedure."""
    estimand = str(row["metric"]), str(row["scope"]), str(row["country"])
    one = estimates.fits[str(row["paradigm"]), str(row["strategy"])]
    other = estimates.fits[str(row["reference"]), str(row["reference_strategy"])]
    values = np.array(
        [
            one[seed][1][estimand][0] - other[seed][1][estimand][0]
            for seed in one
            if seed in other and estimand in one[seed][1] and estimand in other[seed][1]
        ]
    )
    known = values[~np.isnan(values)]
    sd = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    # of a country, its own patients would have to be counted
    return sd, *procedure_interval(known, math.nan if row["country"] else test_to_train)
