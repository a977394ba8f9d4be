"""Which column of a file is which of the contract, and values under a site's own spelling."""

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ms_pfl.names import folded, normal, not_plain, what_differs
from ms_pfl.registry.contract import COLUMNS, CONTRACT, REQUIRED_COLUMNS
from ms_pfl.registry.ingest.columns import as_text
from ms_pfl.registry.ingest.refusals import Origin, quoted
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.ingest.table_files import plain


def named_columns(
    name: str,
    frame: pd.DataFrame,
    origin: Origin,
    report: IngestReport,
    mapped: Mapping[str, str | None],
) -> pd.DataFrame:
    """Columns of the contract under their canonical names, whatever their case or alias.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read.
        origin: for messages.
        report: takes note of columns that are absent, stand twice, or are not read.
        mapped: a site's own names of columns, as in ``ingest.columns``.

    Returns:
        The columns that were found; the index is the position of the row.
    """
    given = [normal(str(column)) for column in frame.columns]
    listed = (", ".join(map(_short, given[:12])) or "none") + ", ..." * (len(given) > 12)
    own = _by_given_name(given, mapped)
    for source in sorted(set(mapped) - set(own.values())):
        report.refuse_table(
            "column_absent",
            f"{origin.label} has no column {_short(source)}, which ingest.columns.{name} names; "
            f"it has {listed}: correct the map",
            name,
            source,
        )
    contract = {
        spelling.casefold(): column.name
        for column in COLUMNS[name]
        for spelling in (column.name, *column.aliases)
    }
    found: dict[str, list[int]] = {}
    for position, spelling in enumerate(given):
        if position in own:
            target = mapped[own[position]]
            action = "not read" if target is None else f"read as {target}"
            report.remark("column_mapped", origin, spelling, own[position], action)
        else:
            target = contract.get(spelling.casefold())
            if target is None and (
                spelling or as_text(plain(frame.iloc[:, position])).notna().any()
            ):
                shown = spelling or f"(no name, column {position + 1})"
                report.remark("column_not_read", origin, shown, "", "not read")
        if target is not None:
            found.setdefault(target, []).append(position)
    for target, positions in found.items():
        if len(positions) > 1:
            spellings = list(dict.fromkeys(given[position] for position in positions))
            said = f"two columns named {spellings[0]}; keep one of them"
            if len(spellings) > 1:
                said = (
                    f"{len(positions)} columns for {target}: {', '.join(spellings)}; keep one of "
                    f"them, or leave one out: ingest.columns.{name}: {{{spellings[-1]}: null}}"
                )
            report.refuse_table("column_twice", f"{origin.label} has {said}", name, target)
    absent = [column for column in REQUIRED_COLUMNS[name] if column not in found]
    if absent and not found and (values := values_for_names(given)):
        report.refuse_table(
            "no_header",
            f"{origin.label} begins with the values {', '.join(map(_short, values[:3]))} where "
            f"names are expected; put a line with the names of the columns above them",
            name,
        )
    elif absent:
        report.refuse_table(
            "column_absent",
            f"{origin.label} has no column {absent[0]}"
            + (f" (nor {', '.join(absent[1:])})" if absent[1:] else "")
            + f"; it has {listed}: add it, or name its spelling in ingest.columns.{name}",
            name,
            absent[0],
        )
    return pd.DataFrame(
        {
            column.name: plain(frame.iloc[:, found[column.name][0]].reset_index(drop=True))
            for column in COLUMNS[name]
            if column.name in found
        },
        index=pd.RangeIndex(len(frame)),
    )


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
    column: str,
    origin: Origin,
    report: IngestReport,
) -> pd.Series | None:
    """Cells with a site's own spellings replaced; each distinct text is reported once.

    Args:
        raw: cells as text or typed, indexed by row position; None: the column is absent.
        spellings: text of the site -> text to be read; None: missing.
        column: of the contract.
        origin: for the report.
        report: takes note of each text that was replaced, and in how many rows, and of those
            that no cell holds.
    """
    if not spellings:
        return raw
    targets = {folded(text): target for text, target in spellings.items()}
    text = pd.Series(dtype="str") if raw is None else as_text(raw)
    keys = {given: folded(given) for given in text.dropna().unique()}
    for spelling in spellings:
        if folded(spelling) not in keys.values():
            report.remark("map_unused", origin, column, spelling, "no cell holds it")
    if raw is None:
        return None
    read = {given: targets.get(key, given) for given, key in keys.items()}
    rule = "treatment_mapped" if column == "dmt" else "value_mapped"
    for given, target in read.items():
        if target != given:
            same = text == given
            said = "set to missing" if target is None else f"read as {target}"
            report.remark(
                rule,
                origin,
                column,
                given,
                f"{said} in {same.sum()} rows",
                origin.first_row(same),
            )
    return text.map(read, "ignore")


def note_decimal_commas(
    frame: pd.DataFrame, name: str, origin: Origin, report: IngestReport
) -> None:
    """Say in which columns numbers have a decimal comma."""
    if not origin.decimal_comma:
        return
    numbers = [column.name for column in CONTRACT[name] if column.kind in ("number", "edss")]
    for column in frame.columns.intersection(numbers):
        comma = frame[column].str.contains(",", regex=False)
        if comma.any():
            report.remark(
                "decimal_comma",
                origin,
                column,
                str(frame.loc[comma, column].iloc[0]),
                f"read as a point in {comma.sum()} rows",
                origin.first_row(comma),
            )


def values_for_names(given: Sequence[str]) -> list[str]:
    """Names of columns that are numbers or dates, as where a file has no header.

    >>> values_for_names(["P7", "2001-02-03", "2.5"])
    ['2001-02-03', '2.5']
    """
    return [name for name in given if re.fullmatch(r"[+-]?\d[\d.,/: T-]*", name)]


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


def _by_given_name(given: list[str], mapped: Iterable[str]) -> dict[int, str]:
    """Position of a column -> the key of the map that names it: exactly, else but for case."""
    found: dict[int, str] = {}
    for source in mapped:
        exact = [i for i, spelling in enumerate(given) if spelling == source]
        close = [i for i, spelling in enumerate(given) if folded(spelling) == folded(source)]
        found |= dict.fromkeys(exact or close, source)
    return found


def _short(text: str) -> str:
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 30 else text[:27] + "..."
