"""The Kedro datasets of this project; ``conf/base/catalog.yml`` names them.

Kedro's file datasets, of which each save leaves a whole file or the old one; and thin doors to a
domain package: folders, and the record of a run in MLflow.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset
from kedro.io.core import DatasetError
from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.text import TextDataset
from kedro_datasets_experimental.safetensors import SafetensorsDataset

from ms_pfl.files import whole_file
from ms_pfl.spreadsheets import neutralized, restored

if TYPE_CHECKING:
    from ms_pfl.prediction.making import Made
    from ms_pfl.tracking.record import RunRecord
    from ms_pfl.tracking.runs import Recorder
    from ms_pfl.training.resume import UnfinishedTrainings

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
    guessed types, they would be other names or none. People open the file with a spreadsheet
    program, which must not take a text for a formula.
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
        kinds = self._kinds = types or {}
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

    def save(self, data: pd.DataFrame) -> None:
        """Write the file, with texts that look like formulas as texts."""
        super().save(neutralized(data))

    def load(self) -> pd.DataFrame:
        """Read the file; its texts are those that were saved."""
        table: pd.DataFrame = restored(super().load())
        # a column of empty cells alone has the unit of seconds
        dates = self._load_args["parse_dates"]
        as_saved = {name: "datetime64[us]" for name in dates if name in table}
        if table.empty:  # pandas does not know that its columns are text
            as_saved |= {str(name): "str" for name in table if name not in self._kinds}
        return table.astype(as_saved)


class JsonFile(_WholeFile, JSONDataset):
    """An object as a JSON file."""


class TextFile(_WholeFile, TextDataset):
    """A text file."""


class FigureFile(_WholeFile, MatplotlibDataset):
    """A figure of matplotlib as a picture; there is no file where there was nothing to draw."""

    def load(self) -> Path | None:
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
        else:
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


class _Place(AbstractDataset[Any, Any]):
    """A file or folder of which loading gives the path and reads nothing.

    So a step that chooses between it and a table of the user can run before anything is there.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the place.

        Args:
            filepath: the file or folder, which may be absent.
            metadata: for Kedro-Viz; unused here.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Any:
        """Return the path, whether or not it exists."""
        return self._filepath

    def save(self, data: Any) -> None:
        """Refuse: what is there is written in another way."""
        raise DatasetError(f"{self._filepath} is not written as this dataset.")

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class RegistryFolder(_Place):
    """A folder of registry tables, one Parquet file per table."""

    def save(self, data: dict[str, Any]) -> None:
        """Write the tables, all or none; nothing where ``data`` is empty.

        Args:
            data: fields of :class:`ms_pfl.registry.ingest.tables.RegistryTables`.
        """
        from ms_pfl.registry.ingest.table_files import write_folder
        from ms_pfl.registry.ingest.tables import RegistryTables

        if data:
            tables = RegistryTables(**data)
            write_folder(tables.frames(), tables.source, self._filepath)

    def _exists(self) -> bool:
        return any(self._filepath.glob("[!.]*.parquet"))


class EarlierFile(_Place):
    """The file that an earlier run left under another dataset's name; read-only."""


class IngestProfiles(AbstractDataset[Any, Any]):
    """The ingest profiles of a folder of conf/: configuration, of which no run is made."""

    def __init__(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            path: of the folder.
            metadata: for Kedro-Viz; unused here.
        """
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> Any:
        """Return all profiles, by name."""
        from ms_pfl.registry.ingest.profiles import read_profiles

        return read_profiles(self._folder)

    def save(self, data: Any) -> None:
        """Refuse: profiles are written by hand."""
        raise DatasetError(f"{self._folder} is configuration, and is not written to.")

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder)}


class PredictorFolder(_Place):
    """The folder of a predictor; :func:`ms_pfl.prediction.predictor.read_predictor` reads it."""

    def save(self, data: Made) -> None:
        """Write ``data.predictor``; where it is None, remove that of an earlier run."""
        from ms_pfl.prediction.predictor import write_predictor

        if data.predictor is None:
            shutil.rmtree(self._filepath, ignore_errors=True)
        else:
            write_predictor(data.predictor, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "predictor.json").is_file()


class Unfinished(_Place):
    """The folder of trainings that a run has not finished yet; trainings write into it themselves.

    The hook that sees the run end well calls :meth:`finish`.
    """

    _trainings: UnfinishedTrainings | None = None

    def load(self) -> UnfinishedTrainings:
        """Return the one :class:`ms_pfl.training.resume.UnfinishedTrainings` of this run."""
        from ms_pfl.training.resume import UnfinishedTrainings

        if self._trainings is None:
            self._trainings = UnfinishedTrainings(self._filepath)
        return self._trainings

    def finish(self) -> None:
        """Remove what the trainings of this run kept, so that no later run uses it."""
        if self._trainings is not None:
            self._trainings.finish()

    def _exists(self) -> bool:
        return True  # an empty folder is as good as none


class MlflowRun(AbstractDataset[Any, Any]):
    """The comparison in MLflow: saving writes the child runs below the open parent run."""

    #: Set by the hook that opens the parent run, before the first node.
    recorder: Recorder | None = None

    def __init__(
        self, files: list[str], figures: str, metadata: dict[str, Any] | None = None
    ) -> None:
        """Make the dataset.

        Args:
            files: to be kept with the parent run.
            figures: the folder of the figures (PNG), of which the data name those to keep.
            metadata: for Kedro-Viz; unused here.
        """
        self._files, self._figures = [Path(file) for file in files], Path(figures)
        self.metadata = metadata

    def save(self, data: RunRecord) -> None:
        """Log the record."""
        if self.recorder is None:
            raise DatasetError("No MLflow parent run is open: run this inside `kedro run`.")
        self.recorder.write(data, self._files, self._figures)

    def load(self) -> Any:
        """Refuse: MLflow's own interface reads the store."""
        raise DatasetError("The MLflow store is read with `mlflow ui`, not by a node.")

    def _exists(self) -> bool:
        return False  # each run of the pipeline is a run of its own in MLflow

    def _describe(self) -> dict[str, Any]:
        return {"files": self._files, "figures": self._figures}
