"""Write a page as the site generator reads it.

The pages are written as code hosts render them: a list or table may follow a paragraph without a
blank line, and what belongs to an item is indented as its text. Python-Markdown, which the site is
made with, wants a blank line and four columns.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r" *```")
_ITEM = re.compile(r"(?:[*+-]|\d+\.) +")
_COLUMNS = 4


def for_the_site(text: str) -> str:
    """Return a page with blank lines before lists and tables, and items indented by four columns.

    >>> print(for_the_site("Two:\\n1. a\\n   b\\n2. c"))
    Two:
    <BLANKLINE>
    1. a
        b
    2. c
    """
    found: list[str] = []
    indent = 0  # columns of the text of the present item; 0: no list
    in_fence = False
    for line in text.splitlines():
        before = found[-1] if found else ""
        if not in_fence:
            item = _ITEM.match(line)
            if item:
                if before and not indent and not before.startswith("#"):
                    found.append("")
                indent = item.end()
            elif line and not line.startswith(" ") and not before:
                indent = 0
            if line.startswith("|") and before and not before.startswith(("|", "#")):
                found.append("")
        if _FENCE.match(line):
            in_fence = not in_fence
        if indent and line[:indent].isspace() and line.strip():
            line = " " * _COLUMNS + line[indent:]
        found.append(line)
    return "\n".join(found) + "\n"
