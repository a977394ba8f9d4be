"""Checks of the ingest contract, with messages that a person can act on.

Every refusal is one line: file or table, line or row, column, value, what is wrong, what to do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT, EDSS_SCALE, REQUIRED_COLUMNS, Column

_log = logging.getLogger(__name__)

#: Spellings of "not known" in optional columns. Ids, countries and drug names may be these words.
_MISSING = ("", "NA", "NAN", "N/A", "NAT", "NULL", "NONE", "UNKNOWN", ".", "<NA>")
_FLAGS = {"0": 0.0, "1": 1.0, "FALSE": 0.0, "TRUE": 1.0, "NO": 0.0, "YES": 1.0}
_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?"


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


def check_table(
    name: str, frame: pd.DataFrame, origin: Origin, today: pd.Timestamp
) -> pd.DataFrame:
    """Canonicalize one table.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read, cells as text or typed; its index is not used.
        origin: for messages.
        today: later dates are left out with a warning.

    Returns:
        All columns of the contract in its order; the index is the position of the row in `frame`.

    Raises:
        InputError: a required column is missing, or a value breaks the contract.
    """
    frame = _named_columns(name, frame, origin)
    filled = pd.Series(False, index=frame.index)
    for column in frame:
        cells = frame[column]
        blank = cells.isna()
        if not pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_datetime64_any_dtype(
            cells
        ):
            blank |= cells.astype("str").str.strip() == ""
        filled |= ~blank
    frame = frame[filled]
    if frame.empty and name in ("patients", "visits"):
        raise InputError(
            f"{origin.label} holds a header and no rows; at least one row is needed, "
            "check the export that wrote it"
        )
    canonical = pd.DataFrame(index=frame.index)
    for column in CONTRACT[name]:
        raw = frame.get(column.name)
        canonical[column.name] = read_column(raw, column, frame.index, origin)
    canonical = _leave_out_future(name, canonical, origin, today)
    if name == "visits":
        canonical = _leave_out(canonical, canonical["EDSS"].isna(), "without an EDSS", origin)
    if name == "patients":
        repeated = canonical["PATIENT_ID"].duplicated()
        _refuse(
            repeated,
            canonical["PATIENT_ID"],
            origin,
            "stands in an earlier row already",
            "keep one row a patient",
        )
        _not_before(canonical, "MS_ONSET_DATE", canonical["BIRTH_DATE"], "the birth", origin)
    if name == "treatments":
        _not_before(canonical, "END_DATE", canonical["START_DATE"], "its START_DATE", origin)
    if canonical.empty and name in ("patients", "visits"):
        raise InputError(
            f"{origin.label} holds no usable row (see the warnings above); correct the dates or "
            "scores that were left out"
        )
    return canonical


def check_between_tables(tables: dict[str, pd.DataFrame], origins: dict[str, Origin]) -> None:
    """Check that every record is of a known patient, and none lies before the birth.

    Args:
        tables: canonical tables whose index is the row position.
        origins: for messages, by table name.

    Raises:
        InputError: naming the first record that is wrong.
    """
    patients = tables["patients"].set_index("PATIENT_ID")
    birth = patients["BIRTH_DATE"]
    dates = {"visits": "DATE_OF_VISIT", "relapses": "DATE_OF_ONSET", "treatments": "START_DATE"}
    for name, date in dates.items():
        table = tables[name]
        _refuse(
            ~table["PATIENT_ID"].isin(patients.index),
            table["PATIENT_ID"],
            origins[name],
            f"is not in {origins['patients'].label}",
            "add the patient there or remove the row",
        )
        born = pd.Series(birth.reindex(table["PATIENT_ID"]).to_numpy(), index=table.index)
        _not_before(table, date, born, "the patient's BIRTH_DATE", origins[name])


def _named_columns(name: str, frame: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Columns of the contract under their canonical names, whatever their case or alias."""
    frame = frame.reset_index(drop=True)
    given: dict[str, str] = {}
    for column in frame.columns:
        given.setdefault(str(column).strip().casefold(), column)
    picked = {}
    for wanted in CONTRACT[name]:
        for spelling in (wanted.name, *wanted.aliases):
            if spelling in frame.columns:
                picked[wanted.name] = frame[spelling]
                break
            if spelling.casefold() in given:
                picked[wanted.name] = frame[given[spelling.casefold()]]
                break
    missing = [column for column in REQUIRED_COLUMNS[name] if column not in picked]
    if missing:
        raise InputError(
            f"{origin.label} has no column {missing[0]}"
            + (f" (nor {', '.join(missing[1:])})" if missing[1:] else "")
            + f"; it has {', '.join(map(str, frame.columns)) or 'none'}: "
            "rename or add what is missing"
        )
    return pd.DataFrame(picked, index=frame.index)


def _as_text(raw: pd.Series, missing: tuple[str, ...]) -> pd.Series:
    """Cells as stripped text (dtype str), missing where empty or spelled so."""
    if pd.api.types.is_float_dtype(raw) and (raw.dropna() % 1 == 0).all():
        # An integer id with missing values beside it arrives as 12.0.
        raw = raw.astype("Int64")
    text = raw.astype("str").str.strip()
    return text.mask(text.isna() | text.str.upper().isin(missing))


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
        _refuse(
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
        _refuse(read.isna(), raw, origin, "is empty", "fill it in or remove the row")
    return read


def _read_date(raw: pd.Series, column: Column, origin: Origin) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(raw):
        zone = getattr(raw.dtype, "tz", None)
        read = raw.dt.tz_localize(None) if zone is not None else raw
    else:
        text = _as_text(raw, _MISSING)
        read = pd.to_datetime(
            text.where(text.str.fullmatch(_ISO).fillna(False).astype(bool)).str[:10],
            format="%Y-%m-%d",
            errors="coerce",
        )
        _refuse(read.isna() & text.notna(), raw, origin, "is no date", "write dates as YYYY-MM-DD")
    read = read.astype("datetime64[us]").dt.normalize()
    remedy = "correct it" + ("" if column.required else " or leave it empty")
    _refuse(
        read < pd.Timestamp(column.earliest_year, 1, 1),
        read,
        origin,
        f"lies before {column.earliest_year}",
        remedy,
    )
    return read


def _read_number(raw: pd.Series, column: Column, origin: Origin) -> pd.Series:
    remedy = "correct it or leave it empty"
    if pd.api.types.is_numeric_dtype(raw):
        read = raw.astype("float64")
    else:
        text = _as_text(raw, _MISSING)
        if column.kind == "flag":
            text = text.str.upper().map(lambda word: str(_FLAGS.get(word, word)), "ignore")
        read = pd.to_numeric(text, errors="coerce").astype("float64")
        _refuse(
            read.isna() & text.notna(),
            raw,
            origin,
            "is no number",
            "write numbers with a decimal point, or leave it empty",
        )
    if column.kind == "edss":
        _refuse(
            read.notna() & ~read.isin(EDSS_SCALE),
            raw,
            origin,
            "is not on the EDSS scale (0, 1, 1.5, 2, ... 10)",
            "correct the score or remove the row",
        )
    elif column.kind == "flag":
        _refuse(read.notna() & ~read.isin((0.0, 1.0)), raw, origin, "is neither 0 nor 1", remedy)
    else:
        wrong = read.notna() & ~(np.isfinite(read) & read.between(column.low, column.high))
        limits = (
            f"lies outside {column.low:g} to {column.high:g}"
            if np.isfinite(column.low)
            else "is not finite"
        )
        _refuse(wrong, raw, origin, limits, remedy)
    return read


def _leave_out_future(
    name: str, frame: pd.DataFrame, origin: Origin, today: pd.Timestamp
) -> pd.DataFrame:
    """Rows of the future go; an optional date of the future becomes missing (END_DATE: open)."""
    for column in CONTRACT[name]:
        if column.kind != "date":
            continue
        late = frame[column.name] > today
        if not late.any():
            continue
        if column.required:
            frame = _leave_out(frame, late, f"with a {column.name} after {today:%Y-%m-%d}", origin)
        else:
            _log.warning(
                "%s: %d values of %s after %s are read as missing (the first: %s)",
                origin.label,
                int(late.sum()),
                column.name,
                f"{today:%Y-%m-%d}",
                f"{origin.unit} {_first(late) + origin.first}",
            )
            frame = frame.assign(**{column.name: frame[column.name].mask(late)})
    return frame


def _leave_out(frame: pd.DataFrame, gone: pd.Series, what: str, origin: Origin) -> pd.DataFrame:
    if not gone.any():
        return frame
    _log.warning(
        "%s: %d rows %s are left out (the first: %s)",
        origin.label,
        int(gone.sum()),
        what,
        f"{origin.unit} {_first(gone) + origin.first}",
    )
    return frame[~gone]


def _not_before(
    frame: pd.DataFrame, column: str, start: pd.Series, what: str, origin: Origin
) -> None:
    _refuse(
        frame[column] < start,
        frame[column],
        origin,
        f"lies before {what}",
        "correct one of the two",
    )


def _first(wrong: pd.Series) -> int:
    """Row position (0-based, in the source) of the first true entry."""
    return int(wrong.index.to_numpy()[wrong.to_numpy().argmax()])


def _refuse(wrong: pd.Series, values: pd.Series, origin: Origin, problem: str, remedy: str) -> None:
    """Raise for the first wrong row, counting the others."""
    count = int(wrong.sum())
    if count == 0:
        return
    position = _first(wrong)
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
