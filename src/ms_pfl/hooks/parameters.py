"""Compare parameters with their typed models before anything is read or made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from kedro.framework.hooks import hook_impl
from pydantic import ValidationError

from ms_pfl.configuration import describe


class ParameterCheck:
    """Compare every parameter with the typed models before anything is read or made."""

    def __init__(self) -> None:
        """Start without parameters."""
        self._parameters: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Stop with one line where a parameter is unknown or has a value it cannot have."""
        from ms_pfl.parameters import MOVED, Parameters

        given = context.config_loader["parameters"]
        try:
            Parameters.model_validate(given)
        except ValidationError as error:
            raise click.ClickException(describe(error, Parameters, MOVED)) from None
        self._parameters = given

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Stop where own tables would be passed over, or lie where the run writes to."""
        given = run_params["runtime_params"] or {}
        self._check_own_episodes(given, pipeline, catalog)
        if self._parameters["registry_folder"] is None:
            if "registry_folder" in given:
                raise click.ClickException(
                    "Parameter 'registry_folder' is empty; name the folder of your own tables, or "
                    "leave the parameter out for the synthetic registry"
                )
            return
        folder = Path(self._parameters["registry_folder"]).expanduser().resolve()
        # their tables may be links to files elsewhere
        own = {file.resolve() for file in folder.glob("*")}
        # where tables are given nothing is simulated, so nothing goes to the generator's folder
        for name in sorted(pipeline.all_outputs() - {"synthetic_registry"}):
            written = getattr(catalog.get(name), "_filepath", None)
            if written is None:
                continue
            path = Path(written).resolve()
            if folder in path.parents or path in own:
                raise click.ClickException(
                    f"Parameter 'registry_folder' = {folder}: this run writes {path} there; copy "
                    "your own tables to a folder of their own and name that"
                )

    def _check_own_episodes(self, given: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Stop where a table of episodes would be passed over, or written to."""
        if "episodes_file" in given and given["episodes_file"] is None:
            raise click.ClickException(
                "Parameter 'episodes_file' is empty; name the file of your own episodes, or leave "
                "the parameter out to go on from those of an earlier run"
            )
        from_registry = "episodes" in pipeline.all_outputs()
        for name in ("episodes_file", "heart_folder"):
            value = self._parameters.get(name)
            passed_over = value is not None and f"params:{name}" not in pipeline.inputs()
            if passed_over and (name in given or from_registry):
                raise click.ClickException(
                    f"Parameter '{name}' = {value}: this run does not read it; an episodes table "
                    "of your own is read by `kedro run --pipeline=modelling`"
                )
        reads = "params:episodes_file" in pipeline.inputs()
        file_given, hospitals_given = (
            self._parameters[name] is not None for name in ("episodes_file", "heart_folder")
        )
        if "own_episodes" in given and not (reads and (file_given or hospitals_given)):
            raise click.ClickException(
                "Parameter 'own_episodes' has no effect in this run, which reads no table of your "
                "own; name one with --params=episodes_file=FILE and --pipeline=modelling"
            )
        if "heart_rows" in given and not (reads and hospitals_given and not file_given):
            raise click.ClickException(
                "Parameter 'heart_rows' has no effect in this run, which does not read the four "
                "hospitals; they are read by `kedro run --pipeline=modelling --env=heart`"
            )
        if given.get("heart_folder") is not None and file_given:
            raise click.ClickException(
                "Parameters 'episodes_file' and 'heart_folder' name two tables; give one of them"
            )
        if not file_given:
            return
        file = Path(self._parameters["episodes_file"]).expanduser().resolve()
        for name in sorted(pipeline.all_outputs()):
            written = getattr(catalog.get(name), "_filepath", None)
            if written is not None and Path(written).resolve() == file:
                raise click.ClickException(
                    f"Parameter 'episodes_file' = {file}: this run writes that file; leave the "
                    "parameter out to go on from the episodes of an earlier run, or copy the file"
                )
