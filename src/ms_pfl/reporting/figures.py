"""The style of the report's figures, which are drawn without pyplot's global state."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ms_pfl.reporting.fonts import use_fitting_fonts, without_glyph_warnings

_P = ParamSpec("_P")
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
        with rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            use_fitting_fonts(figure)
            return figure

    return wrapper


def short_name(name: object) -> str:
    """Return a name that leaves a figure room for what it shows.

    >>> short_name("Kingdom of the United Netherlands and beyond")
    'Kingdom of the United Netherl...'
    """
    text = str(name)
    return text if len(text) <= 32 else f"{text[:29]}..."


def of_strategy(table: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Return the rows of a strategy, and of the paradigms that have none to choose."""
    return table[table["strategy"].isin([strategy, "pooled", "none", ""])]


def legend_below(figure: Figure, axes: Axes, columns: int | None = None) -> None:
    """Name below a figure what is drawn in one of its panels, if anything is."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=columns or len(handles))


def to_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element for a page that is light or dark.

    Text stays text; ink takes the page's color; the background is the page's own. The same
    figure gives the same characters, and no two figures share an id.

    Args:
        figure: what a :func:`styled` function drew; it stays as it is.
        name: letters, unique on the page; the prefix of the element's ids.
    """
    buffer = io.StringIO()
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with rc_context(style), without_glyph_warnings():
        # saving moves the parts of a figure, from which another saving would begin: save a copy
        copy.deepcopy(figure).savefig(
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
