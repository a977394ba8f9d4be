"""Run a notebook inside a project, as the tests of notebooks do."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from kedro_project import PROJECT, KedroProject

NOTEBOOKS = PROJECT / "notebooks"


def run_notebook(name: str, project: KedroProject) -> None:
    """From top to bottom: it shows figures, says that data are synthetic, warns of nothing."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in codes), (
        "clear the outputs: a notebook is kept without what a run of it found"
    )
    folder = project.folder / "notebooks"
    folder.mkdir(exist_ok=True)
    shutil.copy(NOTEBOOKS / name, folder)
    resources = {"metadata": {"path": str(Path(folder))}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = [output for cell in codes for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "SYNTHETIC DATA" in said
    assert "warning" not in said.lower()
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
