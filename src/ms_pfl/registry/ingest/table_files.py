"""Files of tables: which holds which, how it is read or can be made readable, and Parquet."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ms_pfl.files import whole_file
from ms_pfl.input_files import FileLimits, check_regular, json_object
from ms_pfl.registry.ingest.csv_files import NO_MORE, SETTING, UnusableFile, read_csv, unusable
from ms_pfl.registry.ingest.refusals import Origin

#: Endings of files that are read, in any case.
READ = (".csv", ".parquet")
_EXCEL = (
    "an Excel workbook; save its sheet as {csv} of the type CSV UTF-8, with ids shown as text, "
    "dates as YYYY-MM-DD and numbers with all their decimals (the file holds what Excel shows)"
)
_TEXT = "a text file; copy it to {csv} (cells separated by commas, semicolons, tabs or bars)"
_PACKED = "packed; unpack it and name the table in it {csv}"
_WITH_PANDAS = (
    "; write it as Parquet: python -c \"import pandas; pandas.{read}('{path}')"
    ".to_parquet('{parquet}')\""
)
#: What a file of another ending is, and how its table can be read.
_OTHERS = {
    ".xlsx": _EXCEL,
    ".xlsm": _EXCEL,
    ".xls": _EXCEL,
    ".ods": _EXCEL.replace("an Excel workbook", "a spreadsheet").replace("Excel", "the program"),
    ".txt": _TEXT,
    ".tsv": _TEXT,
    ".tab": _TEXT,
    ".dat": _TEXT,
    ".gz": _PACKED,
    ".bz2": _PACKED,
    ".xz": _PACKED,
    ".zip": _PACKED,
    ".7z": _PACKED,
    ".dta": "a Stata file" + _WITH_PANDAS.replace("{read}", "read_stata"),
    ".sas7bdat": "a SAS file"
    + _WITH_PANDAS.replace("'{path}'", "'{path}', encoding='infer'").replace("{read}", "read_sas"),
    ".sav": "an SPSS file; write it from SPSS: SAVE TRANSLATE OUTFILE='{csv}' /TYPE=CSV "
    "/ENCODING='UTF8' /FIELDNAMES",
    ".rds": "an R file; write it from R: write.csv(readRDS('{path}'), '{csv}', "
    "row.names = FALSE, na = '', fileEncoding = 'UTF-8')",
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


def find_table(folder: Path, name: str) -> Path:
    """Return the file of a table, whatever the case of its name.

    Args:
        folder: holds it.
        name: patients, visits, relapses or treatments.

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
    here = [path for path in paths if path.name.lower().startswith(f"{name}.")]
    found = [path for path in here if path.name.lower() in [name + ending for ending in READ]]
    if len(found) > 1:
        raise UnusableFile(
            f"{folder} holds both {found[0].name} and {found[1].name}; keep the one that counts",
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
        f"{folder} holds neither {name}.csv nor {name}.parquet; add the file ({hint})",
        "table_absent",
    )


def read_table(
    path: Path,
    table: str = "",
    date_format: str | None = None,
    limits: FileLimits = NO_MORE,
    setting: str = SETTING,
) -> tuple[pd.DataFrame, Origin]:
    """Read a .csv file with every cell as text, or a .parquet file; it is only read.

    Args:
        path: of the file; its ending is one of :data:`READ`.
        table: what it holds, as of :class:`Origin`.
        date_format: of its dates, as of :class:`Origin`.
        limits: of the file.
        setting: that holds them, for messages.

    Raises:
        UnusableFile: the file is no table, or a larger one.
    """
    if path.suffix.lower() == ".csv":
        return read_csv(path, table, date_format, limits, setting)
    return read_parquet(path, limits, setting), Origin(
        str(path), "row", 1, table=table, date_format=date_format
    )


def how_to_read(path: Path, stem: str | None = None) -> str:
    """Say what a file is that is not read, and how its table can be read.

    Args:
        path: of the file.
        stem: what the table must be called; the file's own name where not given.

    >>> how_to_read(Path("visits.TSV"))[:42]
    'visits.TSV, a text file; copy it to visits'
    """
    stem = stem or path.name.split(".")[0]
    csv, parquet = f"{stem}.csv", f"{stem}.parquet"
    said = _OTHERS.get(
        path.suffix.lower(), "which is neither .csv nor .parquet; save the table as {csv}, UTF-8"
    )
    return f"{path.name}, {said.format(path=path.name, csv=csv, parquet=parquet)}"


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
            f"{path} is no readable parquet file ({reason}); write it anew", "file_unreadable"
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
