"""A CSV file as a table of text: which dialect it is in, and whether its rows are whole.

Accepted are UTF-8 with or without a byte order mark, any line ends, and commas, semicolons or tabs
between cells, told apart by the first line. The file is only read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.names import normal

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


class UnusableFile(InputError):
    """A file that is no table.

    Attributes:
        rule: key of :data:`ms_pfl.registry.ingest_rules.RULES`.
        rows: line and text of each wrong row, where it is about rows.
    """

    def __init__(self, message: str, rule: str = "", rows: list[tuple[int, str]] | None = None):
        """Say what is wrong with the file in one line."""
        super().__init__(message)
        self.rule = rule
        self.rows = rows or []


@dataclass(frozen=True)
class TextTable:
    """A file as it was read.

    Attributes:
        frame: every cell as text, "" where it is empty; blank lines are rows. Columns are named
            as the header has it, possibly twice.
        lines: line of the file on which each row begins; None: rows follow the header line by line.
        separator: "," or ";" or a tab.
    """

    frame: pd.DataFrame
    lines: np.ndarray | None
    separator: str


def read_csv(path: Path) -> TextTable:
    """Read a CSV file with every cell as text.

    Raises:
        UnusableFile: the file cannot be read, is no UTF-8 text, or its rows are not whole.
    """
    text = _decoded(path)
    first_line = re.split(r"\r\n|\r|\n", text, maxsplit=1)[0]
    if not first_line.strip():
        said = "is empty" if not text.strip() else "has a blank first line"
        raise UnusableFile(
            f"{path} {said}; its first line must name the columns, as the ingest contract does",
            "no_header",
        )
    separator = _separator(first_line)
    broken = None
    frame = pd.DataFrame()
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        broken = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
    width = frame.shape[1]
    if broken is None and '"' not in text and width > 1:
        regular = text.count(separator) == (width - 1) * len(frame)
    else:
        regular = False
    lines = None if regular else _check_rows(path, text, separator, broken, len(frame))
    names = [normal(name) for name in frame.iloc[0]]
    table = frame.iloc[1:].reset_index(drop=True).set_axis(names, axis=1)
    return TextTable(table, lines, separator)


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableFile(
            f"{path} cannot be read ({error.strerror}); name a readable file", "file_unreadable"
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UnusableFile(
            f"{path} is not UTF-8 text; save it as CSV UTF-8 (line {line} holds another encoding)",
            "not_utf8",
            [(line, "")],
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UnusableFile(
            f"{path}, line {line}: holds a NUL byte and is no text; export the table anew",
            "nul_byte",
            [(line, "")],
        )
    return text


def _separator(header: str) -> str:
    """The mark that stands most often between the names of a header; a comma where none does."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=bare.count)


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line on which each row begins, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    line = 1
    for cells in reader:
        yield line, cells
        line = reader.line_num + 1


def _check_rows(
    path: Path, text: str, separator: str, broken: str | None, n_records: int
) -> np.ndarray:
    """Lines on which the rows begin, or what is wrong with the rows."""
    name = SEPARATORS[separator]
    starts: list[int] = []
    ragged: list[tuple[int, str]] = []
    swallowed: list[tuple[int, str]] = []
    width, last = 0, 1
    try:
        for last, cells in _records(text, separator):
            starts.append(last)
            width = width or len(cells)
            # A blank line has no cell, or one of blanks.
            if len(cells) != width and (len(cells) > 1 or any(map(str.strip, cells))):
                ragged.append((last, str(len(cells))))
            swallowed += [
                (last, cell)
                for cell in cells
                if ("\n" in cell or "\r" in cell) and cell.count(separator) >= max(width - 1, 1)
            ]
    except csv.Error as error:
        broken = broken or str(error)
    if broken is not None and "inside string" in broken:
        raise UnusableFile(
            f"{path}, line {last}: a quotation mark is opened in this row and never closed; "
            "close it, or write it twice within quoted text",
            "open_quote",
            [(last, "")],
        )
    if ragged:
        line, count = ragged[0]
        more = f" (and {len(ragged) - 1} more like it)" if len(ragged) > 1 else ""
        raise UnusableFile(
            f"{path}, line {line}: the row has {count} cells and the header {width}; "
            f'separate cells by the {name} and put text that holds one in "quotes"{more}',
            "ragged_row",
            [(line, f"{count} cells") for line, count in ragged],
        )
    if swallowed:
        line, _ = swallowed[0]
        more = f" (and {len(swallowed) - 1} more like it)" if len(swallowed) > 1 else ""
        raise UnusableFile(
            f"{path}, line {line}: a quoted cell that begins here holds whole rows; close the "
            f"quotation mark, or take the line breaks out of the text{more}",
            "row_in_a_cell",
            swallowed,
        )
    if broken is not None or len(starts) != n_records:
        reason = broken or f"{len(starts)} rows or {n_records}, by the reading of its quotes"
        raise UnusableFile(
            f"{path} is no regular table: {reason}; separate cells by commas and put text with "
            'commas in "quotes"',
            "ragged_row",
        )
    return np.array(starts[1:], dtype=np.int64)
