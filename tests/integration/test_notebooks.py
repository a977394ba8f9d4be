"""Every notebook runs from top to bottom on what the main job has made."""

from __future__ import annotations

import pytest

from notebook_runs import NOTEBOOKS, run_notebook
from smoke_fixtures import FinishedRun


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_notebook_runs(name: str, smoke_run: FinishedRun) -> None:
    run_notebook(name, smoke_run.project)
