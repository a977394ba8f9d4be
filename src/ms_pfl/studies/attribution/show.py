"""What the models use, as a figure, a table and a few sentences."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ms_pfl.names import listed
from ms_pfl.paradigms import color_of, model_name, models_in_order
from ms_pfl.reporting.content import About, Block, Content, Picture, Table, sentences
from ms_pfl.reporting.figures import INK, short_name, styled
from ms_pfl.reporting.words import capitalized, percent
from ms_pfl.studies.attribution.compare import (
    GLOBAL,
    SMALLEST,
    TIMES_NOISE,
    mean_importance,
    share_differences,
    total_variation,
)

#: More columns cannot be distinguished on a page.
MOST_GROUPS = 16
#: Shares that moved by more have the color of this.
_STRONGEST = 0.4


def section(
    about: About, importance: pd.DataFrame, attribution_by_country: pd.DataFrame
) -> Content:
    """Show what the models use, and where a site's own model uses something else."""
    by_site = attribution_by_country
    content: list[Block] = [
        *sentences(attribution_sentences(importance, by_site, (about.site, about.sites))),
        Picture(
            "importance",
            draw_importance(importance, by_site),
            about.fill(
                "Importance of groups of features, and how personal models differ by {site}"
            ),
            about.fill(
                "Permutation importance. Above: all {sites} together, point: mean over seeds, "
                "line: lowest to highest seed. Below: the share of importance that a {site}'s "
                "personal model lays on a group minus the federated model's share there; a frame "
                "around {sites} that stand out (test episodes in parentheses)."
            ),
        ),
    ]
    table = standing_out_table(by_site, about.site)
    return content if table.empty else [*content, Table(table, "last-words")]


@styled
def draw_importance(importance: pd.DataFrame, by_country: pd.DataFrame) -> Figure:
    """Draw what each model uses, and below what each country's own model uses more or less.

    Above: the rise of the log-loss by group, all countries together; the point is the mean over
    seeds, the line runs from the lowest seed to the highest. Below, a panel a personal model: its
    share of importance in each group minus the global model's, the largest country first; gray
    where a share is not known; a frame around the countries that stand out.

    Args:
        importance: the table of :func:`ms_pfl.studies.attribution.importance.importance`.
        by_country: the table of :func:`ms_pfl.studies.attribution.compare.compare_by_country`.
    """
    means = mean_importance(importance)
    together = means[means["country"] == ""]
    groups = _groups_to_show(together)
    differences = share_differences(importance)
    sizes = by_country.groupby("country")["n_episodes"].max().sort_values(ascending=False)
    countries = [str(name) for name in sizes.index]
    personal = models_in_order(differences)
    above, below = 0.9 + 0.27 * len(groups), 2.0 + 0.19 * len(countries)
    figure = Figure(figsize=(10.5, above + (below if personal else 0)), layout="constrained")
    if not personal:
        _draw_increases(figure.subplots(), together, groups)
        return figure
    parts: Any = figure.subfigures(2, 1, height_ratios=[above, below])
    top, bottom = parts
    _draw_increases(top.subplots(), together, groups)
    panels = bottom.subplots(1, len(personal), sharey=True, squeeze=False)[0]
    for axes, (paradigm, strategy) in zip(panels, personal, strict=True):
        cells = _of(differences, paradigm, strategy).pivot(
            index="country", columns="group", values="difference"
        )
        mesh = _draw_cells(axes, cells.reindex(index=countries, columns=groups))
        rows = _of(by_country, paradigm, strategy)
        for country in rows.loc[rows["stands_out"].astype(bool), "country"]:
            box = Rectangle(
                (0, countries.index(country)), len(groups), 1, fill=False, edgecolor=INK,
                linewidth=1.5, clip_on=False,
            )  # fmt: skip
            axes.add_patch(box)
        axes.set_title(f"Share of importance: {model_name(paradigm, strategy)} minus federated")
    labels = [f"{short_name(name)} ({sizes[name]:,.0f})" for name in countries]
    panels[0].set(
        yticks=np.arange(len(countries)) + 0.5, yticklabels=labels, ylim=(len(countries), 0)
    )
    bar = bottom.colorbar(mesh, ax=list(panels), extend="both", shrink=0.8, pad=0.02, aspect=30)
    bar.set_label("share, percentage points")
    bar.outline.set_visible(False)
    bar.solids.set(rasterized=False, edgecolor="face")
    return figure


def _groups_to_show(together: pd.DataFrame) -> list[str]:
    """Return groups by their importance to the global model, the largest first."""
    of_global = together[together["paradigm"] == GLOBAL]
    chosen = of_global if len(of_global) else together
    means = chosen.groupby("group", sort=False)["increase"].mean()
    ranked = means.sort_values(ascending=False, kind="stable").index
    return [str(name) for name in ranked[:MOST_GROUPS]]


def _draw_increases(axes: Axes, together: pd.DataFrame, groups: list[str]) -> None:
    models = models_in_order(together)
    axes.axvline(0, color=INK, linewidth=0.8)
    for i, (paradigm, strategy) in enumerate(models):
        own = _of(together, paradigm, strategy).set_index("group").loc[groups]
        rows = np.arange(len(groups)) + 0.22 * (i - (len(models) - 1) / 2)
        color = color_of(paradigm)
        axes.hlines(rows, own["low"], own["high"], color=color, linewidth=1.2)
        axes.plot(
            own["increase"], rows, "o", color=color, markersize=4,
            label=model_name(paradigm, strategy),
        )  # fmt: skip
    left = together["group"].nunique() - len(groups)
    more = f" ({left} less important ones are not shown)" if left else ""
    axes.set(
        xlabel="rise of the log-loss on test episodes when the group is shuffled",
        title=f"Importance by group of features{more}",
        yticks=range(len(groups)),
        yticklabels=[short_name(name) for name in groups],
        ylim=(len(groups) - 0.5, -0.5),
    )
    axes.legend(loc="lower right")


def _draw_cells(axes: Axes, cells: pd.DataFrame) -> Any:
    shares = np.ma.masked_invalid(100 * cells.to_numpy(dtype=np.float64))
    # drawn cell by cell, as the bar is, so that the report's SVG holds no picture of pixels
    mesh = axes.pcolormesh(shares, cmap="PuOr", vmin=-100 * _STRONGEST, vmax=100 * _STRONGEST)
    axes.set_facecolor("#808080")
    axes.set_xticks(
        np.arange(cells.shape[1]) + 0.5, [short_name(name) for name in cells.columns], rotation=45,
        ha="right", rotation_mode="anchor",
    )  # fmt: skip
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return mesh


def standing_out_table(by_country: pd.DataFrame, site: str = "country") -> pd.DataFrame:
    """Lay out the countries that stand out, as text for a page; no row where none does.

    Args:
        by_country: the table of :func:`ms_pfl.studies.attribution.compare.compare_by_country`.
        site: what a country is called.

    Returns:
        ``Model``, the country, ``Test episodes`` (mean over seeds), ``Importance moved``, ``By
        chance`` (``noise_paired``), ``Federated model uses most``, ``Own model uses most``.
    """
    shown = by_country[by_country["stands_out"].astype(bool)]
    return pd.DataFrame(
        {
            "Model": [model_name(*key) for key in zip(shown.paradigm, shown.strategy, strict=True)],
            capitalized(site): shown["country"].tolist(),
            "Test episodes": [f"{n:,.0f}" for n in shown["n_episodes"]],
            "Importance moved": [percent(share, 0) for share in shown["distance"]],
            "By chance": [percent(share, 0) for share in shown["noise_paired"]],
            "Federated model uses most": shown["top_group_global"].tolist(),
            "Own model uses most": shown["top_group_personal"].tolist(),
        },
        dtype="str",
    )


def attribution_sentences(
    importance: pd.DataFrame,
    by_country: pd.DataFrame,
    site: tuple[str, str] = ("country", "countries"),
) -> list[str]:
    """Say what the global model uses, and whose personal model uses something else.

    Args:
        importance: the table of :func:`ms_pfl.studies.attribution.importance.importance`.
        by_country: the table of :func:`ms_pfl.studies.attribution.compare.compare_by_country`.
        site: what a country is called, and several.

    Returns:
        A sentence or two an entry: what the global model uses, one entry a personal model, and the
        rule by which a country stands out.
    """
    means = mean_importance(importance[importance["country"] == ""])
    lines = []
    for model in models_in_order(means[means["paradigm"] == GLOBAL]):
        own = _of(means, *model).sort_values("increase", ascending=False)
        most = [f"{row.group} ({row.increase:+.3f})" for row in own.head(3).itertuples()]
        lines.append(
            f"The log-loss of {model_name(*model)} on test episodes rises most when these are "
            f"shuffled within each {site[0]}: {', '.join(most)}."
        )
    for paradigm, strategy in models_in_order(by_country):
        shares, of_global = (
            _of(means, name, strategy)["share"].to_numpy() for name in (paradigm, GLOBAL)
        )
        rows, name = _of(by_country, paradigm, strategy), model_name(paradigm, strategy)
        lines.append(_who_stands_out(rows, name, total_variation(shares, of_global), site))
    halves = "seeds" if importance["seed"].nunique() > 1 else "permutations"
    lines.append(
        f"A {site[0]} stands out where its own model lays more than {percent(SMALLEST, 0)} of the "
        f"importance elsewhere than the federated model does, more than in the other {site[1]} "
        f"together, and more than {TIMES_NOISE:g} times what two halves of the {halves} disagree "
        "by. Importance tells what a model uses, not what causes the outcome."
    )
    return lines


def _who_stands_out(rows: pd.DataFrame, name: str, moved: float, site: tuple[str, str]) -> str:
    out = rows[rows["stands_out"].astype(bool)]
    overall = f"over all {site[1]} together {percent(moved, 0)} moved"
    known = int(rows["noise_paired"].notna().sum())
    if out.empty:
        return (
            f"{name}: no {site[0]} of {known} that can be judged stands out in the features that "
            f"its own model uses; {overall}."
        )
    named = ", ".join(
        f"{listed([country])} ({percent(share, 0)})"
        for country, share in zip(out["country"], out["distance"], strict=True)
    )
    return (
        f"{name}: {len(out)} of {known} {site[1]} that can be judged use other features than the "
        f"federated model, by the share of importance that moved: {named}; {overall}."
    )


def _of(table: pd.DataFrame, paradigm: str, strategy: str) -> pd.DataFrame:
    return table[(table["paradigm"] == paradigm) & (table["strategy"] == strategy)]
