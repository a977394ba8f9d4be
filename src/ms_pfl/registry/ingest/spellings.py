"""A site's own spellings of values: codes, numbers, days, names, and words for "not known"."""

import datetime
from collections.abc import Collection, Mapping

import pandas as pd

from ms_pfl.names import folded, normal, not_plain, what_differs
from ms_pfl.registry.contract import CONTRACT, Column
from ms_pfl.registry.ingest.cells import as_text
from ms_pfl.registry.ingest.refusals import Origin, quoted
from ms_pfl.registry.ingest.report import IngestReport


def note_other_forms(
    raw: pd.Series | None, column: str, origin: Origin, report: IngestReport
) -> None:
    """Note each distinct text that is not in its normal form, and in how many rows it stands."""
    if raw is None or pd.api.types.is_numeric_dtype(raw):
        return
    text = raw.astype("str").str.strip(" ")
    for given in text[not_plain(text)].unique():
        if (read := normal(given)) != given:
            same = text == given
            report.remark(
                "text_normalized",
                origin,
                column,
                given,
                f"read as {read} in {same.sum()} rows ({what_differs(given)})",
                origin.first_row(same),
            )


def translated(
    raw: pd.Series | None,
    spellings: Mapping[str, str | None],
    missing: Collection[str],
    column: Column,
    origin: Origin,
    report: IngestReport,
    expected: Collection[str] | None = None,
) -> pd.Series | None:
    """Cells with a site's own spellings replaced; each distinct text is reported once.

    Args:
        raw: cells as text or typed, indexed by row position; None: the column is absent.
        spellings: text of the site -> text to be read; None: missing.
        missing: words for a missing value that the map does not name.
        column: of the contract.
        origin: for the report.
        report: takes note of each text that was replaced, and in how many rows, and of those
            that no cell holds.
        expected: the texts of which it is told where no cell holds them; all where not given.
    """
    if not spellings and not missing:
        return raw
    number = column.kind in ("number", "edss", "flag")

    def key(text: str) -> str:
        return folded(_whole(text) if number else text)

    targets: dict[str, str | None] = dict.fromkeys(map(key, missing))
    mapped = {key(text): target for text, target in spellings.items()}
    targets |= mapped
    text = pd.Series(dtype="str") if raw is None else _keys(raw)
    keys = {given: key(given) for given in text.dropna().unique()}
    held = set(keys.values())
    for spelling in spellings if expected is None else expected:
        if key(spelling) not in held:
            report.remark("map_unused", origin, column.name, spelling, "no cell holds it")
    if raw is None or held.isdisjoint(targets):
        return raw
    read = {given: targets[k] for given, k in keys.items() if k in targets}
    read = {given: target for given, target in read.items() if target != given}
    for given, target in read.items():
        same = text == given
        rule = "treatment_mapped" if column.name == "dmt" else "value_mapped"
        report.remark(
            rule if keys[given] in mapped else "missing_word",
            origin,
            column.name,
            given,
            f"{'set to missing' if target is None else f'read as {target}'} in {same.sum()} rows",
            origin.first_row(same),
        )
    replaced = text.isin(read)
    if column.kind == "date":
        days = {
            given: None if target is None else datetime.date.fromisoformat(target)
            for given, target in read.items()
        }
        put = text.astype(object).map(days, na_action="ignore")
        return raw.astype(object).where(~replaced, put)
    if number and pd.api.types.is_numeric_dtype(raw):
        numbers = {g: float("nan") if t is None else float(t) for g, t in read.items()}
        return raw.astype("float64").mask(replaced, text.map(numbers).astype("float64"))
    return text.map({given: read.get(given, given) for given in keys}, "ignore")


def _whole(text: str) -> str:
    """Return a whole number without the decimals that programs add."""
    bare = text.strip().replace(",", ".")
    head, point, tail = bare.partition(".")
    return head if point and tail.strip("0") == "" and head.lstrip("+-").isdigit() else text


def _keys(raw: pd.Series) -> pd.Series:
    """Cells as text by which a map finds them: dates as YYYY-MM-DD."""
    if pd.api.types.is_datetime64_any_dtype(raw):
        return raw.dt.strftime("%Y-%m-%d").astype("str")
    if raw.dtype == object:
        raw = raw.map(
            lambda cell: (
                f"{cell:%Y-%m-%d}" if isinstance(cell, datetime.date) and cell == cell else cell
            )
        )
    return as_text(raw)


def note_decimal_commas(
    frame: pd.DataFrame, name: str, origin: Origin, report: IngestReport
) -> None:
    """Say in which columns numbers have a decimal comma."""
    if not origin.decimal_comma:
        return
    numbers = [column.name for column in CONTRACT[name] if column.kind in ("number", "edss")]
    for column in frame.columns.intersection(numbers):
        if pd.api.types.is_numeric_dtype(frame[column]):
            continue
        comma = frame[column].astype("str").str.fullmatch(r"\s*[+-]?\d*,\d+\s*").eq(True)
        if comma.any():
            report.remark(
                "decimal_comma",
                origin,
                column,
                str(frame.loc[comma, column].iloc[0]),
                f"read as a point in {comma.sum()} rows",
                origin.first_row(comma),
            )


def refuse_one_sex(
    raw: pd.Series | None,
    spellings: Mapping[str, str | None],
    read: pd.Series,
    origin: Origin,
    report: IngestReport,
) -> None:
    """Refuse a map by which all patients have one sex, although a text stands beside the map.

    Where H and M are man and woman, a map of H alone would make men of all.

    Args:
        raw: cells as they were read, or None.
        spellings: the map of the column.
        read: codes that the column was read as.
        origin: for messages.
        report: takes note.
    """
    if raw is None or not spellings or read.nunique() != 1:
        return
    text = as_text(raw)
    mapped = text.map(folded, "ignore").isin({folded(key) for key in spellings})
    if (mapped & read.notna()).any():
        texts = ", ".join(quoted(one[:20]) for one in text[read.notna()].unique()[:4])
        report.refuse(
            read.notna() & ~mapped,
            raw,
            origin,
            f"is read as {read.dropna().iloc[0]}, as {texts} all are, and nobody has another sex",
            "say in ingest.values.patients.gender what each of them means",
            "not_a_code",
        )
