"""The sites, how every model does there, and how evenly: over sites and subgroups of patients."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import model_name, models_in_order
from ms_pfl.reporting.content import About, Content, Details, Picture, Table, heading, note
from ms_pfl.reporting.figures import INK, short_name, styled
from ms_pfl.reporting.table1 import trained_models
from ms_pfl.reporting.words import (
    MISSING,
    Row,
    capitalized,
    format_value,
    model_rows,
    percent,
    rows_by,
    with_interval,
)


def sites(about: About, roc_auc_by_country: pd.DataFrame) -> Content:
    """Show the sizes of the sites, and ROC-AUC of every model by site."""
    return [
        Picture(
            "country_sizes",
            country_sizes(about.countries, (about.site, about.sites)),
            about.fill("Episodes and share with the outcome by {site}, one row per {site}"),
            about.fill(
                "Episodes of each {site} on a log scale, those with the outcome in red, and their "
                "share. Dotted: all {sites} together."
            ),
        ),
        Details(
            about.fill("ROC-AUC of every model by {site}"),
            [
                Table(roc_auc_by_country),
                note(
                    about.fill(
                        "Means over the seeds in which the {site}'s test episodes have both "
                        "classes; a dash where none has. Values of small {sites} rest on few "
                        "episodes and move much from seed to seed."
                    )
                ),
            ],
        ),
    ]


def country_table(episodes: pd.DataFrame) -> pd.DataFrame:
    """Count patients and episodes by country.

    Args:
        episodes: with country, patient_id and label.

    Returns:
        country, n_patients, n_episodes, n_positive, positive_share (0 to 1), largest country
        (by episodes) first.
    """
    table = (
        episodes.groupby("country")
        .agg(
            n_patients=("patient_id", "nunique"),
            n_episodes=("label", "size"),
            n_positive=("label", "sum"),
        )
        .astype("int64")
        .reset_index()
    )
    table["positive_share"] = table["n_positive"] / table["n_episodes"]
    return table.sort_values(["n_episodes", "country"], ascending=[False, True], ignore_index=True)


def per_country_table(
    summary: pd.DataFrame,
    countries: pd.DataFrame,
    metric: str = "roc_auc",
    digits: int = 3,
    site: str = "country",
) -> pd.DataFrame:
    """Lay a metric out by country: one row per country, one column per model, means over seeds.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        countries: the table of :func:`country_table`; its order is kept.
        metric: such as ``roc_auc``.
        digits: decimals.
        site: what a country is called, the head of the first column.

    Returns:
        Text cells: ``Country``, ``Patients``, ``Episodes``, ``With outcome`` (share of
        episodes with label 1), then a column per model; a dash where the metric is undefined in
        all seeds.
    """
    own = summary[(summary["scope"] == "country") & (summary["metric"] == metric)]
    found = rows_by(own, "paradigm", "strategy", "country")
    table = pd.DataFrame(
        {
            capitalized(site): countries["country"],
            "Patients": [f"{n:,}" for n in countries["n_patients"]],
            "Episodes": [f"{n:,}" for n in countries["n_episodes"]],
            "With outcome": [percent(share) for share in countries["positive_share"]],
        }
    )
    for pair in trained_models(own):
        table[model_name(*pair)] = [
            format_value(found[*pair, country]["mean"], digits=digits)
            for country in countries["country"]
        ]
    return table.astype("str")


@styled
def country_sizes(
    countries: pd.DataFrame, site: tuple[str, str] = ("country", "countries")
) -> Figure:
    """Draw episodes a country (log scale) beside the share of episodes that worsen.

    Args:
        countries: the table of :func:`ms_pfl.reporting.sites.country_table`.
        site: what one of them is called, and several.
    """
    figure = Figure(figsize=(8, 1.2 + 0.19 * len(countries)), layout="constrained")
    sizes, shares = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    rows = np.arange(len(countries))
    # dots, not bars: on a log scale a bar's length means nothing; no positive is drawn at no place
    positive = countries["n_positive"].where(countries["n_positive"] > 0)
    sizes.hlines(rows, positive, countries["n_episodes"], color="#808080", linewidth=0.8)
    sizes.plot(countries["n_episodes"], rows, "o", color="#0068B4", label="all episodes")
    sizes.plot(positive, rows, "o", color="#D55E00", label="with the outcome")
    sizes.set(
        xscale="log",
        # from 0.8, so that a country with one episode is still to be seen
        xlim=(0.8, 1.5 * max(int(countries["n_episodes"].max()), 10)),
        xlabel="episodes (log scale)",
        title=f"Size of each {site[0]}",
        yticks=rows,
        yticklabels=[short_name(name) for name in countries["country"]],
        ylim=(len(countries) - 0.3, -0.7),
    )
    sizes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    sizes.xaxis.set_minor_formatter(NullFormatter())
    sizes.legend(loc="lower right")
    shares.plot(100 * countries["positive_share"], rows, "o", color="#D55E00", markersize=4)
    overall = 100 * countries["n_positive"].sum() / countries["n_episodes"].sum()
    shares.axvline(overall, color=INK, linewidth=0.8, linestyle=":")
    shares.set(
        xlabel="outcome, % of episodes",
        title=f"Class balance (all {site[1]} {overall:.1f} %)",
        xlim=(-1, None),
    )
    shares.tick_params(axis="y", length=0)
    return figure


def fairness(about: About, fairness: pd.DataFrame) -> Content:
    """Show how ROC-AUC and Brier score are spread over sites."""
    return [
        Table(fairness_table(fairness)),
        note(
            about.fill(
                "Over the {sites}' means over seeds. Worst and bottom decile are the lowest "
                "ROC-AUC and the highest Brier score; the worst of many noisy values looks worse "
                "than it is, so read them against each other. Better than local: share of {sites}."
            )
        ),
    ]


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
        Text cells, a row per model: ``Model``, then for each metric the worst value with its
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
    """Lay out a metric by subgroup, a column per model.

    Args:
        subgroups: the table of :func:`ms_pfl.evaluation.fairness.score_subgroups`.
        metric: ``roc_auc``, ``brier`` or ``observed_expected``.

    Returns:
        Text cells, a row per level: ``Subgroup``, ``Level``, ``Episodes``, ``With outcome``, then a
        column per model.
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
