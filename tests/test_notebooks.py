"""Every notebook runs from top to bottom on what the pipelines have made."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from kedro_project import PROJECT, KedroProject, make_project

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    project = make_project(tmp_path_factory.mktemp("project"))
    done = project.kedro("run", "--pipelines=synthetic_registry,preprocessing", "--env=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(PROJECT / "notebooks", project.folder / "notebooks")
    return project


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, project: KedroProject) -> None:
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in codes), (
        "clear the outputs: a notebook is kept without what a run of it found"
    )
    folder = str(project.folder / "notebooks")
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": folder}}).execute()
    outputs = [output for cell in codes for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "SYNTHETIC DATA" in said
    assert "warning" not in said.lower()
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
