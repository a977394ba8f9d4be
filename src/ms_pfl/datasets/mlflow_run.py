"""The record of a run in MLflow as a Kedro dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError


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
