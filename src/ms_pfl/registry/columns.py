"""One column of a table into its canonical dtype, or a refusal that a person can act on.

Every refusal is one line: file or table, line or row, column, value, what is wrong, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import EDSS_SCALE, Column

#: Spellings of "not known" in optional columns. Ids, countries and drug names may be these words.
_MISSING = ("", "NA", "NAN", "N/A", "NAT", "NULL", "NONE", "UNKNOWN", ".", "<NA>")
_FLAGS = {"0": 0.0, "1": 1.0, "FALSE": 0.0, "TRUE": 1.0, "NO": 0.0, "YES": 1.0}
_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?"
# A midnight of Brussels is 22:00 or 23:00 of the day before in UTC: such a time names no day.
_UTC_OFF_MIDNIGHT = r".*[T ](?!00:00(?::00(?:\.0+)?)?Z$).*Z"
_NO_DAY = ("is a time in a time zone and leaves the day in doubt", "write local days as YYYY-MM-DD")


@dataclass(frozen=True)
class Origin:
    """Where a table came from, and how its rows are counted in messages.

    Attributes:
        label: file or description of the table.
        unit: "line" of a text file or "row" of a table.
        first: number of the first row in that count.
        names: what the source calls a column, where that is not the contract's name.
    """

    label: str
    unit: str
    first: int
    names: dict[str, str] = field(default_factory=dict)

    def place(self, position: int) -> str:
        """Name the row at a position (0-based)."""
        return f"{self.label}, {self.unit} {position + self.first}"


def read_column(
    raw: pd.Series | None, column: Column, index: pd.Index, origin: Origin
) -> pd.Series:
    """Read one column into its canonical dtype.

    Args:
        raw: cells as text or typed, indexed by row position; None: the column is absent.
        column: what it must hold.
        index: row positions.
        origin: for messages.

    Raises:
        InputError: a value breaks the contract.
    """
    if raw is None:
        dtype = {"text": "str", "code": "str", "date": "datetime64[us]"}.get(column.kind, "float64")
        return pd.Series(np.nan if dtype == "float64" else None, index=index, dtype=dtype)
    if column.kind == "text":
        read = _as_text(raw, ("",) if column.required else _MISSING)
    elif column.kind == "code":
        text = _as_text(raw, _MISSING)
        read = text.str.upper().map(column.codes).astype("str")
        options = ", ".join(dict.fromkeys(column.codes.values()))
        refuse(
            read.isna() & text.notna(),
            raw,
            origin,
            f"is none of {options}",
            "use one of these or leave it empty",
        )
    elif column.kind == "date":
        read = _read_date(raw, column, origin)
    else:
        read = _read_number(raw, column, origin)
    if column.required:
        refuse(read.isna(), raw, origin, "is empty", "fill it in or remove the row")
    return read


def refuse(wrong: pd.Series, values: pd.Series, origin: Origin, problem: str, remedy: str) -> None:
    """Refuse a column where a row is wrong.

    Args:
        wrong: bool, indexed by row position.
        values: what stands there, to be shown; its name is the column's.
        origin: where the table came from.
        problem: what is wrong with the value, as the rest of a sentence that begins with it.
        remedy: what to do about it.

    Raises:
        InputError: for the first wrong row, with a count of the others.
    """
    count = int(wrong.sum())
    if count == 0:
        return
    position = first_row(wrong)
    value = values.loc[position]
    if isinstance(value, pd.Timestamp):
        shown = f"{value:%Y-%m-%d}"
    else:
        shown = "" if pd.isna(value) or value == "" else repr(str(value))
    if len(shown) > 60:
        shown = shown[:57] + "..."
    more = f" (and {count - 1} more like it)" if count > 1 else ""
    raise InputError(
        f"{origin.place(position)}, column {origin.names.get(str(values.name), values.name)}: "
        f"{shown + ' ' if shown else 'the value '}{problem}; {remedy}{more}"
    )


def first_row(wrong: pd.Series) -> int:
    """Row position (0-based, in the source) of the first true entry."""
    return int(wrong.index.to_numpy()[wrong.to_numpy().argmax()])


def _as_text(raw: pd.Series, missing: tuple[str, ...]) -> pd.Series:
    """Cells as stripped text (dtype str), missing where empty or spelled so."""
    if pd.api.types.is_float_dtype(raw) and (raw.dropna() % 1 == 0).all():
        # An integer id with missing values beside it arrives as 12.0.
        raw = raw.astype("Int64")
    text = raw.astype("str").str.strip()
    return text.mask(text.isna() | text.str.upper().isin(missing))


def _read_date(raw: pd.Series, column: Column, origin: Origin) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(raw):
        read = raw
        if getattr(raw.dtype, "tz", None) is not None:
            off = raw.notna() & (raw != raw.dt.normalize())
            refuse(off, raw.astype("str"), origin, *_NO_DAY)
            read = raw.dt.tz_localize(None)
    else:
        text = _as_text(raw, _MISSING)
        refuse(
            text.str.fullmatch(_UTC_OFF_MIDNIGHT).fillna(False).astype(bool), raw, origin, *_NO_DAY
        )
        read = pd.to_datetime(
            text.where(text.str.fullmatch(_ISO).fillna(False).astype(bool)).str[:10],
            format="%Y-%m-%d",
            errors="coerce",
        )
        refuse(read.isna() & text.notna(), raw, origin, "is no date", "write dates as YYYY-MM-DD")
    read = read.astype("datetime64[us]").dt.normalize()
    remedy = "correct it" + ("" if column.required else " or leave it empty")
    refuse(
        read < pd.Timestamp(column.earliest_year, 1, 1),
        read,
        origin,
        f"lies before {column.earliest_year}",
        remedy,
    )
    return read


def _read_number(raw: pd.Series, column: Column, origin: Origin) -> pd.Series:
    remedy = "correct it" + ("" if column.required else " or leave it empty")
    if pd.api.types.is_numeric_dtype(raw):
        read = raw.astype("float64")
    else:
        text = _as_text(raw, _MISSING)
        if column.kind == "flag":
            text = text.str.upper().map(lambda word: str(_FLAGS.get(word, word)), "ignore")
        read = pd.to_numeric(text, errors="coerce").astype("float64")
        refuse(
            read.isna() & text.notna(),
            raw,
            origin,
            "is neither 0 nor 1" if column.kind == "flag" else "is no number",
            remedy
            if column.kind == "flag"
            else "write numbers with a decimal point, or leave it empty",
        )
    if column.kind == "edss":
        refuse(
            read.notna() & ~read.isin(EDSS_SCALE),
            raw,
            origin,
            "is not on the EDSS scale (0, 1, 1.5, 2, ... 10)",
            "correct the score or leave it empty",
        )
    elif column.kind == "flag":
        refuse(read.notna() & ~read.isin((0.0, 1.0)), raw, origin, "is neither 0 nor 1", remedy)
    else:
        wrong = read.notna() & ~read.between(column.low, column.high)
        refuse(wrong, raw, origin, f"lies outside {column.low:g} to {column.high:g}", remedy)
    return read
