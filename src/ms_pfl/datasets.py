"""Kedro datasets of this project: each a thin door to a domain package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro.io.core import DatasetError


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


class HeartDiseaseEpisodes(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """The four hospitals of UCI Heart Disease as an ``episodes`` table; read-only."""

    def __init__(self, folder: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder that holds the four ``processed.*.data`` files.

        Args:
            folder: the folder, absolute or below the working directory.
            metadata: for Kedro-Viz; unused here.
        """
        self._folder = Path(folder).expanduser()
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read and encode the four files (:func:`ms_pfl.registry.heart_disease.read_episodes`)."""
        from ms_pfl.registry.heart_disease import read_episodes

        return read_episodes(self._folder)

    def save(self, data: pd.DataFrame) -> None:
        """Refuse: the files of the hospitals are read, never written."""
        raise DatasetError(
            "The episodes of --env=heart come from the hospitals' files and are read-only; "
            "run `kedro run --pipeline=modelling --env=heart`, which starts from them."
        )

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}


class MlflowRun(AbstractDataset[dict[str, Any], Any]):
    """The comparison in MLflow: saving writes the child runs below the open parent run."""

    def __init__(self, files: list[str], metadata: dict[str, Any] | None = None) -> None:
        """Make the dataset.

        Args:
            files: of the project, to be kept with the parent run.
            metadata: for Kedro-Viz; unused here.
        """
        self._files = files
        self._parent: tuple[Path, str] | None = None
        self.metadata = metadata

    def open(self, project: Path, run_id: str) -> None:
        """Name the parent run; the hook that opened it calls this before the first node."""
        self._parent = project, run_id

    def save(self, data: dict[str, Any]) -> None:
        """Log ``data``, keyword arguments of :func:`ms_pfl.tracking.runs.log_comparison`."""
        from ms_pfl.tracking.runs import log_comparison

        if self._parent is None:
            raise DatasetError("No MLflow parent run is open: run this inside `kedro run`.")
        project, run_id = self._parent
        files = [project / name for name in self._files]
        log_comparison(run_id, files=files, project_path=project, **data)

    def load(self) -> Any:
        """Refuse: MLflow's own interface reads the store."""
        raise DatasetError("The MLflow store is read with `mlflow ui`, not by a node.")

    def _exists(self) -> bool:
        return False  # each run of the pipeline is a run of its own in MLflow

    def _describe(self) -> dict[str, Any]:
        return {"files": self._files}
