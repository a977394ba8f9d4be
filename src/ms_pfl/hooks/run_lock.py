"""One run at a time in the data folder of a project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from ms_pfl.folder_lock import FolderLock, hold


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
