"""What surrounds a `kedro run`: its lock, its record in MLflow, and its last lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from ms_pfl.command_line import run_command
from ms_pfl.folder_lock import FolderLock, hold
from ms_pfl.hooks.run_files import SOURCE

if TYPE_CHECKING:
    from ms_pfl.tracking.runs import Recorder


class RunLock:
    """Hold the project's data folder from before the first node until the run has ended.

    A process that ends in any other way gives the lock back with its end.
    """

    def __init__(self) -> None:
        """Start without a lock."""
        self._lock = FolderLock()

    @hook_impl(wrapper=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> Iterator[None]:
        """Take the lock before any other hook, and give it back where one stops the run.

        Raises:
            InputError: another run has it; the message names its process and when it started.
        """
        self._lock.release()  # of a run of this process of which nobody said that it has ended
        self._lock = hold(
            Path(run_params["project_path"]) / "data",
            "A kedro run",
            "end that process, or run in a copy of the project",
        )
        try:
            yield
        except BaseException:
            self._lock.release()
            raise

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Give the lock back before the error is reworded."""
        self._lock.release()


class MlflowParent:
    """Open the parent run before the first node and close it as what the run has become.

    Only where the pipeline logs to MLflow at all: other pipelines never import it.
    """

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember what the run is configured with."""
        self._parameters: dict[str, Any] = dict(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Open the parent run, and hand it to the dataset that logs below it."""
        self._recorder: Recorder | None = None
        if "mlflow_run" not in pipeline.outputs():
            return
        from ms_pfl.parameters import plain
        from ms_pfl.tracking.runs import Recorder

        used = plain(catalog.load("parameters"))
        pipelines = ",".join(run_params["pipeline_names"] or ["__default__"])
        given = run_params["runtime_params"] or {}
        self._recorder = catalog.get("mlflow_run").recorder = Recorder(
            Path(run_params["project_path"]),
            self._parameters["tracking"],
            pipelines,
            run_params["env"] or "base",
            # with the source of the episodes that the run goes on from
            self._parameters | {name: used[name] for name in sorted(SOURCE)},
            command=run_command(pipelines, run_params["env"], given),
            # what the run is for is more than its record, unless it is nothing else
            needed="table1" not in pipeline.all_outputs(),
        )

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close a run that has done its work, with its record or without."""
        if self._recorder is not None:
            self._recorder.finish()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close a run that has failed; what it logged before stays."""
        if self._recorder is not None:
            self._recorder.fail()


class FinishedRun:
    """A run that has ended well leaves nothing for a later one to go on from."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Any, catalog: Any) -> None:
        """Remove what its trainings kept."""
        if "unfinished" in pipeline.inputs():
            catalog.get("unfinished").finish()


class RunSummary:
    """The last lines of a run: Table 1, and where the rest lies."""

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Print what the pipeline that ran is about."""
        from ms_pfl import console

        project = Path(run_params["project_path"])
        outputs = pipeline.all_outputs()
        experiment = lost = None
        if "mlflow_run" in outputs:
            experiment = catalog.get("params:tracking.experiment").load()
            lost = catalog.get("mlflow_run").recorder.lost
        if "table1" in outputs:
            console.show_results(
                *(catalog.load(name) for name in ("table1", "table1_notes", "headline"))
            )
            recorded = experiment if lost is None else None
            console.show_places(project, recorded, report="report" in outputs)
            if lost is not None:
                given = run_params["runtime_params"] or {}
                console.show_lost_record(lost, run_command("recording", run_params["env"], given))
        elif experiment is not None:
            console.show_places(project, experiment, report=False)
        elif "audit_table" in outputs:
            console.show_audit(catalog.load("audit_table"), project)
        elif "new_patients" in outputs:
            console.show_predictions(catalog.load("new_patients_notes"), project)
        elif "attrition" in outputs:
            console.show_attrition(catalog.load("attrition"))
            console.show_prevalence(catalog.load("prevalence"))
