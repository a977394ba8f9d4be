"""Sheets of Excel workbooks: which one is a table, and its cells as a text file has them."""

import datetime
import html
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.input_files import FileLimits, check_regular
from ms_pfl.names import folded, normal
from ms_pfl.registry.ingest.csv_files import unusable
from ms_pfl.registry.ingest.refusals import FileNote, Origin, UnusableFile

#: Endings of workbooks that are read.
WORKBOOKS = (".xlsx", ".xlsm")
_MEGABYTE = 2**20
_ERROR_CELL = re.compile(rb'<c\b[^>]*?\br="([A-Z]+)(\d+)"[^>]*?\bt="e"[^>]*>(.*?)</c>', re.DOTALL)
_ERROR_VALUE = re.compile(rb"<v>(.*?)</v>")


def read_workbook(
    path: Path, table: str, sheet: str | None, limits: FileLimits, setting: str, sheet_setting: str
) -> tuple[pd.DataFrame, Origin]:
    """Read a sheet of a workbook; the file is only read.

    Args:
        path: of the file.
        table: what it holds, as of :class:`Origin`; the sheet of that name, if any, is read.
        sheet: name of the sheet, which comes before the table's; None: it is to be found.
        limits: of the file.
        setting: that holds them, for messages.
        sheet_setting: that names the sheet, for messages.

    Returns:
        The table: the first row names the columns. Cells are text as a CSV file has them, errors
        of formulas too (``#REF!``), but dates, which stay dates. And where it came from; rows are
        counted as the program shows them.

    Raises:
        UnusableFile: the file is no workbook, or nobody says which of its sheets is meant.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum

    try:
        with unusable("file_unreadable"):
            check_regular(path, limits.megabytes, f"{setting}.megabytes")
        _check_unpacked(path, limits, setting)
        workbook = CalamineWorkbook.from_path(str(path))
        names = [one.name for one in workbook.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
        name = _sheet(path, workbook, names, table, sheet, sheet_setting)
        rows: list[list[Any]] = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
        _put_errors(path, name, rows)
    except (OSError, CalamineError, zipfile.BadZipFile, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnusableFile(
            f"{path} is no readable workbook ({reason}); save it again, without a password",
            "file_unreadable",
        ) from None
    while rows and all(cell == "" for cell in rows[-1]):
        rows.pop()
    if not rows or all(cell == "" for cell in rows[0]):
        raise UnusableFile(
            f"{path}, sheet {name}: the first row is empty; put the names of the columns there",
            "no_header",
        )
    with unusable("file_unreadable"):
        limits.check_table(path, len(rows), len(rows[0]), setting)
    width = max(i for i, cell in enumerate(rows[0]) if cell != "") + 1
    width = max([width, *(_width(row) for row in rows)])
    columns = [[_cell(row[i]) for row in rows[1:]] for i in range(width)]
    header = [normal(str(_cell(cell))) for cell in rows[0][:width]]
    frame = pd.DataFrame(dict(enumerate(_column(cells) for cells in columns)))
    notes = (FileNote("workbook", "", name, "read as the sheet of the table"),)
    return frame.set_axis(header, axis=1), Origin(
        f"{path}, sheet {name}" if len(names) > 1 else str(path),
        "row", 2, table=table, notes=notes,
    )  # fmt: skip


def _sheet(
    path: Path, workbook: Any, names: list[str], table: str, sheet: str | None, setting: str
) -> str:
    listed = ", ".join(names[:12])
    if sheet is not None:
        found = [name for name in names if folded(name) == folded(sheet)]
        if not found:
            raise UnusableFile(
                f"{path} has no sheet {sheet}, which {setting} names; it has {listed}",
                "table_absent",
            )
        return found[0]
    found = [name for name in names if table and folded(name) == table]
    if not found:
        found = names if len(names) == 1 else [
            name for name in names if workbook.get_sheet_by_name(name).total_height
        ]  # fmt: skip
    if len(found) != 1:
        raise UnusableFile(
            f"{path} has the sheets {listed}; name the one that holds the table in {setting}",
            "table_twice" if names else "file_unreadable",
        )
    return found[0]


def _check_unpacked(path: Path, limits: FileLimits, setting: str) -> None:
    """Refuse a workbook whose parts say that they unpack to more than is allowed."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    # A sheet takes ten letters of XML or more for each cell that is a number of 8 bytes in memory.
    if unpacked > 10 * limits.megabytes * _MEGABYTE:
        raise UnusableFile(
            f"{path} unpacks to {unpacked / _MEGABYTE:,.0f} MB, and {setting}.megabytes is "
            f"{limits.megabytes:,}; leave out what is not needed, or raise it",
            "file_unreadable",
        )


def _put_errors(path: Path, sheet: str, rows: list[list[Any]]) -> None:
    """Write the errors of formulas into the cells that the reader has left empty."""
    with zipfile.ZipFile(path) as archive:
        book = archive.read("xl/workbook.xml").decode("utf-8", "replace")
        links = archive.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
        targets = {
            found["id"]: found["target"]
            for tag in re.findall(r"<Relationship\b[^>]*>", links)
            if (found := _attributes(tag, id="Id", target="Target"))
        }
        for tag in re.findall(r"<(?:\w+:)?sheet\b[^>]*>", book):
            found = _attributes(tag, name="name", id=r"\w+:id")
            if found and html.unescape(found["name"]) == sheet and found["id"] in targets:
                part = targets[found["id"]]
                part = part.lstrip("/") if part.startswith("/") else f"xl/{part}"
                data = archive.read(part)
                break
        else:
            return
    if b't="e"' not in data:
        return
    for letters, row, inner in _ERROR_CELL.findall(data):
        value = _ERROR_VALUE.search(inner)
        i, j = int(row) - 1, _column_number(letters.decode())
        if value and i < len(rows) and j < len(rows[i]) and rows[i][j] == "":
            rows[i][j] = value[1].decode("utf-8", "replace")


def _attributes(tag: str, **names: str) -> dict[str, str]:
    found = {key: re.search(rf'\s{name}="([^"]*)"', tag) for key, name in names.items()}
    return {key: one[1] for key, one in found.items() if one} if all(found.values()) else {}


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number - 1


def _width(row: list[Any]) -> int:
    return next((i + 1 for i in range(len(row) - 1, -1, -1) if row[i] != ""), 0)


def _cell(cell: Any) -> Any:
    """Return a cell as a CSV file has it; a date stays one."""
    if isinstance(cell, str | datetime.date):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    return str(cell)


def _column(cells: list[Any]) -> pd.Series:
    dated = any(isinstance(cell, datetime.date) for cell in cells)
    return pd.Series(cells, dtype=object if dated else "str")
