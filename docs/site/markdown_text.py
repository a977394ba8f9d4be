"""Write tables and code of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PAGE = re.compile(r"`?`?docs/([\w-]+)\.md`?`?")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; cells are Markdown, whose bars and line breaks are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Return a text as inline code; the empty text stays empty."""
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Return a text of the code as Markdown: no HTML, no emphasis, ``code`` as `code`."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("*", r"\*")
    return text.replace("``", "`")


def linked(text: str) -> str:
    """Return Markdown in which the pages that it names, such as docs/labels.md, are links."""
    return _PAGE.sub(r"[\1](\1.md)", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
