"""Folders as Kedro datasets: each a thin door to a domain package."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from ms_pfl.files import whole_file

if TYPE_CHECKING:
    from ms_pfl.training.resume import UnfinishedTrainings


class RegistryFolder(AbstractDataset[dict[str, pd.DataFrame], Path]):
    """A folder of registry tables, one Parquet file per table.

    Saving writes the tables of the mapping (all of them or none) and nothing where the mapping is
    empty. Loading gives the folder's path and reads nothing, so that
    the step which chooses between this folder and somebody's own can run before anything is here.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: the folder; made at the first save.
            metadata: for Kedro-Viz; unused here.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder's path, whether or not it exists."""
        return self._filepath

    def save(self, data: dict[str, pd.DataFrame]) -> None:
        """Write each table to ``<folder>/<name>.parquet``."""
        with ExitStack() as files:  # which take their places when all are written
            for name, table in data.items():
                part = files.enter_context(whole_file(self._filepath / f"{name}.parquet"))
                table.to_parquet(part, index=False)

    def _exists(self) -> bool:
        return any(self._filepath.glob("[!.]*.parquet"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class EarlierEpisodes(AbstractDataset[Path, Path]):
    """The episodes table that an earlier run left; read-only.

    Loading gives its path and reads nothing, so that the step which chooses between it and
    somebody's own table can run before anything is there.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file.

        Args:
            filepath: of the dataset ``episodes``.
            metadata: for Kedro-Viz; unused here.
        """
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The file's path, whether or not it exists."""
        return self._path

    def save(self, data: Path) -> None:
        """Refuse: the table is written as the dataset ``episodes``."""
        raise DatasetError("The episodes table is written as `episodes`.")

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class PredictorFolder(AbstractDataset[Any, Path]):
    """The folder of a predictor.

    Loading gives its path and reads nothing: :func:`ms_pfl.prediction.predictor.read_predictor`
    checks what is there. Saving a :class:`ms_pfl.prediction.making.Made` without a predictor
    removes the folder, so that none of an earlier run stays.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: the folder; made anew at each save.
            metadata: for Kedro-Viz; unused here.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder's path, whether or not it exists."""
        return self._filepath

    def save(self, data: Any) -> None:
        """Write ``data.predictor``, or remove what is there where it is None."""
        from ms_pfl.prediction.predictor import write_predictor

        if data.predictor is None:
            shutil.rmtree(self._filepath, ignore_errors=True)
        else:
            write_predictor(data.predictor, self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / "predictor.json").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class Unfinished(AbstractDataset[Any, Any]):
    """The folder of trainings that a run has not finished yet.

    Loading gives the one :class:`ms_pfl.training.resume.UnfinishedTrainings` of this run. The
    hook that sees the run end well calls :meth:`finish`.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: the folder; made when something is kept.
            metadata: for Kedro-Viz; unused here.
        """
        self._path = Path(filepath)
        self._trainings: UnfinishedTrainings | None = None
        self.metadata = metadata

    def load(self) -> UnfinishedTrainings:
        """What trainings keep until the run is finished."""
        from ms_pfl.training.resume import UnfinishedTrainings

        if self._trainings is None:
            self._trainings = UnfinishedTrainings(self._path)
        return self._trainings

    def save(self, data: Any) -> None:
        """Refuse: trainings write into the folder themselves."""
        raise DatasetError("Trainings keep what they came to by themselves.")

    def finish(self) -> None:
        """Remove what the trainings of this run kept, so that no later run uses it."""
        if self._trainings is not None:
            self._trainings.finish()

    def _exists(self) -> bool:
        return True  # an empty folder is as good as none

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
