"""Cells of a table of one's own as text: the one way in which categories are told apart."""

from __future__ import annotations

import pandas as pd

from ms_pfl.names import normal_cells

#: Longer names of columns, sites and levels fit in no message, table or figure.
MAX_NAME = 100
#: Spellings of "not known" in a feature, beside empty cells. Words such as "none" are levels.
MISSING = ("", "NA", "NAN", "N/A", "#N/A", "NAT", "NULL", "<NA>", ".", "?")


def text_cells(raw: pd.Series) -> pd.Series:
    """Cells as text in its normal form (dtype str), missing where empty or spelled so; 2.0 is "2".

    >>> text_cells(pd.Series([1.0, 2.5, None])).tolist()
    ['1', '2.5', nan]
    """
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype("object")
    text = normal_cells(raw.astype("str")).str.replace(r"^([+-]?\d+)\.0+$", r"\1", regex=True)
    return text.mask(text.isna() | text.str.upper().isin(MISSING))
