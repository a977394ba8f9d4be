"""The sites: their sizes, their shares with the outcome, and how every model does there."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ms_pfl.paradigms import model_name
from ms_pfl.reporting.content import About, Content, Details, Picture, Table, note
from ms_pfl.reporting.figures import INK, short_name, styled
from ms_pfl.reporting.table1 import trained_models
from ms_pfl.reporting.words import capitalized, format_value, percent, rows_by


def sites(about: About, roc_auc_by_country: pd.DataFrame) -> Content:
    """Show the sizes of the sites, and ROC-AUC of every model by site."""
    drawn = country_sizes(about.countries, (about.site, about.sites))
    return [
        Picture(
            "country_sizes",
            drawn,
            about.fill("Episodes and share with the outcome by {site}"),
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
    """Lay a metric out by country: one row a country, one column a model, means over seeds.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        countries: the table of :func:`country_table`; its order is kept.
        metric: such as ``roc_auc``.
        digits: decimals.
        site: what a country is called, the head of the first column.

    Returns:
        Text cells: ``Country``, ``Patients``, ``Episodes``, ``With outcome`` (share of
        episodes with label 1), then a column a model; a dash where the metric is undefined in
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
    sizes.plot(countries["n_episodes"], rows, "o", color="#56B4E9", label="all episodes")
    sizes.plot(positive, rows, "o", color="#D55E00", label="with the outcome")
    _log_axis(sizes, int(countries["n_episodes"].max()))
    sizes.set(xlabel="episodes (log scale)", title=f"Size of each {site[0]}")
    sizes.set_yticks(rows, [short_name(name) for name in countries["country"]])
    sizes.set_ylim(len(countries) - 0.3, -0.7)
    sizes.legend(loc="lower right")
    shares.plot(100 * countries["positive_share"], rows, "o", color="#D55E00", markersize=4)
    overall = 100 * countries["n_positive"].sum() / countries["n_episodes"].sum()
    shares.axvline(overall, color=INK, linewidth=0.8, linestyle=":")
    shares.set(
        xlabel="outcome, % of episodes", title=f"Class balance (all {site[1]} {overall:.1f} %)"
    )
    shares.set_xlim(left=-1)
    shares.tick_params(axis="y", length=0)
    return figure


def _log_axis(axes: Axes, largest: int) -> None:

    axes.set_xscale("log")
    # from 0.8, so that a country with one episode is still to be seen
    axes.set_xlim(0.8, 1.5 * max(largest, 10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
