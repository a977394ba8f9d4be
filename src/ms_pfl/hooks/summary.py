"""What a `kedro run` prints and removes when it has ended well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from ms_pfl.command_line import run_command


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
                again = run_command("recording", run_params["env"], given)
                console.show_lost_record(lost, again)
        elif experiment is not None:
            console.show_places(project, experiment, report=False)
        elif "audit_table" in outputs:
            console.show_audit(catalog.load("audit_table"), project)
        elif "new_patients" in outputs:
            console.show_predictions(catalog.load("new_patients_notes"), project)
        elif "attrition" in outputs:
            console.show_attrition(catalog.load("attrition"))
            console.show_prevalence(catalog.load("prevalence"))
