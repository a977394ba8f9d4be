"""What is set of the cells of a custom table: missing words, values, percentages, labels left out.

Nothing of it is done unless it is set, and each of it is counted in the report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from ms_pfl.cohort.custom.cells import text_cells
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.names import folded
from ms_pfl.registry.ingest.refusals import Origin, refuse
from ms_pfl.registry.ingest.report import IngestReport

#: What the report calls a custom table.
TABLE = "episodes"
_PERCENTAGE = re.compile(r"([+-]?[\d.,]*\d[\d.,]*)\s*%")


def as_set(
    table: pd.DataFrame,
    label: str,
    origin: Origin,
    parameters: OwnEpisodesParameters,
    report: IngestReport,
) -> pd.DataFrame:
    """Return the table as the settings read it.

    Args:
        table: columns under their names, indexed by row position; blank rows are left out.
        label: column with the outcome.
        origin: for messages and the report; its table is :data:`TABLE`.
        parameters: how cells are read.
        report: takes note of each text that is read in another way, and of rows left out.

    Raises:
        InputError: a setting names no column, or a cell is no percentage.
    """
    for setting, names in (("values", parameters.values), ("percent", parameters.percent)):
        for name in names:
            if name not in table.columns:
                raise InputError(
                    f"{origin.label} has no column {name}, which own_episodes.{setting} names; "
                    "correct the setting"
                )
    cells = {
        name: _spelled(table[name], parameters.values.get(name, {}), parameters, origin, report)
        for name in table.columns
    }
    for name in parameters.percent:
        cells[name] = _percentages(cells[name], origin, report)
    found = pd.DataFrame(cells, index=table.index, columns=table.columns)
    return _labelled_rows(found, label, origin, parameters, report)


def _spelled(
    cells: pd.Series, spellings: Mapping[str, str | None], parameters: OwnEpisodesParameters,
    origin: Origin, report: IngestReport,
) -> pd.Series:  # fmt: skip
    """Cells with missing words and the spellings of one column replaced."""
    words = parameters.missing
    if not words and not spellings:
        return cells
    mapped = {_key(text): target for text, target in spellings.items()}
    targets = dict.fromkeys(map(_key, words)) | mapped
    text = text_cells(cells)
    keys = {given: _key(given) for given in text.dropna().unique()}
    for spelling in spellings:
        if _key(spelling) not in keys.values():
            report.remark("map_unused", origin, str(cells.name), spelling, "no cell holds it")
    read = {given: targets[key] for given, key in keys.items() if key in targets}
    if not read:
        return cells
    for given, target in read.items():
        said = "set to missing" if target is None else f"read as {target}"
        report.count(
            "value_mapped" if keys[given] in mapped else "missing_word",
            text == given, cells, origin, said,
        )  # fmt: skip
    replaced = text.isin(list(read))
    if pd.api.types.is_numeric_dtype(cells) and all(target is None for target in read.values()):
        return cells.astype("float64").mask(replaced)
    written = cells.astype(object).where(cells.notna(), None)
    return written.where(~replaced, text.map(read)).astype("str")


def _key(text: str) -> str:
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", folded(text))


def _percentages(cells: pd.Series, origin: Origin, report: IngestReport) -> pd.Series:
    """Cells without the sign behind the number: 12 % is 12."""
    text = cells.astype(object).astype("str").str.strip().where(text_cells(cells).notna())
    found = text.map(lambda cell: _PERCENTAGE.fullmatch(cell), na_action="ignore")
    refuse(
        text.notna() & found.isna(), cells, origin,
        "is no percentage, as own_episodes.percent has the column",
        "write the sign into every cell, or into none and take the column out there",
    )  # fmt: skip
    report.count("percentage", text.notna(), cells, origin, "read without the sign")
    return text.map(lambda cell: _PERCENTAGE.sub(r"\1", cell), na_action="ignore").astype("str")


def _labelled_rows(
    table: pd.DataFrame, label: str, origin: Origin, parameters: OwnEpisodesParameters,
    report: IngestReport,
) -> pd.DataFrame:  # fmt: skip
    text = text_cells(table[label])
    left_out = pd.Series(False, index=table.index)
    if parameters.unlabelled == "drop":
        left_out = text.isna()
        report.tolerate("unlabelled_row", table.loc[left_out, label], origin)
    for one in parameters.labels_left_out:
        same = text.map(folded, na_action="ignore") == _key(one)
        if not same.any():
            raise InputError(
                f"{origin.label}, column {label}: no row holds {one!r}, which "
                "own_episodes.labels_left_out names; take it out there"
            )
        report.tolerate("label_left_out", table.loc[same, label], origin)
        left_out |= same
    if left_out.all():
        raise InputError(
            f"{origin.label}, column {label}: no row is left, as all labels are missing or left out"
        )
    return table[~left_out] if left_out.any() else table
