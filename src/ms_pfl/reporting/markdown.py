"""Tables and sentences as Markdown."""

from __future__ import annotations

import re

import pandas as pd


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of text cells in GitHub's Markdown, the first column flush left.

    >>> print(to_markdown(pd.DataFrame({"Model": ["Local"], "ROC-AUC": ["0.7"]})))
    | Model | ROC-AUC |
    |:------|--------:|
    | Local |     0.7 |
    """
    texts = [[str(name).replace("|", "\\|") for name in table.columns]]
    texts += [[str(cell).replace("|", "\\|") for cell in row] for row in table.to_numpy()]
    widths = [max(3, *(len(row[i]) for row in texts)) for i in range(len(table.columns))]

    def line(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return f"| {' | '.join(cells)} |"

    rule = "|".join([":" + "-" * (widths[0] + 1), *("-" * (w + 1) + ":" for w in widths[1:])])
    return "\n".join([line(texts[0]), f"|{rule}|", *(line(row) for row in texts[1:])])


def markdown_text(line: str) -> str:
    r"""Return a sentence for a Markdown page, which shows its names as they are.

    >>> print(markdown_text("Site <b> of A_B_C"))
    Site \<b\> of A\_B\_C
    """
    return re.sub(r"([\\`*_\[\]<>~&|#])", r"\\\1", line)
