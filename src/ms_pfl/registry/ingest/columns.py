"""Read one column of a table into its canonical dtype; wrong values are refused."""

from collections.abc import Callable

import pandas as pd

from ms_pfl.names import normal_cells
from ms_pfl.registry.contract import EDSS_SCALE, Column
from ms_pfl.registry.ingest.parameters import date_pattern
from ms_pfl.registry.ingest.refusals import Origin, Refuse, quoted, refuse

#: Spellings of "not known" in optional columns. Ids, countries and drug names may be these words.
MISSING = ("", "NA", "NAN", "N/A", "#N/A", "NAT", "NULL", "NONE", "UNKNOWN", ".", "<NA>")
_SPREADSHEET_ERROR = r"#(?:N/A|REF!|VALUE!|NAME\?|NUM!|DIV/0!|NULL!|SPILL!|CALC!|#+)"
# A spreadsheet shows 123456789012 so, and saves what it shows: several ids become one.
_ROUNDED = r"\d(?:[.,]\d+)?E\+\d+"
_FLAGS = {"0": 0.0, "1": 1.0, "FALSE": 0.0, "TRUE": 1.0, "NO": 0.0, "YES": 1.0}
_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?"
# A midnight of Brussels is 22:00 or 23:00 of the day before in UTC: such a time names no day.
_UTC_OFF_MIDNIGHT = r".*[T ](?!00:00(?::00(?:\.0+)?)?Z$).*Z"
_NO_DAY = ("is a time in a time zone and leaves the day in doubt", "write local days as YYYY-MM-DD")
_DECIMAL_COMMA = r"[+-]?\d*,\d+"
# Beyond it two whole numbers may be one float.
_EXACT_FLOAT = 2.0**53


def read_column(
    raw: pd.Series | None,
    column: Column,
    index: pd.Index,
    origin: Origin,
    refuse: Refuse = refuse,
) -> pd.Series:
    """Read one column into its canonical dtype.

    Args:
        raw: cells as text or typed, indexed by row position; None: the column is absent.
        column: what it must hold.
        index: row positions.
        origin: for messages.
        refuse: what is done where values are wrong; these are missing in what is returned.

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
            _matching(text, text.str.contains("E+", regex=False).eq(True) & column.is_id, _ROUNDED),
            raw,
            origin,
            "is a number that a spreadsheet has rounded, and several ids may have become it",
            "export the ids anew, as text",
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
        read, text = _read_date(raw, column, origin, refuse)
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
            else "fill it in or remove the row",
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
        _matching(text, text.str.startswith("#").eq(True), _SPREADSHEET_ERROR),
        raw,
        origin,
        "is an error of a spreadsheet and no name",
        "correct it there and save the table anew, or write here what is meant",
        "spreadsheet_value",
    )


def _matching(text: pd.Series, among: pd.Series, pattern: str) -> pd.Series:
    """Which cells match a pattern, of those among which they may be (bool); few are looked at."""
    found = among.copy()
    if among.any():
        found[among] = text[among].str.fullmatch(pattern)
    return found


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


def _read_date(
    raw: pd.Series, column: Column, origin: Origin, refuse: Refuse
) -> tuple[pd.Series, pd.Series]:
    """Days, and the cells as far as they are not missing."""
    if pd.api.types.is_datetime64_any_dtype(raw):
        read = given = raw
        if getattr(raw.dtype, "tz", None) is not None:
            off = raw.notna() & (raw != raw.dt.normalize())
            refuse(off, raw.astype("str"), origin, *_NO_DAY, "day_in_doubt")
            read = raw.dt.tz_localize(None).mask(off)
    else:
        given = as_text(raw, MISSING, normalized=False)
        # The format is that of dates written as text; typed ones need none.
        if origin.date_format is None or pd.api.types.infer_dtype(raw, skipna=True) == "date":
            read = _iso_days(given, raw, origin, refuse)
        else:
            pattern, form = date_pattern(origin.date_format), origin.date_format
            read = by_distinct(given, lambda text: _days(text, text.str.fullmatch(pattern), form))
            refuse(
                read.isna() & given.notna(),
                raw,
                origin,
                "is no date",
                f"write all dates as {origin.date_format} (ingest.date_format)",
                "not_a_date",
            )
    read = read.astype("datetime64[us]").dt.normalize()
    early = read < pd.Timestamp(column.earliest_year, 1, 1)
    refuse(
        early,
        read,
        origin,
        f"lies before {column.earliest_year}",
        _correct(column),
        "date_too_early",
    )
    return read.mask(early), given


def _iso_days(given: pd.Series, raw: pd.Series, origin: Origin, refuse: Refuse) -> pd.Series:
    read = by_distinct(
        given,
        lambda text: _days(
            text.str[:10],
            text.str.fullmatch(_ISO) & ~text.str.fullmatch(_UTC_OFF_MIDNIGHT),
            "%Y-%m-%d",
        ),
    )
    wrong = read.isna() & given.notna()
    doubt = _matching(given, wrong, _UTC_OFF_MIDNIGHT)
    refuse(doubt, raw, origin, *_NO_DAY, "day_in_doubt")
    wrong &= ~doubt
    no_day = _matching(given, wrong, _ISO)
    setting = ", or name the format of all dates in ingest.date_format" if origin.table else ""
    refuse(
        no_day,
        raw,
        origin,
        "is no day of the calendar",
        "correct it" + setting + " where the day stands before the month" * bool(setting),
        "not_a_date",
    )
    refuse(
        wrong & ~no_day,
        raw,
        origin,
        "is no date",
        "write dates as YYYY-MM-DD" + setting,
        "not_a_date",
    )
    return read


def _days(text: pd.Series, matched: pd.Series, date_format: str) -> pd.Series:
    return pd.to_datetime(text.where(matched), format=date_format, errors="coerce")


def by_distinct(text: pd.Series, read: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """Read each distinct text once: hundreds of thousands of cells hold few."""
    codes, distinct = pd.factorize(text)
    values = read(normal_cells(pd.Series(distinct, dtype="str")))
    return pd.Series(values.reindex(codes).array, index=text.index, name=text.name)


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
            _name_all(given, column, origin, wrong) or _correct(column)
            if flag
            else "write numbers with a decimal point, or leave it empty",
            "not_a_flag" if flag else "not_a_number",
        )
    if column.kind == "edss":
        wrong = read.notna() & ~read.isin(EDSS_SCALE)
        refuse(
            wrong,
            raw,
            origin,
            "is not on the EDSS scale (0, 1, 1.5, 2, ... 10)",
            "correct the score or leave it empty",
            "edss_not_on_scale",
        )
    elif flag:
        wrong = read.notna() & ~read.isin((0.0, 1.0))
        refuse(
            wrong,
            raw,
            origin,
            "is neither 0 nor 1",
            _name_all(given, column, origin, wrong) or _correct(column),
            "not_a_flag",
        )
    else:
        wrong = read.notna() & ~read.between(column.low, column.high)
        refuse(
            wrong,
            raw,
            origin,
            f"lies outside {column.low:g} to {column.high:g}",
            _correct(column),
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


def _correct(column: Column) -> str:
    return "correct it" + ("" if column.required else " or leave it empty")


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
