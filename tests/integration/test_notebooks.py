"""Every notebook runs from top to bottom on what the pipelines have made.

The one that compares paradigms needs a whole run: test_smoke_run.py runs it on its own.
"""

from __future__ import annotations

import pytest

from kedro_project import KedroProject, make_project
from notebook_runs import NOTEBOOKS, run_notebook

AFTER_A_RUN = ("02_compare_paradigms.ipynb",)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    project = make_project(tmp_path_factory.mktemp("project"))
    done = project.kedro("run", "--pipelines=synthetic_registry,preprocessing", "--env=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.mark.parametrize(
    "name", sorted({path.name for path in NOTEBOOKS.glob("*.ipynb")} - set(AFTER_A_RUN))
)
def test_notebook_runs(name: str, project: KedroProject) -> None:
    run_notebook(name, project)
