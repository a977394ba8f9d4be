"""Turn a failure of a node or a dataset into one line."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.hooks import hook_impl
from kedro.io.core import DatasetError

from ms_pfl.failures import chain, explain, one_line


class OneLineErrors:
    """Reword what the user can fix; a defect of the program stays as it is."""

    def __init__(self) -> None:
        """Start with no dataset being loaded."""
        self._loading: str | None = None

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str) -> None:
        """Remember which file may turn out to be missing or damaged."""
        self._loading = dataset_name

    @hook_impl
    def after_dataset_loaded(self) -> None:
        """Note that the file is as it should be."""
        self._loading = None

    @hook_impl
    def on_pipeline_error(self, error: Exception, catalog: Any) -> None:
        """Raise the readable error in place of the other one, which stays its cause."""
        message = _damaged(self._loading, error, catalog) or explain(error)
        if message is not None:
            raise click.ClickException(message + _ingest_report(error, catalog)) from error


def _ingest_report(error: Exception, catalog: Any) -> str:
    """Save what reading the tables has found, where that is what stopped the run."""
    from ms_pfl.registry.ingest.report import IngestError

    stopped = next((cause for cause in chain(error) if isinstance(cause, IngestError)), None)
    if stopped is None:
        return ""
    path = getattr(catalog.get("ingest_report"), "_filepath", "the ingest report")
    try:
        catalog.save("ingest_report", stopped.report)
    except Exception as unsaved:
        return f". The list of all could not be written: {explain(unsaved) or unsaved}"
    return f". All are listed in {path}"


def _damaged(name: str | None, error: Exception, catalog: Any) -> str | None:
    """One line on a file of an earlier step that is missing or damaged."""
    from ms_pfl.pipeline_registry import steps_that_make

    causes = chain(error)
    if name is None or not any(
        isinstance(one, DatasetError) and str(one).startswith("Failed while loading")
        for one in causes
    ):
        return None
    path = getattr(catalog.get(name), "_filepath", name)
    makers = steps_that_make({name})
    if not makers:
        return None
    again = " or ".join(f"`kedro run --pipeline={maker}`" for maker in makers)
    remedy = f"make it with {again} and the settings of this run, then give this command again"
    reasons = [one for one in causes[1:] if not isinstance(one, DatasetError)]
    if not Path(path).exists():
        return f"{path} does not exist; {remedy}"
    if any(
        isinstance(one, MemoryError | ImportError) or (isinstance(one, OSError) and one.errno)
        for one in reasons
    ):
        return None  # the file may be sound: it cannot be reached
    reason = one_line(str(reasons[0]), 120) if reasons else "it cannot be read"
    return f"{path} is damaged or incomplete ({reason}); {remedy}"
