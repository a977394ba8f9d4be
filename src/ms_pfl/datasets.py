"""Kedro datasets of this project: each a thin door to a domain package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

if TYPE_CHECKING:
    from ms_pfl.paradigms.unfinished import UnfinishedTrainings


class RegistryFolder(AbstractDataset[dict[str, pd.DataFrame], Path]):
    """A folder of registry tables, one Parquet file a table.

    Saving writes the tables of the mapping (each to a temporary file that is then renamed) and
    nothing where the mapping is empty. Loading gives the folder's path and reads nothing, so that
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
        if data:
            self._filepath.mkdir(parents=True, exist_ok=True)
        for name, table in data.items():
            temporary = self._filepath / f".{name}.parquet.part"
            table.to_parquet(temporary, index=False)
            temporary.replace(self._filepath / f"{name}.parquet")

    def _exists(self) -> bool:
        return any(self._filepath.glob("*.parquet"))

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

    Loading gives the one :class:`ms_pfl.paradigms.unfinished.UnfinishedTrainings` of this run. The
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
        from ms_pfl.paradigms.unfinished import UnfinishedTrainings

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


class MlflowRun(AbstractDataset[dict[str, Any], Any]):
    """The comparison in MLflow: saving writes the child runs below the open parent run."""

    def __init__(
        self, files: list[str], figures: str, metadata: dict[str, Any] | None = None
    ) -> None:
        """Make the dataset.

        Args:
            files: of the project, to be kept with the parent run.
            figures: the folder of the figures (PNG), of which the data name those to keep.
            metadata: for Kedro-Viz; unused here.
        """
        self._files = files
        self._figures = figures
        self._parent: tuple[Path, str] | None = None
        self.metadata = metadata

    def open(self, project: Path, run_id: str) -> None:
        """Name the parent run; the hook that opened it calls this before the first node."""
        self._parent = project, run_id

    def save(self, data: dict[str, Any]) -> None:
        """Log ``data``: arguments of :func:`ms_pfl.tracking.runs.log_comparison`, and ``figures``.

        ``figures`` are names of files without their ending.
        """
        from ms_pfl.tracking.runs import log_comparison

        if self._parent is None:
            raise DatasetError("No MLflow parent run is open: run this inside `kedro run`.")
        project, run_id = self._parent
        told = dict(data)
        figures = [project / self._figures / f"{name}.png" for name in told.pop("figures")]
        files = {"": [project / name for name in self._files], "figures": figures}
        log_comparison(run_id, files=files, project_path=project, **told)

    def load(self) -> Any:
        """Refuse: MLflow's own interface reads the store."""
        raise DatasetError("The MLflow store is read with `mlflow ui`, not by a node.")

    def _exists(self) -> bool:
        return False  # each run of the pipeline is a run of its own in MLflow

    def _describe(self) -> dict[str, Any]:
        return {"files": self._files, "figures": self._figures}
