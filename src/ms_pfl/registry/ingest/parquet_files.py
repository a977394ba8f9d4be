"""A Parquet file as a table, or one line that says why it is none. The file is only read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ms_pfl.registry.ingest.csv_files import UnusableFile

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
