"""From people in the registry to labelled episodes: the flow as tables and as figures.

The diagram follows CONSORT: what was there, what was left out and why, what remains. The reasons
are those of :func:`ms_pfl.cohort.episodes.build_episodes`.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ms_pfl.reporting.content import About, Content, Details, Picture, Table, note
from ms_pfl.reporting.figures import INK, short_name, styled
from ms_pfl.reporting.words import MISSING, percent

#: Stages that ask for the outcome; all before them ask who and what is eligible.
OUTCOME_STAGES = ("Baseline", "Follow-up", "Confirmation")
_FIRST, _LAST = "Registry", "Episodes"
_LABELLED_COLOR = "#0072B2"
# Okabe and Ito, then grays: as many as there are stages. Outlines make the light ones visible.
_STAGE_COLORS = (
    "#E69F00", "#56B4E9", "#F0E442", "#D55E00", "#CC79A7", "#009E73", "#808080", "#B0B0B0",
    "#606060", "#D0D0D0",
)  # fmt: skip
_LINE_INCHES = 0.18
_WRAP = 46  # characters of a reason


def flow(
    about: About, cohort_description: Mapping[str, Any], flow_figures: Mapping[str, str]
) -> Content | None:
    """Show the flow from the registry to the episodes; None where it is not known."""
    from markupsafe import Markup

    if cohort_description["attrition"] is None:
        return None
    stages, by_country = (
        pd.DataFrame(cohort_description[name]) for name in ("attrition", "attrition_by_country")
    )
    return [
        Picture(
            "attrition",
            flow_figures["attrition"],
            "Flow from people in the registry to labelled episodes",
            "Each reason counts the visits that had passed all reasons above it.",
        ),
        Details("The same as a table", [Table(readable_flow(stages), "words")]),
        Picture(
            "attrition_by_country",
            flow_figures["attrition_by_country"],
            "Shares of each country's visits: labelled episodes, and those left out by reason",
            "What became of each country's visits (their number in parentheses), in the order of "
            "labelled episodes.",
        ),
        Details(
            "The flow by country",
            [
                Table(flow_by_country(by_country), "last-words"),
                note(
                    Markup(
                        "Eligible visits: those left before the outcome is asked for. All stages "
                        "of all countries: <code>data/08_reporting/attrition_by_country.csv</code>."
                    )
                ),
            ],
        ),
    ]


def prevalence(about: About, cohort_description: Mapping[str, Any]) -> Content | None:
    """Show how often each outcome is seen; None where it is not known."""
    if cohort_description["attrition"] is None:
        return None
    return [
        Table(prevalence_table(pd.DataFrame(cohort_description["prevalence"])), "words"),
        note(
            "First row: the outcome and the rule that are used here. Agreement and Cohen's kappa "
            "over the episodes that both label. PIRA: worsening with no relapse near its onset, in "
            "% of the worsenings for which relapses are recorded."
        ),
    ]


def draw_flow(cohort: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the flow from the registry to the episodes, all together and by country.

    Args:
        cohort: ``attrition``, ``attrition_by_country`` (rows, or None where they are not known)
            and ``countries`` (rows with ``n_positive``).

    Returns:
        ``attrition`` and ``attrition_by_country``; nothing where they are not known.
    """
    if cohort["attrition"] is None:
        return {}
    n_positive = sum(row["n_positive"] for row in cohort["countries"])
    return {
        "attrition": flow_diagram(pd.DataFrame(cohort["attrition"]), n_positive),
        "attrition_by_country": losses_by_country(pd.DataFrame(cohort["attrition_by_country"])),
    }


def prevalence_table(prevalence: pd.DataFrame) -> pd.DataFrame:
    """Lay out how often each outcome is seen under each rule, as text for a page.

    Args:
        prevalence: outcome, rule, episodes, worsened, prevalence, agreement, kappa, share_pira
            (the last four as shares, missing where not known); the pair that is used comes first.
    """
    return pd.DataFrame(
        [
            {
                "Outcome": row["outcome"].replace("_", " ").capitalize(),
                "Rule": row["rule"].replace("_", " "),
                "Episodes": f"{row['episodes']:,}",
                "Worsened": f"{row['worsened']:,}",
                "Prevalence": percent(row["prevalence"]),
                "Agreement with the one used": percent(row["agreement"]),
                "Cohen's kappa": MISSING if pd.isna(row["kappa"]) else f"{row['kappa']:.2f}",
                "PIRA among worsenings": percent(row["share_pira"]),
            }
            for row in prevalence.to_dict("records")
        ],
        dtype="str",
    )


def readable_flow(attrition: pd.DataFrame) -> pd.DataFrame:
    """Return the attrition table as text for a page.

    Args:
        attrition: one row per stage: stage, reason, patients, episodes, patients_dropped,
            episodes_dropped.
    """
    words = {
        "stage": "Stage",
        "reason": "Reason",
        "patients": "Patients",
        "episodes": "Episodes",
        "patients_dropped": "Patients dropped",
        "episodes_dropped": "Episodes dropped",
    }
    table = attrition[list(words)].rename(columns=words)
    return table.map(lambda cell: cell if isinstance(cell, str) else _count(cell)).astype("str")


def flow_by_country(by_country: pd.DataFrame) -> pd.DataFrame:
    """Return what each country brought, what remains of it, and what took the most.

    Args:
        by_country: the attrition table with a column ``country``, the stages of a country in
            their order.

    Returns:
        Text cells, the country with the most labelled episodes first: Country, People and Visits
        in the registry, Eligible visits, People with an episode, Labelled episodes, their share
        of the visits in %, and the reason that most visits were left out for.
    """
    rows = []
    flows = list(by_country.groupby("country"))
    for country, flow in sorted(flows, key=lambda own: (-own[1]["episodes"].iloc[-1], own[0])):
        first, last = flow.iloc[0], flow.iloc[-1]
        eligible = flow[~flow["stage"].isin((*OUTCOME_STAGES, _LAST))].iloc[-1]
        worst = flow.iloc[int(flow["episodes_dropped"].to_numpy().argmax())]
        rows.append(
            {
                "Country": str(country),
                "People": _count(first["patients"]),
                "Visits": _count(first["episodes"]),
                "Eligible visits": _count(eligible["episodes"]),
                "People with an episode": _count(last["patients"]),
                "Labelled episodes": _count(last["episodes"]),
                "% of visits": f"{100 * last['episodes'] / max(first['episodes'], 1):.0f}",
                "Most left out for": worst["reason"] if worst["episodes_dropped"] else MISSING,
            }
        )
    return pd.DataFrame(rows, dtype="str")


@styled
def flow_diagram(attrition: pd.DataFrame, n_positive: int) -> Figure:
    """Draw the flow from the registry over eligible visits to labelled episodes.

    Args:
        attrition: as for :func:`readable_flow`; stages that left nothing out are not drawn.
        n_positive: labelled episodes with the outcome.
    """
    outcome = attrition["stage"].isin(OUTCOME_STAGES)
    inner = ~attrition["stage"].isin((_FIRST, _LAST))
    first, last = attrition.iloc[0], attrition.iloc[-1]
    before = attrition[~outcome & (attrition["stage"] != _LAST)].iloc[-1]
    share = 100 * n_positive / max(int(last["episodes"]), 1)
    main = [
        [("In the registry", ""), (_people(first, "visits"), "")],
        [("Eligible visits", ""), (_people(before, "visits"), "")],
        [
            ("Labelled", ""),
            (_people(last, "labelled episodes"), ""),
            (f"{n_positive:,} of them ({share:.1f} %) with the outcome", ""),
        ],
    ]
    side = [
        _left_out("Not eligible", attrition[inner & ~outcome]),
        _left_out("Outcome not known", attrition[inner & outcome]),
    ]
    gap = 1.6
    heights = [len(lines) + 0.8 for lines in main]
    between = [len(lines) + 0.8 + gap for lines in side]
    total = sum(heights) + sum(between)
    figure = Figure(figsize=(8, total * _LINE_INCHES + 0.1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, 100), ylim=(total + 0.3, -0.3))
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    y = 0.0
    for i, lines in enumerate(main):
        _box(axes, 2, y, 40, heights[i], lines)
        y += heights[i]
        if i < len(side):
            middle = y + between[i] / 2
            axes.annotate("", (22, y + between[i]), (22, y), arrowprops=arrow)
            axes.annotate("", (46, middle), (22, middle), arrowprops=arrow)
            _box(axes, 46, y + gap / 2, 52, between[i] - gap, side[i])
            y += between[i]
    return figure


@styled
def losses_by_country(by_country: pd.DataFrame) -> Figure:
    """Draw what became of each country's visits, a bar per country, in % of its visits.

    Args:
        by_country: as for :func:`flow_by_country`; the country with the most labelled episodes
            comes first, its visits stand in parentheses.
    """
    lost = by_country[~by_country["stage"].isin((_FIRST, _LAST))].pivot_table(
        index="country", columns="stage", values="episodes_dropped", aggfunc="sum", sort=False
    )
    lost = lost.loc[:, lost.sum() > 0]
    ends = by_country.groupby("country")["episodes"].agg(["first", "last"])
    ends = ends.sort_values(["last", "first"], ascending=False, kind="stable")
    shares = lost.reindex(ends.index).div(ends["first"].clip(lower=1), axis=0) * 100
    rows = np.arange(len(ends))
    figure = Figure(figsize=(8, 1.4 + 0.2 * len(ends)), layout="constrained")
    axes = figure.subplots()
    left = (100 * ends["last"] / ends["first"].clip(lower=1)).to_numpy()
    axes.barh(rows, left, color=_LABELLED_COLOR, label="Labelled episode")
    # What is asked for last is drawn next to what remains.
    for i, stage in enumerate(reversed(shares.columns)):
        axes.barh(
            rows, shares[stage], left=left, color=_STAGE_COLORS[i % len(_STAGE_COLORS)],
            label=str(stage), edgecolor=INK, linewidth=0.4,
        )  # fmt: skip
        left = left + shares[stage].to_numpy()
    axes.set(
        yticks=rows,
        yticklabels=[f"{short_name(name)} ({n:,})" for name, n in ends["first"].items()],
        ylim=(len(ends) - 0.4, -0.6),
        xlim=(0, 100),
        xlabel="% of the country's visits",
    )
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _count(n: float) -> str:
    return f"{n:,.0f}"


def _people(row: pd.Series, what: str) -> str:
    return f"{_count(row['patients'])} people, {_count(row['episodes'])} {what}"


def _left_out(title: str, stages: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the lines of a box: a title, the sums, then count and reason of each stage."""
    lines = [
        (title, ""),
        (
            f"{_count(stages['episodes_dropped'].sum())} visits; "
            f"no visit is left of {_count(stages['patients_dropped'].sum())} people",
            "",
        ),
    ]
    for row in stages[stages["episodes_dropped"] > 0].to_dict("records"):
        reason = textwrap.wrap(row["reason"], _WRAP)
        counts = [_count(row["episodes_dropped"]), *[""] * (len(reason) - 1)]
        lines += list(zip(reason, counts, strict=True))
    return lines


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, lines: list[tuple[str, str]]
) -> None:
    """Draw a box with lines of text, the first in bold; a line may have a count before it."""
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.3", facecolor="none",
            edgecolor=INK, linewidth=0.9,
        )
    )  # fmt: skip
    indent = 10.0 if any(count for _, count in lines) else 0.0
    for i, (text, count) in enumerate(lines):
        middle = y + 0.4 + i + 0.5
        axes.text(x + indent, middle, count, va="center", ha="right")
        left = x + 1.2 + (indent if i > 1 else 0.0)
        axes.text(left, middle, text, va="center", fontweight="normal" if i else "bold")
