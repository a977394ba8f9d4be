"""What a section of the report shows: paragraphs, tables and figures, one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from ms_pfl.paradigms import strategy_name
from ms_pfl.reporting.words import capitalized

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph, or what else an element of HTML (``h3``, ``pre``) holds.

    HTML in the words is shown as it is written unless they are ``Markup``.
    """

    words: str
    style: str = ""
    tag: str = "p"


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        cells: column names need not be unique.
        style: ``words``: the second column holds text; ``last-words``: the last one does.
        bold: (row, column) of the cells in bold.
        marks: (row, column) -> a class of the cell, such as a verdict.
    """

    cells: pd.DataFrame
    style: str = ""
    bold: Sequence[tuple[int, int]] = ()
    marks: Mapping[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows.

    Attributes:
        name: of its file in ``data/08_reporting``, without the ending.
        figure: as it was drawn, or as SVG where another step has drawn it.
        label: what it shows, for readers who do not see it.
        caption: the text below it.
    """

    name: str
    figure: Figure | str
    label: str
    caption: str


@dataclass(frozen=True)
class Details:
    """Content that is shown on demand.

    Attributes:
        summary: the line that is always shown.
        content: what it opens.
        label: under which the contents lead to it, such as the name of a country; empty: nowhere.
    """

    summary: str
    content: Sequence[Block]
    label: str = ""


Block = Text | Table | Picture | Details
Content = Sequence[Block]


def heading(words: str) -> Text:
    """Return the title of a part of a section."""
    return Text(words, tag="h3")


def note(words: str) -> Text:
    """Return a paragraph in small print."""
    return Text(words, "note")


def sentences(lines: Sequence[str]) -> list[Text]:
    """Return a paragraph per line; the last one, which says how to read them, in small print."""
    return [*(Text(line, "p") for line in lines[:-1]), Text(lines[-1], "p note")]


def pictures_in(content: Iterable[Block]) -> list[Picture]:
    """Return the figures of some content, in the order of the page."""
    return [
        picture
        for block in content
        for picture in (pictures_in(block.content) if isinstance(block, Details) else [block])
        if isinstance(picture, Picture)
    ]


@dataclass(frozen=True)
class About:
    """What all sections of a report are about.

    Attributes:
        source: ``kind``, ``description`` and, where known, ``outcome`` and ``site`` of the data.
        site: what the data call a site, such as "country".
        sites: what they call several.
        countries: the table of :func:`ms_pfl.reporting.sites.country_table`.
        strategy: the federated strategy that single figures show.
        configuration: the parameters of the run.
        provenance: ``data`` and ``code``, digests of the episodes and of the source.
    """

    source: Mapping[str, str]
    site: str
    sites: str
    countries: pd.DataFrame
    strategy: str
    configuration: Mapping[str, Any]
    provenance: Mapping[str, str]

    def fill(self, words: str) -> str:
        """Put names into a text: ``{site}``, ``{sites}``, ``{Sites}`` and ``{strategy}``."""
        return words.format(
            site=self.site,
            sites=self.sites,
            Sites=capitalized(self.sites),
            strategy=strategy_name(self.strategy),
        )
