r"""Cells of CSV files for people: text that a spreadsheet program would take for a formula.

Excel and LibreOffice evaluate a cell that begins with =, +, -, @ or a tab, also behind blanks and
quotation marks, and where a text holds their separator, behind that. An apostrophe in front makes
it text. Numbers stay as they are, and :func:`restored` gives back every text as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_MARK = "'"
#: What programs pass over in front of a formula: blanks, quotation marks, what does not print.
_AHEAD = (
    r"[ '\"\u2018\u2019\u201c\u201d\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00a0\u2000-\u200f\u202f\u205f"
    r"\u3000\ufeff]*"
)
#: Also the wide forms, which Excel takes for the others in some languages.
_FORMULA = r"[-=+@\t\r\n\uff0d\uff1d\uff0b\uff20]"
#: A cell begins at the start of a text, and behind what another program takes for a separator.
_START = r"(?:\A|(?<=[;\t\r\n]))"
_NUMBER = r"[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)? ?%?"
#: A number, alone or with its interval, up to the end of the cell.
_PLAIN = rf"{_NUMBER}(?: [\[(]{_NUMBER}(?:, | to ){_NUMBER}[\])])?(?:\Z|(?=[;\t\r\n]))"
_LOOKS_LIKE_ONE = rf"(?!{_PLAIN})(?={_AHEAD}{_FORMULA})"
_EVALUATED = re.compile(_START + _LOOKS_LIKE_ONE)
_MARKED = re.compile(_START + _MARK + _LOOKS_LIKE_ONE)


def as_text(cell: str) -> str:
    """Return a text as a spreadsheet program shows it and evaluates nothing.

    >>> as_text("=1+1"), as_text(" @SUM(A1)"), as_text("Peru;=1+1"), as_text("-0.5"), as_text("a=b")
    ("'=1+1", "' @SUM(A1)", "Peru;'=1+1", '-0.5', 'a=b')
    """
    return _EVALUATED.sub(_MARK, cell)


def from_text(cell: str) -> str:
    """Return the text that :func:`as_text` was given.

    >>> from_text("'=1+1"), from_text("'tis")
    ('=1+1', "'tis")
    """
    return _MARKED.sub("", cell)


def neutralized(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, names of columns too, are as :func:`as_text` gives them."""
    return _rewritten(table, as_text)


def restored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table that :func:`neutralized` was given."""
    return _rewritten(table, from_text)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table for people as a CSV file, without its index."""
    neutralized(table).to_csv(path, index=False)


def _rewritten(table: pd.DataFrame, rewrite: Callable[[str], str]) -> pd.DataFrame:
    import pandas as pd

    whole = table.rename(columns=lambda name: rewrite(name) if isinstance(name, str) else name)
    for position in range(whole.shape[1]):
        cells = whole.iloc[:, position]
        if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
            continue
        texts = [cell for cell in cells.dropna().unique() if isinstance(cell, str)]
        other = {text: new for text in texts if (new := rewrite(text)) != text}
        if other:
            kind = "object" if isinstance(cells.dtype, pd.CategoricalDtype) else cells.dtype
            written = pd.Series([other.get(c, c) for c in cells], whole.index, dtype=kind)
            whole.isetitem(position, written)  # type: ignore[arg-type]
    return whole
