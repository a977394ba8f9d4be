"""The finished main job that several integration tests look at."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from kedro_project import KedroProject, make_project


@dataclass(frozen=True)
class FinishedRun:
    """A project after `kedro run`, and what the run printed. Tests leave its files as they are."""

    project: KedroProject
    stdout: str
    stderr: str

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.project.folder


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """`kedro run --pipeline=pfl --env=smoke` with two worker processes of Ray.

    It runs once per test run: the process of pytest-xdist that first asks for it runs it, and
    others wait for the lock.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, record = shared / "smoke", shared / "smoke.json"
    with (shared / "smoke.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            folder.mkdir()
            done = make_project(folder).kedro(
                "run", "--pipeline=pfl", "--env=smoke", "--params=ray.num_workers=2"
            )
            record.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    returncode, stdout, stderr = json.loads(record.read_text())
    assert returncode == 0, stdout + stderr
    return FinishedRun(KedroProject(folder), stdout, stderr)
