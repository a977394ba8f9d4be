"""A copy of the project for tests that run Kedro as a person does."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

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


def predictions_digests(folder: Path) -> dict[str, str]:
    """sha256 of the content of every predictions table of a project."""
    digests = {}
    for path in sorted((folder / "data/07_model_output").rglob("predictions.parquet")):
        values = pd.util.hash_pandas_object(pd.read_parquet(path), index=True).to_numpy()
        digests[f"{path.parts[-3]}.{path.parts[-2]}"] = hashlib.sha256(values.tobytes()).hexdigest()
    return digests
