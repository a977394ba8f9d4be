"""Files of SPSS, Stata and SAS: their values, dates, labels, and what they call missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.input_files import FileLimits, check_regular
from ms_pfl.names import normal
from ms_pfl.registry.ingest.csv_files import unusable
from ms_pfl.registry.ingest.refusals import FileNote, Origin, UnusableFile

#: Endings of files that are read: SPSS, Stata, SAS and its transport format.
STATISTICS = (".sav", ".zsav", ".por", ".dta", ".sas7bdat", ".xpt")
_READERS = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".por": "read_por",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
    ".xpt": "read_xport",
}
#: Readers that hand on what the file itself declares missing.
_DECLARING = ("read_sav", "read_dta", "read_sas7bdat")


def read_statistics(
    path: Path,
    table: str,
    limits: FileLimits,
    section: str,
    encoding: str | None,
    value_labels: bool,
) -> tuple[pd.DataFrame, Origin]:
    """Read a file of SPSS, Stata or SAS; it is only read.

    Args:
        path: of the file.
        table: what it holds, as of :class:`Origin`.
        limits: of the file.
        section: of the parameters that holds the settings, for messages.
        encoding: of its texts; None: the one that the file names.
        value_labels: read the labels of values that have one.

    Returns:
        The table, with dates as dates; values that the file declares missing are missing. And where
        it came from.

    Raises:
        UnusableFile: the file cannot be read.
    """
    import pyreadstat

    reader = _READERS[path.suffix.lower()]
    read = getattr(pyreadstat, reader)
    told = {"user_missing": True} if reader in _DECLARING else {}
    try:
        with unusable("file_unreadable"):
            check_regular(path, limits.megabytes, f"{section}.limits.megabytes")
            with path.open("rb"):
                pass  # the reader says of a file out of reach that it is not there
            _, about = read(str(path), metadataonly=True, encoding=encoding)
            limits.check_table(
                path, about.number_rows or 0, about.number_columns, f"{section}.limits"
            )
        frame, about = read(str(path), encoding=encoding, **told)
    except UnusableFile:
        raise
    except Exception as error:  # the reader raises classes of its own
        reason = " ".join(str(error).split())[:200]
        remedy = (
            f"name the encoding of its texts in {section}.encoding"
            if "encoding" in reason.lower() or "convert" in reason.lower()
            else "write it again"
        )
        raise UnusableFile(
            f"{path} is no readable {path.suffix.lower()} file ({reason}); {remedy}",
            "file_unreadable",
        ) from None
    notes: list[FileNote] = []
    for name in frame.columns:
        declared = _declared_missing(frame[name], name, about)
        if declared.any():
            cells = frame[name]
            notes += [
                FileNote(
                    "declared_missing", str(name), _shown(value),
                    f"set to missing in {int((cells[declared] == value).sum())} rows",
                )
                for value in cells[declared].drop_duplicates()
            ]  # fmt: skip
            frame[name] = _narrow(cells.mask(declared))
    if value_labels:
        for name, labels in about.variable_value_labels.items():
            frame[name], noted = _labelled(frame[name], labels)
            notes += noted
    frame.columns = [normal(str(name)) for name in frame.columns]
    return frame, Origin(str(path), "row", 1, table=table, notes=tuple(notes))


def _declared_missing(cells: pd.Series, name: str, about: Any) -> pd.Series:
    """Which cells hold a value that the file calls missing (bool)."""
    found = pd.Series(False, index=cells.index)
    for limits in about.missing_ranges.get(name, ()):
        low, high = limits["lo"], limits["hi"]
        if isinstance(low, str):
            found |= cells.eq(low)
        elif pd.api.types.is_numeric_dtype(cells):
            found |= cells.between(low, high)
    letters = about.missing_user_values.get(name, ())
    return found | cells.isin(list(letters)) if letters else found


def _narrow(cells: pd.Series) -> pd.Series:
    """Numbers as numbers, once the letters beside them are missing."""
    if cells.dtype == object and cells.dropna().map(lambda cell: isinstance(cell, float)).all():
        return cells.astype("float64")
    return cells


def _labelled(cells: pd.Series, labels: Mapping[Any, str]) -> tuple[pd.Series, list[FileNote]]:
    """Cells with the labels of values in their place; each label is noted once."""
    labelled = cells.isin(list(labels))
    if not labelled.any():
        return cells, []
    read = cells.astype(object).mask(labelled, cells.map(labels))
    notes = [
        FileNote(
            "value_label", str(cells.name), _shown(value),
            f"read as {labels[value]} in {int((cells == value).sum())} rows",
        )
        for value in cells[labelled].drop_duplicates()
    ]  # fmt: skip
    return read, notes


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
