"""Folders as Kedro datasets: each a thin door to a domain package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

if TYPE_CHECKING:
    from ms_pfl.prediction.making import Made
    from ms_pfl.training.resume import UnfinishedTrainings


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
