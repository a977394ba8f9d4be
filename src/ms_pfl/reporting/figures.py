"""Figures of the report, drawn on matplotlib's Figure objects without pyplot's global state."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import pandas as pd

from ms_pfl.paradigms import (
    model_key,
    models_in_order,
    paradigm_name,
    strategy_name,
    trains_in_rounds,
)
from ms_pfl.reporting.fonts import use_fitting_fonts, without_glyph_warnings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_P = ParamSpec("_P")
_STRATEGY_COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"]
# A near-black that nothing else uses: the report turns it into the page's text color.
INK = "#010203"
_STYLE: Any = {
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "font.size": 9,
    "text.parse_math": False,  # a country's name may hold a dollar sign
    "svg.fonttype": "none",
}


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw in the style of the report, whatever matplotlib is set to."""

    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            use_fitting_fonts(figure)
            return figure

    return wrapper


def short_name(name: object) -> str:
    """A name that leaves a figure room for what it shows.

    >>> short_name("Kingdom of the United Netherlands and beyond")
    'Kingdom of the United Netherl...'
    """
    text = str(name)
    return text if len(text) <= 32 else f"{text[:29]}..."


@styled
def country_sizes(
    countries: pd.DataFrame, site: tuple[str, str] = ("country", "countries")
) -> Figure:
    """Draw episodes a country (log scale) beside the share of episodes that worsen.

    Args:
        countries: the table of :func:`ms_pfl.reporting.tables.country_table`.
        site: what one of them is called, and several.
    """
    from matplotlib.figure import Figure

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
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    # from 0.8, so that a country with one episode is still to be seen
    axes.set_xlim(0.8, 1.5 * max(largest, 10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


@styled
def learning_curves(curves: pd.DataFrame) -> Figure:
    """Draw validation log-loss and ROC-AUC over rounds: a column a paradigm, a line a seed.

    Args:
        curves: the table of :func:`ms_pfl.evaluation.curves.learning_curves`. A dot marks the
            round whose weights are used, where that is one for all countries.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    models = models_in_order(curves)
    paradigms = sorted({p for p, _ in models}, key=lambda p: model_key(p, ""))
    strategies = [s for s in dict.fromkeys(s for _, s in models) if strategy_name(s)]
    colors = {s: _STRATEGY_COLORS[i % len(_STRATEGY_COLORS)] for i, s in enumerate(strategies)}
    figure = Figure(figsize=(max(4.0, 2.1 * len(paradigms)), 4.4), layout="constrained")
    grid = figure.subplots(2, len(paradigms), sharex="col", sharey="row", squeeze=False)
    measures = ["validation_log_loss", "validation_roc_auc"]
    for column, paradigm in enumerate(paradigms):
        own = curves[curves["paradigm"] == paradigm]
        for (strategy, _), line in own.groupby(["strategy", "seed"], sort=True):
            color = colors.get(str(strategy), "#808080")
            used = line[line["selected"].astype(bool)]
            for axes, measure in zip(grid[:, column], measures, strict=True):
                axes.plot(line["round"], line[measure], color=color, linewidth=1, alpha=0.85)
                axes.plot(used["round"], used[measure], "o", color=color, markersize=4)
        grid[0, column].set_title(paradigm_name(paradigm))
        grid[1, column].set_xlabel("round" if trains_in_rounds(paradigm) else "epoch")
        grid[1, column].xaxis.get_major_locator().set_params(integer=True)
    grid[0, 0].set_ylabel("validation log-loss")
    grid[1, 0].set_ylabel("validation ROC-AUC")
    handles = [Line2D([], [], color=colors[s], label=strategy_name(s)) for s in strategies]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def to_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element for a page that is light or dark.

    Text stays text; ink takes the page's color; the background is the page's own. The same
    figure gives the same characters, and no two figures share an id.

    Args:
        figure: what a function of this module drew.
        name: letters, unique on the page; the prefix of the element's ids.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with rc_context(style), without_glyph_warnings():
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)

    def of_page(tag: re.Match[str]) -> str:
        text = tag[0].replace(INK, "currentColor")
        text = re.sub(r'\bid="', f'id="{name}-', text)
        text = re.sub(r'href="#', f'href="#{name}-', text)
        return re.sub(r"url\(#", f"url(#{name}-", text)

    # tags alone: a country may be called what stands in one
    return re.sub("<[^<>]*>", of_page, svg)
