"""Files of tables: which holds which, how it is read or can be made readable, and Parquet."""

import fnmatch
import json
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ms_pfl.files import whole_file
from ms_pfl.input_files import FileLimits, check_regular, json_object
from ms_pfl.log_text import line
from ms_pfl.names import folded
from ms_pfl.registry.ingest.csv_files import NO_MORE, SETTING, read_csv, unusable
from ms_pfl.registry.ingest.refusals import Origin, UnusableFile
from ms_pfl.registry.ingest.statistics_files import STATISTICS, read_statistics
from ms_pfl.registry.ingest.workbooks import WORKBOOKS, read_workbook

#: Endings of files that are read, in any case. One of the first kinds comes before the others.
TABLES = (".csv", ".parquet")
TEXTS = (".csv", ".txt", ".tsv", ".tab", ".dat")
READ = (*TABLES, *TEXTS[1:], *WORKBOOKS, *STATISTICS)
_WORKBOOK = "{what}; save it as a workbook {xlsx}"
_PACKED = "packed; unpack it and name the table in it {csv}"
#: What a file of another ending is, and how its table can be read.
_OTHERS = {
    ".xls": _WORKBOOK.replace("{what}", "an old Excel workbook"),
    ".xlsb": _WORKBOOK.replace("{what}", "a binary Excel workbook"),
    ".ods": _WORKBOOK.replace("{what}", "an OpenDocument spreadsheet"),
    ".numbers": _WORKBOOK.replace("{what}", "a Numbers spreadsheet"),
    ".gz": _PACKED,
    ".bz2": _PACKED,
    ".xz": _PACKED,
    ".zip": _PACKED,
    ".7z": _PACKED,
    ".rds": "an R file; write it from R: write.csv(readRDS('{path}'), '{csv}', "
    "row.names = FALSE, na = '', fileEncoding = 'UTF-8')",
    ".rdata": "an R workspace; write its table from R with write.csv as {csv}",
    ".mdb": "an Access database; export the table from it as {csv}",
    ".accdb": "an Access database; export the table from it as {csv}",
}

#: Key of a Parquet file's metadata under which it says where its rows come from.
_SOURCE = b"ms_pfl.source"

#: What the decoders raise on bytes that are no Parquet file, or on one with bytes gone wrong.
_BROKEN = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    pa.ArrowException,
)


@dataclass(frozen=True)
class FileSettings:
    """What is set of a file.

    Attributes:
        limits: of the file.
        section: of the parameters that holds the settings, for messages.
        encoding: of a text file without a byte order mark; None: UTF-8.
        sheet: of a workbook; None: it is to be found.
        value_labels: read the labels of values in a file of SPSS, Stata or SAS.
        decimal_comma: numbers written as text may have one, whatever the separator is.
    """

    limits: FileLimits = NO_MORE
    section: str = "ingest"
    encoding: str | None = None
    sheet: str | None = None
    value_labels: bool = False
    decimal_comma: bool = False


def find_table(folder: Path, name: str, pattern: str | None = None) -> Path:
    """Return the file of a table, whatever the case of its name.

    Args:
        folder: holds it.
        name: patients, visits, relapses or treatments.
        pattern: name of the file, with ``*`` and ``?`` for any letters, or several with ``|``
            between them; None: the table's name with an ending that is read. A .csv or .parquet
            file comes before those of other programs.

    Raises:
        UnusableFile: there is none, there are several, or there is one of another format alone.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UnusableFile(
            f"the registry folder {folder} cannot be listed ({error.strerror}); name a folder that "
            "can be read",
            "file_unreadable",
        ) from None
    if pattern is not None:
        return _matched(folder, paths, name, pattern)
    here = [path for path in paths if path.name.lower().startswith(f"{name}.")]
    read = [path for path in here if path.name.lower() in [name + ending for ending in READ]]
    first = [path for path in read if path.suffix.lower() in TABLES]
    found = first or read
    if len(found) > 1:
        raise UnusableFile(
            f"{folder} holds both {found[0].name} and {found[1].name}; keep the one that counts, "
            f"or name it in ingest.files.{name}",
            "table_twice",
        )
    if found:
        return found[0]
    if here:
        raise UnusableFile(f"{folder} holds {how_to_read(here[0], name)}", "table_absent")
    hint = (
        "a table with a header only will do where none are known"
        if name in ("relapses", "treatments")
        else "the table is required"
    )
    raise UnusableFile(
        f"{folder} holds neither {name}.csv nor {name}.parquet; add the file ({hint}), or name the "
        f"one that holds the table in ingest.files.{name}{_listed(paths)}",
        "table_absent",
    )


def _matched(folder: Path, paths: list[Path], name: str, pattern: str) -> Path:
    """Return the one file whose name is as a pattern has it."""
    wanted = [folded(one) for one in pattern.split("|")]
    found = [
        path
        for path in paths
        if path.is_file() and any(fnmatch.fnmatchcase(folded(path.name), one) for one in wanted)
    ]
    setting = f"ingest.files.{name}"
    if len(found) == 1:
        if found[0].suffix.lower() in READ:
            return found[0]
        raise UnusableFile(f"{folder} holds {how_to_read(found[0])}", "table_absent")
    if not found:
        raise UnusableFile(
            f"{folder} holds no file {pattern}, which {setting} names; correct the "
            f"setting{_listed(paths)}",
            "table_absent",
        )
    raise UnusableFile(
        f"{folder} holds both {found[0].name} and {found[1].name}, which are {pattern} of "
        f"{setting}; name one of them there",
        "table_twice",
    )


def _listed(paths: list[Path]) -> str:
    names = [line(path.name) for path in paths if path.is_file()]
    if not names:
        return ""
    return f" (the folder holds {', '.join(names[:8])}{', ...' * (len(names) > 8)})"


def unread_files(folder: Path, used: Collection[Path]) -> list[str]:
    """Return the names of files that look like tables and are not read."""
    known = (*READ, *_OTHERS)
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # told of each table already
        return []
    return [
        path.name
        for path in paths
        if path not in used and path.is_file() and path.suffix.lower() in known
    ]


def read_table(
    path: Path, table: str = "", settings: FileSettings | None = None
) -> tuple[pd.DataFrame, Origin]:
    """Read a file of one of the kinds :data:`READ`; it is only read.

    Args:
        path: of the file.
        table: what it holds, as of :class:`Origin`.
        settings: of the file; none where not given.

    Returns:
        The table: cells of text files and workbooks as text, but dates of a workbook as dates;
        typed ones of other files. And where it came from.

    Raises:
        UnusableFile: the file is no table, or a larger one.
    """
    settings = settings or FileSettings()
    ending = path.suffix.lower()
    limits, setting = settings.limits, f"{settings.section}.limits"
    if ending in TEXTS:
        frame, origin = read_csv(path, table, limits, setting, settings.encoding)
    elif ending in WORKBOOKS:
        sheet = f"{settings.section}.sheets.{table}" if table else f"{settings.section}.sheet"
        frame, origin = read_workbook(path, table, settings.sheet, limits, setting, sheet)
    elif ending in STATISTICS:
        frame, origin = read_statistics(
            path, table, limits, settings.section, settings.encoding, settings.value_labels
        )
    else:
        frame = read_parquet(path, limits, setting)
        origin = Origin(str(path), "row", 1, table=table)
    return frame, replace(origin, commas=settings.decimal_comma)


def how_to_read(path: Path, stem: str | None = None) -> str:
    """Say what a file is that is not read, and how its table can be read.

    Args:
        path: of the file.
        stem: what the table must be called; the file's own name where not given.

    >>> how_to_read(Path("visits.XLS"))
    'visits.XLS, an old Excel workbook; save it as a workbook visits.xlsx'
    """
    stem = stem or path.name.split(".")[0]
    csv, xlsx = f"{stem}.csv", f"{stem}.xlsx"
    said = _OTHERS.get(
        path.suffix.lower(), "which is no table that is read; save the table as {csv}, UTF-8"
    )
    return f"{path.name}, {said.format(path=path.name, csv=csv, xlsx=xlsx)}"


def read_parquet(path: Path, limits: FileLimits = NO_MORE, setting: str = SETTING) -> pd.DataFrame:
    """Read a Parquet file.

    Args:
        path: of the file.
        limits: of the file; its footer says how large the table is.
        setting: that holds them, for messages.

    Returns:
        The table; named levels of its index are columns, the first ones. Cells that are no single
        value (bytes, lists, records) are their text.

    Raises:
        UnusableFile: the file cannot be read, or a level of the index is called what a column is.
    """
    try:
        with unusable("file_unreadable"):
            check_regular(path, limits.megabytes, f"{setting}.megabytes")
            footer = pq.read_metadata(path)
            groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
            unpacked = sum(group.total_byte_size for group in groups)
            rows = max(footer.num_rows, sum(group.num_rows for group in groups))
            limits.check_table(path, rows, footer.num_columns, setting, unpacked)
        table = pq.read_table(path)
        # Text that is no UTF-8 would only fail where it is first looked at.
        table.validate(full=True)
        frame = table.to_pandas()
    except UnusableFile:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise UnusableFile(
            f"{path} is no readable parquet file ({reason}); write it again", "file_unreadable"
        ) from None
    named = [i for i, name in enumerate(frame.index.names) if name is not None]
    names = [*(frame.index.names[i] for i in named), *frame.columns]
    for name in names[: len(named)]:
        if names.count(name) > 1:
            raise UnusableFile(
                f"{path} has an index and a column named {str(name)[:100]}; keep one of them",
                "column_twice",
            )
    frame = frame.reset_index(level=named) if named else frame
    return frame.reset_index(drop=True).apply(plain)


def plain(cells: pd.Series) -> pd.Series:
    """Cells of which some may be no single value (bytes, lists, records), those as their text."""
    if cells.dtype != object:
        return cells
    return cells.map(
        lambda cell: str(cell) if isinstance(cell, bytes | list | dict | np.ndarray) else cell
    )


def write_folder(
    frames: Mapping[str, pd.DataFrame], source: Mapping[str, str], folder: Path
) -> None:
    """Write ``<folder>/<name>.parquet`` for each table, all or none; each file names the source."""
    with ExitStack() as files:  # which take their places when all are written
        for name, frame in frames.items():
            table = pa.Table.from_pandas(frame, preserve_index=False)
            said = {**table.schema.metadata, _SOURCE: json.dumps(dict(source)).encode()}
            part = files.enter_context(whole_file(folder / f"{name}.parquet"))
            with part.open("wb") as file:  # pyarrow keeps its own open where the disk is full
                pq.write_table(table.replace_schema_metadata(said), file)


def synthetic_source(folder: Path) -> dict[str, str]:
    """Return the source that the patients' Parquet file of a folder names, if it is synthetic.

    That the tables are simulated holds wherever the file lies; any other source is that of its
    first folder, and is not returned. Empty where there is none.
    """
    path = folder / "patients.parquet"
    said = pq.read_schema(path).metadata if path.is_file() else None
    source = json_object((said or {}).get(_SOURCE, b"{}")) or {}
    if source.get("kind") != "synthetic":
        return {}
    return {str(name): str(value) for name, value in source.items()}
