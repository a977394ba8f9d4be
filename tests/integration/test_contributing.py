"""The example of CONTRIBUTING.md, followed word by word in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from kedro_project import PROJECT

_COPIED = ("conf", "src", "tests", "pyproject.toml", "README.md", ".telemetry")


def _blocks() -> list[tuple[str, str]]:
    """Path and text of the blocks of the example, in their order."""
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    example = text[text.index("## Add a method") : text.index("That is all.")]
    return re.findall(r"`((?:src|tests)/[\w/]+\.py)`[^`]*\n\n```\w+\n(.*?)```", example, re.DOTALL)


def _without_caches(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}


def test_the_example_of_a_method_works(tmp_path: Path) -> None:
    for name in _COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=_without_caches)
        else:
            shutil.copy(source, tmp_path / name)
    (method, code), (table, row), (test, check) = _blocks()
    (tmp_path / method).write_text(code)
    (tmp_path / test).write_text(check)
    rows = (tmp_path / table).read_text()
    end = "    )\n}  # fmt: skip\n_UNKNOWN_COLOR"
    assert rows.count(end) == 1
    (tmp_path / table).write_text(rows.replace(end, row + end))
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "3 passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    python("-m", "ruff", "check", "--config", str(PROJECT / "pyproject.toml"), method, test)
    nodes = python(
        "-c",
        "from ms_pfl.pipeline_registry import register_pipelines as made\n"
        "print(*(node.name for node in made()['further_methods'].nodes))",
    ).split()
    assert "training.private_weights.train_fedavg" in nodes
    assert "training.private_weights.gather_predictions" in nodes
