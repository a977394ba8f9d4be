"""Read one column of a table into its canonical dtype; wrong values are refused."""

import pandas as pd

from ms_pfl.registry.contract import EDSS_SCALE, Column
from ms_pfl.registry.ingest.cells import MISSING, as_text, by_distinct, correct, matching
from ms_pfl.registry.ingest.dates import AS_WRITTEN, DateRules, read_date
from ms_pfl.registry.ingest.refusals import Note, Origin, Refuse, quoted, refuse, unnoted

_SPREADSHEET_ERROR = r"#(?:N/A|REF!|VALUE!|NAME\?|NUM!|DIV/0!|NULL!|SPILL!|CALC!|#+)"
# A spreadsheet shows 123456789012 so, and saves what it shows: several ids become one.
_ROUNDED = r"\d(?:[.,]\d+)?E\+\d+"
_FLAGS = {"0": 0.0, "1": 1.0, "FALSE": 0.0, "TRUE": 1.0, "NO": 0.0, "YES": 1.0}
_DECIMAL_COMMA = r"[+-]?\d*,\d+"


def read_column(
    raw: pd.Series | None,
    column: Column,
    index: pd.Index,
    origin: Origin,
    refuse: Refuse = refuse,
    note: Note = unnoted,
    dates: DateRules = AS_WRITTEN,
) -> pd.Series:
    """Read one column into its canonical dtype.

    Args:
        raw: cells as text or typed, indexed by row position; None: the column is absent.
        column: what it must hold.
        index: row positions.
        origin: for messages.
        refuse: what is done where values are wrong; these are missing in what is returned.
        note: takes note of values that are not read as they are written.
        dates: how dates are written.

    Raises:
        InputError: a value breaks the contract, unless `refuse` only takes note of it.
    """
    if raw is None:
        dtype = {"text": "str", "code": "str", "date": "datetime64[us]"}.get(column.kind, "float64")
        return pd.Series(None, index=index, dtype=dtype)
    if column.kind == "text":
        read = text = as_text(raw, ("",) if column.required else MISSING)
        refuse(
            text.str.len() > column.longest,
            raw,
            origin,
            f"has more than {column.longest} characters",
            "shorten it",
            "text_too_long",
        )
        refuse_spreadsheet_errors(text, raw, origin, refuse)
        refuse(
            matching(text, text.str.contains("E+", regex=False).eq(True) & column.is_id, _ROUNDED),
            raw,
            origin,
            "is a number that a spreadsheet has rounded, and several ids may have become it",
            "export the ids again, as text",
            "spreadsheet_value",
        )
    elif column.kind == "code":
        text = as_text(raw, MISSING)
        read = text.str.upper().map(column.codes).astype("str")
        wrong = read.isna() & text.notna()
        refuse(
            wrong,
            raw,
            origin,
            f"is none of {', '.join(column.canonical)}",
            _name_all(text, column, origin, wrong) or "use one of these or leave it empty",
            "not_a_code",
        )
    elif column.kind == "date":
        read, text = read_date(raw, column, origin, refuse, note, dates)
    else:
        read, text = _read_number(raw, column, origin, refuse)
    if column.required:
        refuse(
            text.isna(),
            raw,
            origin,
            "is empty",
            "write the patient's id into each row"
            if column.name == "PATIENT_ID"
            else "fill it in or remove the row"
            + ", or set ingest.undated: drop"
            * (origin.table in ("relapses", "treatments") and column.kind == "date"),
            "value_absent",
        )
    return read


def refuse_spreadsheet_errors(
    text: pd.Series, raw: pd.Series, origin: Origin, refuse: Refuse = refuse
) -> None:
    """Refuse texts such as ``#REF!``, which a spreadsheet writes where a formula has failed.

    Args:
        text: cells of `raw` as stripped text, NaN = missing.
        raw: as it was read, for messages.
        origin: for messages.
        refuse: as in :func:`read_column`.
    """
    refuse(
        matching(text, text.str.startswith("#").eq(True), _SPREADSHEET_ERROR),
        raw,
        origin,
        "is an error of a spreadsheet and no name",
        "correct it there and save the table again, or write here what is meant",
        "spreadsheet_value",
    )


def _read_number(
    raw: pd.Series, column: Column, origin: Origin, refuse: Refuse
) -> tuple[pd.Series, pd.Series]:
    """Numbers, and the cells as far as they are not missing."""
    flag = column.kind == "flag"
    if pd.api.types.is_numeric_dtype(raw) and (flag or not pd.api.types.is_bool_dtype(raw)):
        read = given = raw.astype("float64")
    else:
        given = as_text(raw, MISSING, normalized=False)
        read = by_distinct(given, lambda text: _numbers(text, flag, origin.decimal_comma))
        wrong = read.isna() & given.notna()
        refuse(
            wrong,
            raw,
            origin,
            "is neither 0 nor 1" if flag else "is no number",
            _name_all(given, column, origin, wrong) or correct(column)
            if flag
            else f"write numbers with a decimal point, or leave it empty{_setting(column, origin)}",
            "not_a_flag" if flag else "not_a_number",
        )
    if column.kind == "edss":
        wrong = read.notna() & ~read.isin(EDSS_SCALE)
        refuse(
            wrong,
            raw,
            origin,
            "is not on the EDSS scale (0, 1, 1.5, 2, ... 10)",
            "correct the score or leave it empty" + _setting(column, origin),
            "edss_not_on_scale",
        )
    elif flag:
        wrong = read.notna() & ~read.isin((0.0, 1.0))
        refuse(
            wrong,
            raw,
            origin,
            "is neither 0 nor 1",
            _name_all(given, column, origin, wrong) or correct(column),
            "not_a_flag",
        )
    else:
        wrong = read.notna() & ~read.between(column.low, column.high)
        refuse(
            wrong,
            raw,
            origin,
            f"lies outside {column.low:g} to {column.high:g}",
            correct(column) + _setting(column, origin),
            "out_of_range",
        )
    return read.mask(wrong), given


def _numbers(text: pd.Series, flag: bool, decimal_comma: bool) -> pd.Series:
    if flag:
        text = text.str.upper().map(lambda word: str(_FLAGS.get(word, word))).astype("str")
    if decimal_comma:
        comma = text.str.fullmatch(_DECIMAL_COMMA)
        text = text.mask(comma, text.str.replace(",", ".", regex=False))
    return pd.to_numeric(text, errors="coerce").astype("float64")


def _setting(column: Column, origin: Origin) -> str:
    """Where a site says that a number means "not known"."""
    if not origin.table:
        return ""
    return f", or say what it means (null: not known) in ingest.values.{origin.table}.{column.name}"


def _name_all(cells: pd.Series, column: Column, origin: Origin, wrong: pd.Series) -> str:
    """How to say what each text of a coded column means; "" where no setting says it.

    All texts are listed: where 1 and 2 stand for no and yes, 1 must not be read as it is.
    """
    if not origin.table or not wrong.any():
        return ""
    texts = as_text(cells.dropna().drop_duplicates()).drop_duplicates().sort_values().tolist()
    listed = ", ".join(quoted(text[:20]) for text in texts[:6]) + (", ..." if texts[6:] else "")
    codes = ", ".join(column.canonical) or '"0", "1"'
    return (
        f"the column holds {listed}: say what each of them means ({codes}, or null where that is "
        f"not known) in ingest.values.{origin.table}.{column.name}"
    )
