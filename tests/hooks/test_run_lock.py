"""Two runs at a time in one project: the second stops at once."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from kedro_project import make_project
from ms_pfl.errors import InputError
from ms_pfl.folder_lock import hold
from ms_pfl.hooks import RunLock


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


def test_the_lock_ends_with_the_run_and_is_taken_again(tmp_path: Path) -> None:
    def started(hook: RunLock) -> None:
        hook.after_context_created(SimpleNamespace(project_path=tmp_path))
        hook.before_pipeline_run({}, None, None)

    first, second = RunLock(), RunLock()
    started(first)
    with pytest.raises(InputError, match="runs already"):
        started(second)
    first.after_pipeline_run()
    started(second)
    second.on_pipeline_error()
    started(first)
    started(first)  # a run of this process that was stopped before its first node
    first.release()
    started(second)
    second.release()
