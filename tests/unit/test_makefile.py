"""When the Makefile creates the environment; pip, which would fetch gigabytes, is a stand-in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kedro_project import PROJECT

# `python -m venv .venv` leaves a Python that writes down what it is asked to do
PYTHON = f"""#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec "{sys.executable}" "$@"; fi
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$PWD: $*" >> "%s"\\n' "$PWD/calls.txt" > "$3/bin/python"
chmod +x "$3/bin/python"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return folder


def make_environment(folder: Path) -> list[str]:
    """Run `make environment`; what pip was asked to do."""
    calls = folder / "calls.txt"
    calls.unlink(missing_ok=True)
    subprocess.run(
        ["make", "environment", f"PYTHON={folder.parent / 'python'}"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return calls.read_text().splitlines() if calls.exists() else []


def test_the_environment_is_created_once(checkout: Path) -> None:
    first = make_environment(checkout)
    assert len(first) == 2
    assert first[0].startswith(f"{checkout}: -m pip install ")
    assert first[0].endswith(" -r requirements.lock")
    assert make_environment(checkout) == []
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert len(make_environment(checkout)) == 2


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_a_folder_elsewhere_gets_its_own(checkout: Path, how: str) -> None:
    make_environment(checkout)
    other = checkout.parent / "elsewhere"
    if how == "copied":
        shutil.copytree(checkout, other)
    else:
        checkout.rename(other)
    calls = make_environment(other)
    assert len(calls) == 2
    assert calls[1].startswith(f"{other}: -m pip install ")
    assert "--editable ." in calls[1]
