"""Which column of a file is which of the contract, and columns that a setting adds."""

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ms_pfl.names import folded, normal
from ms_pfl.registry.contract import COLUMNS, REQUIRED_COLUMNS
from ms_pfl.registry.ingest.cells import as_text
from ms_pfl.registry.ingest.refusals import Origin
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.ingest.table_files import plain


def named_columns(
    name: str,
    frame: pd.DataFrame,
    origin: Origin,
    report: IngestReport,
    mapped: Mapping[str, str | None],
    known: Mapping[str, str | None] | None = None,
    constants: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Columns of the contract under their canonical names, whatever their case or alias.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read.
        origin: for messages.
        report: takes note of columns that are absent, stand twice, or are not read.
        mapped: a site's own names of columns, as in ``ingest.columns``.
        known: further names, of a profile, which the file may lack.
        constants: columns that the file lacks -> their value in every row.

    Returns:
        The columns that were found or added; the index is the position of the row.
    """
    given = [normal(str(column)) for column in frame.columns]
    listed = (", ".join(map(_short, given[:12])) or "none") + ", ..." * (len(given) > 12)
    own = _by_given_name(given, known or {}) | _by_given_name(given, mapped)
    names = {**(known or {}), **mapped}
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
            target = names[own[position]]
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
    added = dict(constants or {})
    for column in [column for column in added if column in found]:
        report.refuse_table(
            "constant_beside_column",
            f"{origin.label} has a column {given[found[column][0]]}, and ingest.constants names "
            f"{column} too; take it out there, or leave the column out: "
            f"ingest.columns.{name}: {{{given[found[column][0]]}: null}}",
            name,
            column,
        )
        del added[column]
    for column, value in added.items():
        report.remark(
            "constant", origin, column, value, f"put into {len(frame)} rows, which lack the column"
        )
    absent = [one for one in REQUIRED_COLUMNS[name] if one not in found and one not in added]
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
            + f"; it has {listed}: add it, or name its spelling in ingest.columns.{name}"
            + (
                f", or its value in ingest.constants.{absent[0]} where all rows have one"
                if absent[0] == "country"
                else ""
            ),
            name,
            absent[0],
        )
    return pd.DataFrame(
        {
            column.name: plain(frame.iloc[:, found[column.name][0]].reset_index(drop=True))
            for column in COLUMNS[name]
            if column.name in found
        }
        | {column: pd.Series(value, pd.RangeIndex(len(frame)), dtype="str")
           for column, value in added.items()},
        index=pd.RangeIndex(len(frame)),
    )  # fmt: skip


def values_for_names(given: Sequence[str]) -> list[str]:
    """Names of columns that are numbers or dates, as where a file has no header.

    >>> values_for_names(["P7", "2001-02-03", "2.5"])
    ['2001-02-03', '2.5']
    """
    return [name for name in given if re.fullmatch(r"[+-]?\d[\d.,/: T-]*", name)]


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
