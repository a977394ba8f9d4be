"""A CSV file as a table of text: which dialect it is in, and whether its rows are whole.

Accepted are UTF-8, the encoding that a byte order mark or a setting names, any line ends, and
commas, semicolons, tabs or vertical bars between cells, as the header or a line ``sep=;`` above it
has them. The file is only read.
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.input_files import FileLimits, read_regular
from ms_pfl.names import normal
from ms_pfl.registry.ingest.encodings import decoded, unmarked_utf16
from ms_pfl.registry.ingest.refusals import FileNote, Origin, UnusableFile, and_more

#: The limits where nobody has set any, and the parameter that sets them.
NO_MORE = FileLimits()
SETTING = "ingest.limits"
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|$)")
# Excel writes and reads such a line above the header; editors add separators up to the width.
_DECLARED = re.compile(r'"?sep=(.)"?\1*', flags=re.IGNORECASE)
# What a file of another kind begins with.
_OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file",
}


def read_csv(
    path: Path,
    table: str = "",
    limits: FileLimits = NO_MORE,
    setting: str = SETTING,
    encoding: str | None = None,
) -> tuple[pd.DataFrame, Origin]:
    """Read a CSV file with every cell as text.

    Args:
        path: of the file.
        table: what it holds, as of :class:`Origin`.
        limits: of the file.
        setting: that holds them, for messages.
        encoding: of a file without a byte order mark; None: UTF-8.

    Returns:
        Every cell as text, "" where it is empty; blank lines are rows. Columns are named as the
        header has it, possibly twice. And where they came from.

    Raises:
        UnusableFile: the file cannot be read, is no text in that encoding, or its rows are not
            whole.
    """
    text, notes = _decoded(path, limits, setting, encoding)
    declared, above, text = _declared_separator(path, text)
    header = _LINE.match(text)[1]  # type: ignore[index]
    if not header.strip():
        if text.strip():
            said = f"has a blank line {above + 1}; remove the blank lines above the column names"
        else:
            said = "is empty; its first line must name the columns, as the ingest contract does"
        raise UnusableFile(f"{path} {said}", "no_header")
    separator = declared or _separator(header)
    if declared and declared not in header and _separator(header) in header:
        raise UnusableFile(
            f"{path}, line 1: names the {SEPARATORS[declared]} as the separator, and the column "
            f"names are separated by the {SEPARATORS[_separator(header)]}; remove line 1",
            "ragged_row",
            [(1, f"sep={declared}")],
        )
    with unusable("file_unreadable"):
        width = header.count(separator) + 1
        limits.check_table(path, text.count("\n"), width, setting)
    broken = ""
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
    regular = '"' not in text and width > 1 and text.count(separator) == (width - 1) * len(frame)
    lines = None if regular else _check_rows(path, text, separator, broken, len(frame), above)
    origin = Origin(
        str(path),
        "line",
        2 + above,
        table=table,
        lines=lines,
        separator=separator,
        notes=notes,
    )
    return frame.iloc[1:].reset_index(drop=True).set_axis(
        frame.iloc[0].map(normal).tolist(), axis=1
    ), origin


@contextmanager
def unusable(rule: str) -> Iterator[None]:
    """Let a file that is refused be one that is no table.

    Args:
        rule: key of :data:`ms_pfl.registry.ingest.rules.RULES`.

    Raises:
        UnusableFile: in place of another InputError.
    """
    try:
        yield
    except UnusableFile:
        raise
    except InputError as error:
        raise UnusableFile(str(error), rule) from None


def _decoded(
    path: Path, limits: FileLimits, setting: str, encoding: str | None
) -> tuple[str, tuple[FileNote, ...]]:
    try:
        with unusable("file_unreadable"):
            data = read_regular(path, limits.megabytes, f"{setting}.megabytes")
    except OSError as error:
        raise UnusableFile(
            f"{path} cannot be read ({error.strerror}); name a readable file", "file_unreadable"
        ) from None
    for magic, kind in _OTHER_KINDS.items():
        if data.startswith(magic):
            raise UnusableFile(
                f"{path} is {kind} under the name of a text file; give it its own ending again, or "
                "save the table from it as CSV UTF-8 or Parquet",
                "file_unreadable",
            )
    encoding_setting = f"{setting.rpartition('.')[0]}.encoding"
    text, notes = decoded(path, data, encoding, encoding_setting)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        remedy = (
            f"export the table again, or set {encoding_setting}: {found}"
            if (found := unmarked_utf16(data))
            else "export the table again"
        )
        raise UnusableFile(
            f"{path}, line {line}: holds a NUL byte and is no text; {remedy}",
            "nul_byte",
            [(line, "")],
        )
    return text, notes


def _declared_separator(path: Path, text: str) -> tuple[str | None, int, str]:
    """Return the separator that a line above the header names, the number of such lines, and the
    rest."""
    line = _LINE.match(text)
    declared = _DECLARED.fullmatch(line[1].strip(" ")) if line is not None else None
    if line is None or declared is None:
        return None, 0, text
    if declared[1] not in SEPARATORS:
        raise UnusableFile(
            f"{path}, line 1: names {declared[1]!r} as the separator; separate cells by "
            f"{', '.join(list(SEPARATORS.values())[:-1])} or {list(SEPARATORS.values())[-1]}",
            "ragged_row",
            [(1, line[1])],
        )
    return declared[1], 1, text[line.end() :]


def _separator(header: str) -> str:
    """Return the mark that stands most often between the names of a header; a comma where none
    does."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=bare.count)


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row begins, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    line = 1
    for cells in reader:
        yield line, cells
        line = reader.line_num + 1


def _check_rows(
    path: Path, text: str, separator: str, broken: str, n_records: int, above: int
) -> np.ndarray:
    """Lines on which the rows begin, or what is wrong with them; `above` lines are not in it."""
    name = SEPARATORS[separator]
    starts: list[int] = []
    ragged: list[tuple[int, int]] = []
    swallowed: list[tuple[int, str]] = []
    width = n_rows = 0
    try:
        for line, cells in _records(text, separator):
            starts.append(line + above)
            # A blank line has no cell, or one of blanks.
            filled = len(cells) > 1 or any(map(str.strip, cells))
            n_rows += filled and width > 0
            width = width or len(cells)
            if filled and len(cells) != width:
                ragged.append((line + above, len(cells)))
            swallowed += [
                (line + above, cell)
                for cell in cells
                if ("\n" in cell or "\r" in cell) and cell.count(separator) >= max(width - 1, 1)
            ]
    except csv.Error as error:
        broken = broken or str(error)
    if "inside string" in broken:
        last = starts[-1] if starts else 1 + above
        raise UnusableFile(
            f"{path}, line {last}: a quotation mark is opened in this row and never closed; "
            "close it, or write it twice within quoted text",
            "open_quote",
            [(last, "")],
        )
    if ragged and [count for _, count in ragged] == [width + 1] * n_rows:
        rows = [cells for _, cells in _records(text, separator) if len(cells) == width + 1]
        raise UnusableFile(
            f"{path}, line {1 + above}: names {width} columns, and every row has {width + 1} "
            f"cells; {_one_name_short(rows, separator)}",
            "header_short",
            [(1 + above, f"{width} names")],
        )
    if ragged:
        line, count = ragged[0]
        remedy = (
            f'put text that holds a {name} in "quotes", or remove a {name} too many'
            if count > width
            else f"put the missing {name} in, also beside an empty cell"
        )
        raise UnusableFile(
            f"{path}, line {line}: the row has {count} cells and the header {width}; {remedy}"
            + and_more(len(ragged)),
            "ragged_row",
            [(line, f"{count} cells") for line, count in ragged],
        )
    if swallowed:
        raise UnusableFile(
            f"{path}, line {swallowed[0][0]}: a quoted cell that begins here holds whole rows; "
            "close the quotation mark, or take the line breaks out of the text"
            + and_more(len(swallowed)),
            "row_in_a_cell",
            swallowed,
        )
    if broken or len(starts) != n_records:
        reason = broken or f"{len(starts)} rows or {n_records}, by the reading of its quotes"
        raise UnusableFile(
            f"{path} is no regular table: {reason}; put text that holds a {name} or a quotation "
            'mark in "quotes", and write the mark twice there',
            "ragged_row",
        )
    return np.array(starts[1:], dtype=np.int64)


def _one_name_short(rows: list[list[str]], separator: str) -> str:
    """Return what to do where every row has one cell more than the header, by what the rows look
    like."""
    name = SEPARATORS[separator]
    readings = []
    if not any(row[-1].strip() for row in rows):
        readings.append(f"if a {name} ends each row, end the header with one too")
    elif len({row[0] for row in rows}) == len(rows):
        readings.append(
            "if the first cells are row names (as R writes them), write the file without "
            "(row.names = FALSE)"
        )
    digits = [[cell.strip().isdigit() for cell in row] for row in rows]
    if separator == "," and any(
        all(row[i] and row[i + 1] for row in digits) for i in range(len(rows[0]) - 1)
    ):
        readings.append("if numbers have a decimal comma, separate the cells by semicolons")
    readings.append("if a column has no name, put it in its place in the header")
    return "; ".join(readings)
