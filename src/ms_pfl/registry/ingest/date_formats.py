"""Formats of dates written as text: which are accepted, and what texts of one look like."""

import re

#: What a date format may hold: each of these at most once. Two-digit years (%y) name no century.
DIRECTIVES = {
    "%d": r"\d{1,2}",
    "%m": r"\d{1,2}",
    "%b": r"[^\W\d_]+\.?",
    "%B": r"[^\W\d_]+",
    "%Y": r"\d{4}",
    "%H": r"\d{1,2}",
    "%M": r"\d{1,2}",
    "%S": r"\d{1,2}",
}


def date_pattern(date_format: str) -> str:
    """Return a regular expression for texts of a strptime format.

    Where two numbers follow each other without a mark, both have their full width, so that
    2001111 is refused rather than read as one of two days.

    >>> date_pattern("%d.%m.%Y")
    '\\\\d{1,2}\\\\.\\\\d{1,2}\\\\.\\\\d{4}'
    """
    pieces = re.findall(r"%.|[^%]+", date_format)
    adjacent = re.search(r"%[dmYHMS]%[dmYHMS]", date_format) is not None
    pattern = "".join(DIRECTIVES.get(piece, re.escape(piece)) for piece in pieces)
    return pattern.replace("{1,2}", "{2}") if adjacent else pattern


def names_a_day(date_format: str) -> str:
    """Return a format that names day, month and year once each.

    Raises:
        ValueError: it does not.
    """
    found = re.findall(r"%.?", date_format)
    wrong = [part for part in found if part not in DIRECTIVES]
    if wrong:
        raise ValueError(f"{wrong[0]} is none of {', '.join(DIRECTIVES)}")
    months = [part for part in found if part in ("%m", "%b", "%B")]
    if len(set(found)) < len(found) or len(months) != 1 or not {"%d", "%Y"} <= set(found):
        raise ValueError("a date format names day, month and year once each, e.g. %d/%m/%Y")
    return date_format


def order_of(date_format: str | None) -> str:
    """Return in which order a format has day, month and year; None: YYYY-MM-DD.

    >>> order_of("%d-%b-%Y"), order_of(None)
    ('dmY', 'Ymd')
    """
    found = re.findall(r"%([dmbBY])", date_format or "%Y-%m-%d")
    return "".join("m" if part in "bB" else part for part in found)
