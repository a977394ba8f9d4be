"""Turn an error that the user can fix into one line."""

from __future__ import annotations

from typing import Any

import click
from kedro.framework.hooks import hook_impl

from ms_pfl.errors import InputError


class OneLineErrors:
    """Turn what a person can mend into one line; a defect keeps its traceback."""

    @hook_impl
    def on_pipeline_error(self, error: Exception, catalog: Any) -> None:
        """Raise the readable error in place of the one with the traceback."""
        from ms_pfl.registry.ingest_report import IngestError

        message = readable(error)
        stopped = next((cause for cause in chain(error) if isinstance(cause, IngestError)), None)
        if stopped is not None:
            catalog.save("ingest_report", stopped.report)
            path = getattr(catalog.get("ingest_report"), "_filepath", "the ingest report")
            message = f"{message}. All are listed in {path}"
        if message is not None:
            raise click.ClickException(message) from None


def chain(error: BaseException) -> list[BaseException]:
    """An error and what lies behind it."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return causes


def readable(error: BaseException) -> str | None:
    """The one-line message behind ``error``, or None where it is a defect of the program."""
    from kedro.validation.exceptions import DataValidationError

    causes = chain(error)
    for cause in causes:
        if isinstance(cause, InputError):
            return str(cause)
    for cause in causes:
        if isinstance(cause, DataValidationError):
            return " ".join(str(cause).split())
        if isinstance(cause, FileNotFoundError) and cause.filename:
            return (
                f"{cause.filename} does not exist. Run the pipeline that makes it first: "
                "`kedro run --pipeline=pfl` runs them all in order."
            )
    return None
