"""Cells of a table as text, whatever their type, and which of them are missing."""

from collections.abc import Callable

import pandas as pd

from ms_pfl.names import normal_cells
from ms_pfl.registry.contract import Column

#: Spellings of "not known" in optional columns. Ids, countries and drug names may be these words.
MISSING = ("", "NA", "NAN", "N/A", "#N/A", "NAT", "NULL", "NONE", "UNKNOWN", ".", "<NA>")
# Beyond it two whole numbers may be one float.
_EXACT_FLOAT = 2.0**53


def as_text(
    raw: pd.Series, missing: tuple[str, ...] = ("",), *, normalized: bool = True
) -> pd.Series:
    """Return cells as text (dtype str), missing where empty or spelled so.

    Args:
        raw: cells as text or typed.
        missing: spellings of a missing value, in upper case.
        normalized: bring the text to its normal form; False: only strip it.
    """
    if pd.api.types.is_float_dtype(raw):
        known = raw.dropna()
        if ((known % 1 == 0) & (known.abs() < _EXACT_FLOAT)).all():
            # An integer id with missing values beside it arrives as 12.0.
            raw = raw.astype("Int64")
    text = raw.astype("str")
    text = normal_cells(text) if normalized else text.str.strip()
    return text.mask(text.isna() | text.str.upper().isin(missing))


def matching(text: pd.Series, among: pd.Series, pattern: str) -> pd.Series:
    """Return which cells match a pattern (bool), of those among which they may be: few."""
    found = among.copy()
    if among.any():
        found[among] = text[among].str.fullmatch(pattern)
    return found


def by_distinct(text: pd.Series, read: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """Read each distinct text once: hundreds of thousands of cells hold few."""
    codes, distinct = pd.factorize(text)
    values = read(normal_cells(pd.Series(distinct, dtype="str")))
    return pd.Series(values.reindex(codes).array, index=text.index, name=text.name)


def correct(column: Column) -> str:
    """Return the remedy for a value that is wrong in itself."""
    return "correct it" + ("" if column.required else " or leave it empty")
