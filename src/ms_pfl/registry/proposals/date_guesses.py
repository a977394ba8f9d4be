"""In which format texts are dates."""

from __future__ import annotations

import re
from collections.abc import Collection

import pandas as pd

from ms_pfl.registry.ingest.date_formats import date_pattern, order_of
from ms_pfl.registry.ingest.dates import middle_of

_FORMATS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%d%m%Y", "%d-%b-%Y", "%d %b %Y", "%d%b%Y", "%d/%b/%Y", "%d %B %Y", "%B %d %Y", "%b %d %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S")


def formats_of(texts: Collection[str]) -> list[str]:
    """Return the formats by which every text is a day of the calendar; the likeliest first.

    >>> formats_of(["03/04/2001", "29/07/2014"]), formats_of(["03/04/2001"])
    (['%d/%m/%Y'], ['%d/%m/%Y', '%m/%d/%Y'])
    """
    cells = pd.Series(sorted(texts), dtype="str")
    if cells.empty:
        return []
    found = []
    for one in _FORMATS:
        for time in _TIMES:
            written = cells.str.fullmatch(date_pattern(one + time))
            if not written.all():
                continue
            days = pd.to_datetime(cells, format=one + time, errors="coerce")
            if days.notna().all() and days.dt.year.between(1850, 2100).all():
                found.append(one + time)
    return found


def is_partial(text: str, formats: Collection[str]) -> bool:
    """Whether a text is a year, or a year and a month, in one of some formats or YYYY-MM-DD."""
    return any(middle_of(text, order_of(one)) is not None for one in (None, *formats))


def looks_like_a_date(text: str) -> bool:
    """Whether a text may be a date in some format.

    >>> looks_like_a_date("29/07/2014"), looks_like_a_date("ND"), looks_like_a_date("3-Apr-2001")
    (True, False, True)
    """
    return bool(re.search(r"\d{4}", text)) and bool(re.fullmatch(r"[\w./: -]{6,}", text))
