"""The parent run in MLflow of a `kedro run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from ms_pfl.hooks.run_files import SOURCE

if TYPE_CHECKING:
    from ms_pfl.tracking.recorder import Recorder


class MlflowParent:
    """Open the parent run before the first node and close it as what the run has become.

    Only where the pipeline logs to MLflow at all: other pipelines never import it.
    """

    def __init__(self) -> None:
        """Start without an open run."""
        self._parameters: dict[str, Any] = {}
        self._recorder: Recorder | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember what the run is configured with."""
        self._parameters = dict(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Open the parent run, and hand it to the dataset that logs below it."""
        self._recorder = None
        if "mlflow_run" not in pipeline.outputs():
            return
        from ms_pfl.parameters import plain
        from ms_pfl.tracking.recorder import Recorder

        used = plain(catalog.load("parameters"))
        self._recorder = catalog.get("mlflow_run").recorder = Recorder(
            Path(run_params["project_path"]),
            self._parameters["tracking"],
            ",".join(run_params["pipeline_names"] or ["__default__"]),
            run_params["env"] or "base",
            # with the source of the episodes that the run goes on from
            self._parameters | {name: used[name] for name in sorted(SOURCE)},
            # what the run is for is more than its record, unless it is nothing else
            needed="table1" not in pipeline.all_outputs(),
        )

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The run has done its work, with its record or without."""
        if self._recorder is not None:
            self._recorder.finish()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """The run has failed; what it logged before stays."""
        if self._recorder is not None:
            self._recorder.fail()
