"""The record of a run in MLflow as a Kedro dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

if TYPE_CHECKING:
    from ms_pfl.tracking.record import RunRecord
    from ms_pfl.tracking.runs import Recorder


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
