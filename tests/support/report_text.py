"""What a report says: its sentences and the cells of its tables, in whatever order."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

_CELLS = {"td", "th", "text"}
_SENTENCES = {"title", "h1", "h2", "h3", "p", "li", "summary", "figcaption"}
_DIGEST = re.compile(r"\b[0-9a-f]{32}\b")
_SENTENCE_END = re.compile(r"(?<=[.:!?])\s+(?=[A-Z0-9])")


class _Parts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: set[str] = set()
        self._inside: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("role") == "img":
            self.parts.add(f"{given['aria-label']}")
        if tag == "strong" and self._inside is not None:
            self._text += "**"
        elif tag in _CELLS | _SENTENCES:
            self._inside, self._text = tag, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "strong" and self._inside is not None:
            self._text += "**"
        elif tag == self._inside:
            text = _DIGEST.sub("DIGEST", " ".join(self._text.split()))
            self.parts |= {text} if tag in _CELLS else set(_SENTENCE_END.split(text))
            self._inside = None

    def handle_data(self, data: str) -> None:
        self._text += data


def report_parts(path: Path) -> set[str]:
    """Return the sentences of a report, the cells of its tables and the texts of its figures.

    Digests read ``DIGEST``, and bold text stands between ``**``. The configuration and the
    versions of the packages are left out.

    Args:
        path: of ``report.html``.
    """
    parser = _Parts()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.parts - {""}
