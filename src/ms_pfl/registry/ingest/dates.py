"""Read dates: days that are written, times in a time zone, and dates of which a part is known."""

import datetime
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ms_pfl.names import normal_cells
from ms_pfl.registry.contract import Column
from ms_pfl.registry.ingest.cells import MISSING, as_text, correct, matching
from ms_pfl.registry.ingest.date_formats import date_pattern, order_of
from ms_pfl.registry.ingest.refusals import Note, Origin, Refuse

_DAY = r"\d{4}-\d{2}-\d{2}"
_TIME = r"[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
_ZONE = r"(?:Z|[+-]\d{2}(?::?\d{2})?)"
_UTC = r"(?:Z|[+-]00(?::?00)?)"
_ISO = rf"{_DAY}(?:{_TIME}{_ZONE}?)?"
_ZONED = rf"{_DAY}{_TIME}{_ZONE}"
# A midnight of Brussels is 22:00 or 23:00 of the day before in UTC: such a time names no day.
_UTC_OFF_MIDNIGHT = rf"{_DAY}[T ](?!00:00(?::00(?:\.0+)?)?{_UTC}$).*{_UTC}"
_NO_DAY = "is a time in a time zone and leaves the day in doubt"
#: In place of a day or month that is not known.
_UNKNOWN_PART = re.compile(r"0{1,2}|[?xX*_]{1,2}|[uU][nN][kK]?|[nN][kK]|99")
_YEAR = re.compile(r"(?:18|19|20)\d{2}(?:\.0)?")


@dataclass(frozen=True)
class DateRules:
    """How the dates of a column are written.

    Attributes:
        date_format: strptime format of those written as text; None: YYYY-MM-DD.
        partial: a year, or a year and a month, is read as its middle.
        time_zone: in which the day of a time with a zone is taken; None: that which is written.
    """

    date_format: str | None = None
    partial: bool = False
    time_zone: str | None = None


#: Days as YYYY-MM-DD.
AS_WRITTEN = DateRules()


def read_date(
    raw: pd.Series, column: Column, origin: Origin, refuse: Refuse, note: Note, rules: DateRules
) -> tuple[pd.Series, pd.Series]:
    """Read a column of dates.

    Args:
        raw: cells as text, typed, or some of each.
        column: what it must hold.
        origin: for messages.
        refuse: as of :func:`.columns.read_column`.
        note: takes note of days that are not written as such.
        rules: how the dates are written.

    Returns:
        Days (datetime64[us]), and the cells as far as they are not missing.
    """
    if pd.api.types.is_datetime64_any_dtype(raw):
        read = given = raw
        if getattr(raw.dtype, "tz", None) is not None:
            if rules.time_zone is not None:
                note("time_zone", raw.notna(), raw.astype("str"), origin,
                     f"read as the day in {rules.time_zone}")  # fmt: skip
                read = raw.dt.tz_convert(rules.time_zone).dt.tz_localize(None)
            else:
                off = raw.notna() & (raw != raw.dt.normalize())
                refuse(
                    off, raw.astype("str"), origin, _NO_DAY, _zone_remedy(origin), "day_in_doubt"
                )
                read = raw.dt.tz_localize(None).mask(off)
    else:
        typed = _typed_days(raw)
        # The format is that of dates written as text; typed ones need none.
        text = raw if typed is None else raw.mask(typed.notna())
        given = as_text(text, MISSING, normalized=False)
        read = _read_texts(given, raw, column, origin, refuse, note, rules)
        if typed is not None:
            read = read.astype("datetime64[us]").fillna(typed)
            given = given.astype(object).where(typed.isna(), typed)
    read = read.astype("datetime64[us]").dt.normalize()
    early = read < pd.Timestamp(column.earliest_year, 1, 1)
    refuse(early, read, origin, f"lies before {column.earliest_year}", correct(column),
           "date_too_early")  # fmt: skip
    return read.mask(early), given


def _typed_days(raw: pd.Series) -> pd.Series | None:
    """Days of the cells that are dates already; None where none is."""
    if raw.dtype != object:
        return None
    dated = [
        isinstance(cell, datetime.date) and getattr(cell, "tzinfo", None) is None and cell == cell
        for cell in raw
    ]
    if not any(dated):
        return None
    days = [
        (cell.date() if isinstance(cell, datetime.datetime) else cell) if is_date else None
        for cell, is_date in zip(raw, dated, strict=True)
    ]
    return pd.Series(np.array(days, dtype="datetime64[D]"), index=raw.index).astype(
        "datetime64[us]"
    )


def _read_texts(
    given: pd.Series, raw: pd.Series, column: Column, origin: Origin, refuse: Refuse, note: Note,
    rules: DateRules,
) -> pd.Series:  # fmt: skip
    codes, distinct = pd.factorize(given)
    texts = normal_cells(pd.Series(distinct, dtype="str"))
    days, how = _days_of(texts, rules, partial=rules.partial and column.may_be_partial)
    days = pd.Series(days.reindex(codes).array, index=given.index, name=given.name)
    if (how == "").all():
        return days
    ways = pd.Series(how.reindex(codes).array, index=given.index).fillna("")
    note("partial_date", ways == "partial", raw, origin, "read as the middle of the year or month")
    note("time_zone", ways == "zone", raw, origin, f"read as the day in {rules.time_zone}")
    note("time_zone", ways == "offset", raw, origin, "read as the local day that is written")
    refuse(ways == "doubt", raw, origin, _NO_DAY, _zone_remedy(origin), "day_in_doubt")
    if rules.date_format is not None:
        refuse(
            ways.isin(["no_day", "wrong", "part"]), raw, origin, "is no date",
            f"write all dates as {rules.date_format} (ingest.date_format)"
            + _PARTIAL * bool((ways == "part").any() and column.may_be_partial),
            "not_a_date",
        )  # fmt: skip
        return days
    setting = ", or name the format of all dates in ingest.date_format" if origin.table else ""
    refuse(
        ways == "no_day", raw, origin, "is no day of the calendar",
        "correct it" + setting + " where the day stands before the month" * bool(setting),
        "not_a_date",
    )  # fmt: skip
    for way, more in (("wrong", ""), ("part", _PARTIAL if column.may_be_partial else "")):
        refuse(
            ways == way, raw, origin, "is no date",
            "write dates as YYYY-MM-DD" + setting + more * bool(origin.table), "not_a_date",
        )  # fmt: skip
    return days


_PARTIAL = ", or, where only the year or month is known, set ingest.partial_dates: middle"


def _zone_remedy(origin: Origin) -> str:
    setting = ", or name the time zone of the days in ingest.time_zone" if origin.table else ""
    return f"write local days as YYYY-MM-DD{setting}"


def _days_of(texts: pd.Series, rules: DateRules, *, partial: bool) -> tuple[pd.Series, pd.Series]:
    """Days of distinct texts, and how each was read: "" as it is written."""
    date_format = rules.date_format
    how = pd.Series("", index=texts.index, dtype=object)
    plain = texts.str.fullmatch(date_pattern(date_format) if date_format else _DAY)
    days = pd.to_datetime(
        texts.where(plain), format=date_format or "%Y-%m-%d", errors="coerce"
    ).astype("datetime64[us]")
    rest = days.isna()
    if not rest.any():
        return days, how
    how[rest] = "wrong"
    if date_format is None:
        how[matching(texts, rest, _ISO)] = "no_day"
        timed = matching(texts, rest & ~plain, _ISO)
        zoned = matching(texts, timed, _ZONED)
        doubt = matching(texts, zoned, _UTC_OFF_MIDNIGHT)
        if rules.time_zone is not None and zoned.any():
            moments = pd.to_datetime(texts[zoned], utc=True, format="ISO8601", errors="coerce")
            days[zoned] = moments.dt.tz_convert(rules.time_zone).dt.tz_localize(None).dt.normalize()
            how[zoned & days.notna()] = "zone"
        written = timed & ~zoned if rules.time_zone is not None else timed & ~doubt
        days[written] = pd.to_datetime(
            texts[written].str[:10], format="%Y-%m-%d", errors="coerce"
        ).astype("datetime64[us]")
        how[written & days.notna()] = ""
        if rules.time_zone is None:
            how[doubt] = "doubt"
            local = zoned & days.notna() & ~matching(texts, zoned, rf".*{_UTC}")
            how[local] = "offset"
    order = order_of(date_format)
    for row in texts.index[(how == "wrong") | (how == "no_day")]:
        middle = middle_of(str(texts[row]), order)
        if middle is None:
            continue
        how[row] = "partial" if partial else "part"
        if partial:
            days[row] = pd.Timestamp(middle)
    return days, how


def middle_of(text: str, order: str = "Ymd") -> datetime.date | None:
    """Return the middle of a year or month, where a text names no day; None where it is neither.

    A day or month that is not known may be absent, zero, or a sign such as ``?``, ``XX``, ``UNK``.

    Args:
        text: as it is written.
        order: of day, month and year in dates of the column.

    >>> middle_of("1982"), middle_of("1982-05"), middle_of("??/05/1982", "dmY")
    (datetime.date(1982, 7, 1), datetime.date(1982, 5, 15), datetime.date(1982, 5, 15))
    """
    parts = [text] if _YEAR.fullmatch(text) else re.split(r"[-/. ]", text)
    fields = {1: "Y", 2: order.replace("d", ""), 3: order}.get(len(parts), "")
    if not fields:
        return None
    found = dict(zip(fields, parts, strict=True))
    if not _YEAR.fullmatch(found["Y"]):
        return None
    year, month, day = int(float(found["Y"])), found.get("m", "0"), found.get("d", "0")
    if not _UNKNOWN_PART.fullmatch(day) and not (day.isdigit() and 1 <= int(day) <= 31):
        return None
    if _UNKNOWN_PART.fullmatch(month):
        return datetime.date(year, 7, 1)
    if not _UNKNOWN_PART.fullmatch(day) or not month.isdigit() or not 1 <= int(month) <= 12:
        return None
    return datetime.date(year, int(month), 15)
