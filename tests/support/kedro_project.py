"""A copy of the project for tests that run Kedro as a person does."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from click.testing import CliRunner, Result

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class KedroProject:
    """A copy of the project's configuration beside its code, so that runs touch no one's data."""

    folder: Path

    def kedro(self, *arguments: str, timeout: float = 1100) -> subprocess.CompletedProcess[str]:
        """`kedro <arguments>` in a process of its own, with what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "kedro", *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip


def make_project(folder: Path) -> KedroProject:
    """Copy the project, without its data, into an empty folder."""
    shutil.copytree(PROJECT / "conf", folder / "conf")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    shutil.copy(PROJECT / ".telemetry", folder)
    shutil.copytree(
        PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return KedroProject(folder)


@contextmanager
def inside(project: KedroProject) -> Iterator[None]:
    """This process in the folder of a project, whose pipelines can be run; then as before."""
    from kedro.framework.startup import bootstrap_project

    before, path = Path.cwd(), os.environ.get("PYTHONPATH")
    modules = list(sys.path)
    os.chdir(project.folder)
    try:
        bootstrap_project(project.folder)
        yield
    finally:
        os.chdir(before)
        sys.path[:] = modules
        if path is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = path


def run_here(project: KedroProject, *arguments: str) -> Result:
    """`kedro run <arguments>` in this process, with what it printed and its end."""
    from ms_pfl import cli

    with inside(project):
        return CliRunner().invoke(cli.run, list(arguments))


def said(result: Result) -> str:
    """What a failed run said at its end: three lines at most, no traceback."""
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("Error: "))
    assert len(lines) - begin <= 3, result.output
    assert "Traceback (most" not in result.output
    return lines[begin].removeprefix("Error: ")


def predictions_digests(folder: Path) -> dict[str, str]:
    """sha256 of the content of every predictions table of a project."""
    digests = {}
    for path in sorted((folder / "data/07_model_output").rglob("predictions.parquet")):
        values = pd.util.hash_pandas_object(pd.read_parquet(path), index=True).to_numpy()
        digests[f"{path.parts[-3]}.{path.parts[-2]}"] = hashlib.sha256(values.tobytes()).hexdigest()
    return digests
