"""The record of a run in MLflow as a Kedro dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from ms_pfl.errors import InputError
from ms_pfl.failure_log import keep_traceback
from ms_pfl.failures import explain, one_line


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
        self._needed = True
        #: Why the run is not recorded; None: it is, so far.
        self.lost: str | None = None
        self.metadata = metadata

    def open(self, project: Path, run_id: str, *, needed: bool) -> None:
        """Name the parent run; the hook that opened it calls this before the first node.

        Args:
            project: the project's folder.
            run_id: the parent run.
            needed: False: a record that cannot be written does not stop the run, whose results are
                there already; ``lost`` says why.
        """
        self._parent = project, run_id
        self._needed, self.lost = needed, None

    def lose(self, error: Exception) -> None:
        """Keep the reason why the run is not recorded, and the traceback in the log."""
        if self._parent is not None and self.lost is None:
            keep_traceback(error, self._parent[0])
            self.lost = getattr(error, "cause", None) or explain(error) or one_line(repr(error))

    def save(self, data: dict[str, Any]) -> None:
        """Log ``data``: arguments of :func:`ms_pfl.tracking.runs.log_comparison`, and ``figures``.

        ``figures`` are names of files without their ending.
        """
        from ms_pfl.tracking.reach import store_errors
        from ms_pfl.tracking.runs import log_comparison
        from ms_pfl.tracking.store import tracking_uri

        if self._parent is None:
            raise DatasetError("No MLflow parent run is open: run this inside `kedro run`.")
        project, run_id = self._parent
        told = dict(data)
        figures = [project / self._figures / f"{name}.png" for name in told.pop("figures")]
        files = {"": [project / name for name in self._files], "figures": figures}
        try:
            _check(path for paths in files.values() for path in paths)
            with store_errors(tracking_uri(project)):
                log_comparison(run_id, files=files, project_path=project, **told)
        except Exception as error:
            if self._needed:
                raise
            self.lose(error)

    def load(self) -> Any:
        """Refuse: MLflow's own interface reads the store."""
        raise DatasetError("The MLflow store is read with `mlflow ui`, not by a node.")

    def _exists(self) -> bool:
        return False  # each run of the pipeline is a run of its own in MLflow

    def _describe(self) -> dict[str, Any]:
        return {"files": self._files, "figures": self._figures}


def _check(paths: Iterable[Path]) -> None:
    """Stop where a file that belongs to the record is not there."""
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path} does not exist; `kedro run --pipeline=reporting`, with the settings of "
                "the run, makes it and records the run"
            )
