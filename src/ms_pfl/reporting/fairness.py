"""How evenly models do: their spread over sites, and subgroups of patients."""

from __future__ import annotations

import math

import pandas as pd

from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import model_name, models_in_order
from ms_pfl.reporting.content import About, Content, Table, heading, note
from ms_pfl.reporting.words import (
    MISSING,
    Row,
    format_value,
    model_rows,
    percent,
    rows_by,
    with_interval,
)


def fairness(about: About, fairness: pd.DataFrame) -> Content:
    """Show how ROC-AUC and Brier score are spread over sites."""
    words = about.fill(
        "Over the {sites}' means over seeds. Worst and bottom decile are the lowest ROC-AUC and "
        "the highest Brier score; the worst of many noisy values looks worse than it is, so read "
        "them against each other. Better than local: share of {sites}."
    )
    return [Table(fairness_table(fairness)), note(words)]


def subgroups(about: About, subgroup_metrics: pd.DataFrame) -> Content | None:
    """Show models by subgroup; None where no subgroup is known."""
    if subgroup_metrics.empty:
        return None
    return [
        heading("ROC-AUC"),
        Table(subgroup_table(subgroup_metrics, "roc_auc"), "words"),
        heading("Observed over expected"),
        Table(subgroup_table(subgroup_metrics, "observed_expected"), "words"),
        note(
            about.fill(
                "{strategy}, all {sites} together, 95 % intervals in brackets; as known at the "
                "visit. Episodes: mean over seeds."
            )
        ),
    ]


def fairness_table(fairness: pd.DataFrame) -> pd.DataFrame:
    """Lay out how ROC-AUC and Brier score are spread over countries.

    Args:
        fairness: the table of :func:`ms_pfl.evaluation.fairness.fairness`.

    Returns:
        Text cells, a row a model: ``Model``, then for each metric the worst value with its
        country, the bottom decile, the sd, and the share of countries above local training.
    """
    found = rows_by(fairness, "paradigm", "strategy", "metric")

    def cells(model: tuple[str, str]) -> dict[str, str]:
        return {
            f"{METRICS[metric].label} {name}": cell
            for metric in ("roc_auc", "brier")
            for name, cell in _spread(found[*model, metric]).items()
        }

    return model_rows(models_in_order(fairness), cells)


def _spread(row: Row) -> dict[str, str]:
    where = "" if math.isnan(row["worst"]) else f" ({row['worst_country']})"
    return {
        "worst": format_value(row["worst"]) + where,
        "bottom decile": format_value(row["bottom_decile"]),
        "sd": format_value(row["sd"]),  # of one country there is none
        "better than local": percent(row["share_above_local"], 0),
    }


def subgroup_table(subgroups: pd.DataFrame, metric: str = "roc_auc") -> pd.DataFrame:
    """Lay out a metric by subgroup, a column a model.

    Args:
        subgroups: the table of :func:`ms_pfl.evaluation.fairness.score_subgroups`.
        metric: ``roc_auc``, ``brier`` or ``observed_expected``.

    Returns:
        Text cells, a row a level: ``Subgroup``, ``Level``, ``Episodes``, ``With outcome``, then a
        column a model.
    """
    # of the two recalibrations the plain one is enough to see
    own = subgroups[
        (subgroups["metric"] == metric) & (subgroups["paradigm"] != "recalibrated_slope")
    ]
    digits = 2 if metric == "observed_expected" else 3
    table = []
    for (name, level), rows in own.groupby(["subgroup", "level"], sort=False):
        first = rows.iloc[0]
        cells = {
            "Subgroup": str(name),
            "Level": str(level),
            "Episodes": f"{first['n_episodes']:,.0f}",
            "With outcome": percent(first["n_positive"] / (first["n_episodes"] or math.nan)),
        }
        for row in rows.to_dict("records"):
            cells[model_name(row["paradigm"], row["strategy"])] = with_interval(row, digits)
        table.append(cells)
    names = [model_name(*model) for model in models_in_order(own)]
    columns = ["Subgroup", "Level", "Episodes", "With outcome", *names]
    return pd.DataFrame(table, columns=columns).fillna(MISSING).astype("str")
