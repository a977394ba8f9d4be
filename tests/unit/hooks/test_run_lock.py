"""Two runs at a time in one project: the second stops at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from pluggy import PluginManager

from kedro_project import make_project
from ms_pfl.errors import InputError
from ms_pfl.folder_lock import hold
from ms_pfl.hooks.run import RunLock


@pytest.mark.integration
def test_a_second_run_names_the_first_and_leaves_its_files(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    lock = hold(tmp_path / "data", "A kedro run")
    before = sorted((tmp_path / "data").rglob("*"))
    second = project.kedro("run", "--pipeline=synthetic_registry", "--env=smoke")
    assert second.returncode == 1
    said = (second.stdout + second.stderr).strip().splitlines()
    assert len(said) <= 3, said
    assert f"process {os.getpid()}" in " ".join(said)
    assert sorted((tmp_path / "data").rglob("*")) == before
    lock.release()


class _Stops:
    """A hook that stops a run before its first node."""

    @hook_impl
    def before_pipeline_run(self) -> None:
        raise InputError("a parameter")


def test_the_lock_ends_with_the_run_and_is_taken_again(tmp_path: Path) -> None:
    def started(manager: PluginManager) -> None:
        told = {"project_path": str(tmp_path)}
        manager.hook.before_pipeline_run(run_params=told, pipeline=None, catalog=None)

    first, second, stopped = (_create_hook_manager() for _ in range(3))
    for manager in (first, second, stopped):
        manager.register(RunLock())
    stopped.register(_Stops())
    started(first)
    with pytest.raises(InputError, match="runs already"):
        started(second)
    first.hook.after_pipeline_run(run_params={}, run_result={}, pipeline=None, catalog=None)
    started(second)
    second.hook.on_pipeline_error(error=OSError(), run_params={}, pipeline=None, catalog=None)
    with pytest.raises(InputError, match="a parameter"):
        started(stopped)
    started(first)
    started(first)  # of a run of this process of which nobody said that it has ended
