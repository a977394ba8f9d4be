"""The parent run in MLflow of a `kedro run`."""

from __future__ import annotations

import atexit
from contextlib import suppress
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from ms_pfl.hooks.run_files import SOURCE


class MlflowParent:
    """Open the parent run before the first node and close it as what the run has become.

    Only where the pipeline logs to MLflow at all: other pipelines never import it.
    """

    def __init__(self) -> None:
        """Start without an open run."""
        self._project = Path.cwd()
        self._parameters: dict[str, Any] = {}
        self._env = "base"
        self._run_id: str | None = None
        self._strict = True

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember where the project is and what the run is configured with."""
        self._project = Path(context.project_path)
        self._env = context.env or "base"
        self._parameters = dict(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Open the parent run and tell the dataset that logs below it."""
        if "mlflow_run" not in pipeline.outputs():
            return
        from ms_pfl.tracking.parameters import TrackingParameters
        from ms_pfl.tracking.runs import open_parent

        names = ",".join(run_params["pipeline_names"] or ["__default__"])
        self._run_id = open_parent(
            self._project,
            TrackingParameters.model_validate(self._parameters["tracking"]),
            run_name=f"{names} ({self._env})",
            params=_as_reported(self._parameters, catalog),
            tags={"pipeline": names, "env": self._env},
        )
        # what the run is for is more than its record, unless it is nothing else
        more = "table1" in pipeline.all_outputs()
        catalog["mlflow_run"].open(self._project, self._run_id, needed=not more)
        self._strict = not more
        atexit.register(self._close_quietly, "KILLED")

    @hook_impl
    def after_pipeline_run(self, pipeline: Any, catalog: Any) -> None:
        """The run has done its work, with its record or without."""
        if self._run_id is None:
            return
        record = catalog.get("mlflow_run")
        if record.lost is not None:
            self._close_quietly("FAILED")
            return
        try:
            self._close("FINISHED")
        except Exception as error:
            if self._strict:
                raise
            record.lose(error)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """The run has failed; what it logged before stays."""
        self._close_quietly("FAILED")

    def _close_quietly(self, status: str) -> None:
        """Close the run; where that fails, the next run does it, and this one ends as it would."""
        with suppress(Exception):
            self._close(status)

    def _close(self, status: str) -> None:
        if self._run_id is not None:
            from ms_pfl.tracking.runs import close_parent

            run_id, self._run_id = self._run_id, None
            close_parent(run_id, status, project_path=self._project)


def _as_reported(parameters: dict[str, Any], catalog: Any) -> dict[str, Any]:
    """Return the parameters with the source of the episodes that the run goes on from."""
    from ms_pfl.parameters import plain

    used = plain(catalog.load("parameters"))
    return {**parameters, **{name: used[name] for name in sorted(SOURCE)}}
