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

    def __init__(self) -> None:
        """Start with the working directory as the project."""
        self._project = Path.cwd()
        self._experiment = ""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember where the project is and what its experiment is called."""
        self._project = Path(context.project_path)
        self._experiment = context.config_loader["parameters"]["tracking"]["experiment"]

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Print what the pipeline that ran is about."""
        from ms_pfl import console

        outputs = pipeline.all_outputs()
        logged = self._experiment if "mlflow_run" in outputs else None
        lost = catalog.get("mlflow_run").recorder.lost if logged else None
        if "table1" in outputs:
            console.show_results(
                *(catalog.load(name) for name in ("table1", "table1_notes", "headline"))
            )
            if lost is not None:
                logged = None
            console.show_places(self._project, logged, report="report" in outputs)
            if lost is not None:
                console.show_lost_record(lost, _recording(run_params))
        elif logged is not None:
            console.show_places(self._project, logged, report=False)
        elif "audit_table" in outputs:
            console.show_audit(catalog.load("audit_table"), self._project)
        elif "new_patients" in outputs:
            console.show_predictions(catalog.load("new_patients_notes"), self._project)
        elif "attrition" in outputs:
            console.show_attrition(catalog.load("attrition"))
            console.show_prevalence(catalog.load("prevalence"))


def _recording(run_params: dict[str, Any]) -> str:
    """The command that records the run that has just ended."""
    return run_command("recording", run_params["env"], run_params["runtime_params"] or {})
