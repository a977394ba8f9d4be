"""The HTML report: one file that opens anywhere and loads nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from ms_pfl.paradigms import STRATEGIES, model_name, models_in_order, strategy_name
from ms_pfl.reporting.answer import data_strip
from ms_pfl.reporting.content import About, pictures_in
from ms_pfl.reporting.figures import to_svg
from ms_pfl.reporting.headline import FIRST_LINES
from ms_pfl.reporting.sections import made_from
from ms_pfl.reporting.words import capitalized, site_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def build_report(
    given: dict[str, Any], provenance: Mapping[str, str]
) -> tuple[str, dict[str, Figure | str]]:
    """Write the report of a run as one self-contained HTML page, and draw its figures.

    The same input gives the same characters: no time, no path, no random id is in it.

    Args:
        given: datasets by name: those that :data:`ms_pfl.reporting.sections.ALWAYS` names, and
            those of the sections that are to be shown. ``cohort_description`` holds ``source``
            (``kind``, ``description`` and, where it is no country, ``site`` of the data),
            ``countries`` (rows of :func:`ms_pfl.reporting.sites.country_table`) and
            ``attrition``, ``attrition_by_country`` and ``prevalence`` (rows, or None).
        provenance: ``data`` and ``code``, digests of the episodes and of the source.

    Returns:
        The HTML text, and the figures on the page in its order, by name: as they were drawn, or as
        SVG where another step has drawn them.
    """
    cohort = given["cohort_description"]
    about = About(
        cohort["source"],
        *site_words(cohort["source"]),
        pd.DataFrame(cohort["countries"]),
        shown_strategy(given["summary"]),
        given["parameters"],
        provenance,
    )
    sections = [
        (row, content)
        for row in made_from(given)
        if (content := row.content(about, given)) is not None
    ]
    drawn = {
        picture.name: picture.figure for _, content in sections for picture in pictures_in(content)
    }
    page = _template().render(
        about=about,
        title=about.fill("Which learning paradigm serves which {site}"),
        data=capitalized(about.source["description"]),
        headline=given["headline"],
        first_lines=FIRST_LINES,
        strip=data_strip(about, given["parameters"]),
        sections=sections,
        strategies=_strategies(given["summary"]),
    )
    return page, drawn


def _strategies(summary: pd.DataFrame) -> dict[str, str]:
    """Return the strategy of each model, as its tables call both; empty where there is one only."""
    return {model_name(*model): strategy_name(model[1]) for model in models_in_order(summary)}


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("ms_pfl.reporting", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # matplotlib has escaped the names in a figure
    environment.filters["svg"] = lambda picture: Markup(
        picture.figure if isinstance(picture.figure, str) else to_svg(picture.figure, picture.name)
    )
    environment.filters["unbroken"] = unbroken
    return environment.get_template("report.html.j2")


def unbroken(cell: str) -> str:
    r"""Keep an interval in brackets, and p with its value, on one line.

    >>> unbroken("+0.012 [+0.003, +0.021]"), unbroken("better (p 0.031; primary)")
    ('+0.012 [+0.003,\xa0+0.021]', 'better (p\xa00.031; primary)')
    """
    return re.sub(
        r"\[[^\[\]]*\]|\(p ", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell
    )


def shown_strategy(table: pd.DataFrame) -> str:
    """Return the federated strategy that single figures show: the first in Table 1's order."""
    known = set(table.loc[table["paradigm"] == "federated", "strategy"]) or set(table["strategy"])
    return next((name for name in STRATEGIES if name in known), min(known))
