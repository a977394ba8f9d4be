"""Kedro's file datasets as this project uses them: each save leaves a whole file or the old one."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.text import TextDataset
from kedro_datasets_experimental.safetensors import SafetensorsDataset

from ms_pfl.files import whole_file

#: What a column of a CSV file may hold besides text.
Kind = Literal["int", "optional int", "float", "bool", "date"]


class _WholeFile:
    """Save to a file beside the one that is named, which then takes its place.

    Mixed in before a dataset of kedro-datasets that writes to ``_get_save_path()``.
    """

    _part: PurePosixPath | None = None

    def save(self, data: Any) -> None:
        """Write the file; where that fails, what was there before stays as it was."""
        with whole_file(Path(self._filepath)) as part:  # type: ignore[attr-defined]
            self._part = PurePosixPath(part)
            try:
                super().save(data)  # type: ignore[misc]
            finally:
                self._part = None

    def _get_save_path(self) -> PurePosixPath:
        return self._part or super()._get_save_path()  # type: ignore[misc]


class ParquetTable(_WholeFile, ParquetDataset):
    """A table as a Parquet file."""


class CsvTable(_WholeFile, CSVDataset):
    """A table as a CSV file, whose columns are text unless they are declared otherwise.

    Names of sites, patients and levels may be ``007``, ``NA``, ``True`` or ``1e5``: read back with
    guessed types, they would be other names or none.
    """

    def __init__(
        self, *, filepath: str, types: dict[str, Kind] | None = None, **settings: Any
    ) -> None:
        """Make the dataset.

        Args:
            filepath: the file.
            types: column -> ``int``, ``optional int`` (an empty cell is NA), ``float`` (an empty
                cell is NaN), ``bool`` or ``date`` (an empty cell is NaT). All other columns are
                text, in which an empty cell is ``""``.
            settings: further arguments of :class:`kedro_datasets.pandas.CSVDataset`.
        """
        kinds = types or {}
        known = {"int": "int64", "optional int": "Int64", "float": "float64", "bool": "bool"}
        dtypes = {name: known[kind] for name, kind in kinds.items() if kind in known}
        may_be_empty = ("optional int", "float", "date")
        load_args = {
            "dtype": defaultdict(lambda: "str", dtypes),
            "keep_default_na": False,
            "na_values": {name: "" for name, kind in kinds.items() if kind in may_be_empty},
            "parse_dates": [name for name, kind in kinds.items() if kind == "date"],
            "date_format": "ISO8601",
        }
        super().__init__(
            filepath=filepath, load_args=load_args, save_args={"index": False}, **settings
        )

    def load(self) -> pd.DataFrame:
        """Read the file."""
        table: pd.DataFrame = super().load()
        # a column of empty cells alone has the unit of seconds
        dates = self._load_args["parse_dates"]
        return table.astype({name: "datetime64[us]" for name in dates if name in table})


class JsonFile(_WholeFile, JSONDataset):
    """An object as a JSON file."""


class TextFile(_WholeFile, TextDataset):
    """A text file."""


class FigureFile(_WholeFile, MatplotlibDataset):
    """A figure of matplotlib as a picture; there is no file where there was nothing to draw."""

    def load(self) -> Path | None:  # type: ignore[override]
        """Return the file."""
        path = Path(self._filepath)
        return path if path.is_file() else None

    def save(self, data: Any) -> None:
        """Write the file, without a warning for each letter that no installed font has.

        Args:
            data: the figure; ``""`` where there is nothing to draw: then there is no file, not even
                of an earlier run.
        """
        from ms_pfl.reporting.figures import without_glyph_warnings

        if data == "":
            Path(self._filepath).unlink(missing_ok=True)
            return
        with without_glyph_warnings():
            super().save(data)


class ArraysFile(SafetensorsDataset):
    """Arrays as a safetensors file."""

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Write the file; where that fails, what was there before stays as it was."""
        from safetensors.numpy import save

        # safetensors' own writing reports a full disk as an error of its format
        with whole_file(Path(self._filepath)) as part:
            part.write_bytes(save(data))
