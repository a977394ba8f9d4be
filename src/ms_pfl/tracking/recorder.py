"""The record of one `kedro run`: opened before its first step, written once, and closed."""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ms_pfl.errors import InputError
from ms_pfl.failure_log import keep_traceback
from ms_pfl.failures import explain, one_line
from ms_pfl.tracking import runs
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.record import RunRecord
from ms_pfl.tracking.store import store_errors, tracking_uri


class Recorder:
    """The parent run in MLflow and what is logged below it.

    Attributes:
        lost: why the run is not recorded; None: it is, so far.
    """

    def __init__(
        self,
        project: Path,
        settings: Mapping[str, Any],
        pipeline: str,
        env: str,
        params: Mapping[str, Any],
        *,
        needed: bool,
    ) -> None:
        """Open the parent run, which is closed as KILLED where the process ends before its run.

        Args:
            project: the project's folder.
            settings: the ``tracking`` block of the configuration.
            pipeline: name of what runs.
            env: Kedro environment.
            params: the configuration, nested as it is.
            needed: False: a record that cannot be written does not stop the run, whose results are
                there already.

        Raises:
            InputError: the store cannot be used.
        """
        self.lost: str | None = None
        self._project, self._needed = project, needed
        tracking = TrackingParameters.model_validate(settings)
        self._run_id: str | None = runs.open_parent(
            project, tracking, f"{pipeline} ({env})", params, {"pipeline": pipeline, "env": env}
        )
        atexit.register(self.fail, "KILLED")

    def write(self, record: RunRecord, files: Sequence[Path], figures: Path) -> None:
        """Log the comparison.

        Args:
            record: the comparison.
            files: kept with the parent run.
            figures: the folder of the figures, of which the record names those to keep; like
                ``files`` relative to the project.

        Raises:
            InputError: a file is absent or the store fails, where the record is needed.
        """
        assert self._run_id is not None
        kept = {
            "": [self._project / file for file in files],
            "figures": [self._project / figures / f"{name}.png" for name in record.figures],
        }
        try:
            for path in (*kept[""], *kept["figures"]):
                if not path.is_file():
                    raise InputError(
                        f"{path} does not exist; `kedro run --pipeline=reporting`, with the "
                        "settings of the run, makes it and records the run"
                    )
            with store_errors(tracking_uri(self._project)):
                runs.log_comparison(self._run_id, record, kept, project_path=self._project)
        except Exception as error:
            self._lose(error)

    def finish(self) -> None:
        """Close the run as FINISHED, or as FAILED where its record is lost."""
        if self.lost is not None:
            self.fail()
            return
        try:
            self._close("FINISHED")
        except Exception as error:
            self._lose(error)

    def fail(self, status: str = "FAILED") -> None:
        """Close a run that has not finished; where that fails, the next run does it."""
        with suppress(Exception):
            self._close(status)

    def _lose(self, error: Exception) -> None:
        """Raise the error, or keep why the run is not recorded, and the traceback in the log."""
        if self._needed:
            raise error
        keep_traceback(error, self._project)
        self.lost = getattr(error, "cause", None) or explain(error) or one_line(repr(error))

    def _close(self, status: str) -> None:
        if self._run_id is not None:
            run_id, self._run_id = self._run_id, None
            runs.close_parent(run_id, status, project_path=self._project)
