"""Compare parameters with their typed models before anything is read or made."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from kedro.framework.hooks import hook_impl
from pydantic import ValidationError


class ParameterCheck:
    """Compare every parameter with the typed models before anything is read or made."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Stop with one line where a parameter is unknown or has a value it cannot have."""
        from ms_pfl.parameters import Parameters, describe

        given = context.config_loader["parameters"]
        try:
            Parameters.model_validate(given)
        except ValidationError as error:
            raise click.ClickException(describe(error)) from None
        self._parameters: dict[str, Any] = given

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
        for path in _written(pipeline.all_outputs() - {"synthetic_registry"}, catalog):
            if folder in path.parents or path in own:
                raise click.ClickException(
                    f"Parameter 'registry_folder' = {folder}: this run writes {path} there; copy "
                    "your own tables to a folder of their own and name that"
                )

    def _check_own_episodes(self, given: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Stop where a table of episodes would be passed over, or written to."""
        own = self._parameters
        inputs = pipeline.inputs()
        reads = "params:episodes_file" in inputs
        from_registry = "episodes" in pipeline.all_outputs()
        file_given = own["episodes_file"] is not None
        hospitals_given = own["heart_folder"] is not None
        for refused, message in [
            (
                "episodes_file" in given and given["episodes_file"] is None,
                "Parameter 'episodes_file' is empty; name the file of your own episodes, or leave "
                "the parameter out to go on from those of an earlier run",
            ),
            *(
                (
                    own[name] is not None
                    and f"params:{name}" not in inputs
                    and (name in given or from_registry),
                    f"Parameter '{name}' = {own[name]}: this run does not read it; an episodes "
                    "table of your own is read by `kedro run --pipeline=modelling`",
                )
                for name in ("episodes_file", "heart_folder")
            ),
            (
                "own_episodes" in given and not (reads and (file_given or hospitals_given)),
                "Parameter 'own_episodes' has no effect in this run, which reads no table of your "
                "own; name one with --params=episodes_file=FILE and --pipeline=modelling",
            ),
            (
                "heart_rows" in given and not (reads and hospitals_given and not file_given),
                "Parameter 'heart_rows' has no effect in this run, which does not read the four "
                "hospitals; they are read by `kedro run --pipeline=modelling --env=heart`",
            ),
            (
                given.get("heart_folder") is not None and file_given,
                "Parameters 'episodes_file' and 'heart_folder' name two tables; give one of them",
            ),
        ]:
            if refused:
                raise click.ClickException(message)
        file = Path(own["episodes_file"] or "").expanduser().resolve()
        if file_given and file in _written(pipeline.all_outputs(), catalog):
            raise click.ClickException(
                f"Parameter 'episodes_file' = {file}: this run writes that file; leave the "
                "parameter out to go on from the episodes of an earlier run, or copy the file"
            )


def _written(datasets: Iterable[str], catalog: Any) -> list[Path]:
    """Return the files of some datasets, those in memory left out."""
    paths = [getattr(catalog.get(name), "_filepath", None) for name in sorted(datasets)]
    return [Path(path).resolve() for path in paths if path is not None]
