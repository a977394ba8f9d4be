"""A Parquet file as a table, or one line that says why it is none; a folder of such files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ms_pfl.files import whole_file
from ms_pfl.registry.ingest.csv_files import UnusableFile

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


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Returns:
        The table; named levels of its index are columns, the first ones. Cells that are no single
        value (bytes, lists, records) are their text.

    Raises:
        UnusableFile: the file cannot be read, or a level of the index is called what a column is.
    """
    try:
        table = pq.read_table(path)
        # Text that is no UTF-8 would only fail where it is first looked at.
        table.validate(full=True)
        frame = table.to_pandas()
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
    source = json.loads((said or {}).get(_SOURCE, b"{}"))
    return dict(source) if source.get("kind") == "synthetic" else {}
