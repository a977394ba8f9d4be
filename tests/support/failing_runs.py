"""A tiny project whose runs are made to fail, and what is compared before and after."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from kedro_project import KedroProject, make_project, run_here

TINY = """
seeds: [0]
synthetic_registry: {n_patients: 520}
ray: {num_workers: 0}
training:
  network: {width: 8}
  optimizer: {batch_size: 64, learning_rate: 2.0e-3}
  centralized: {epochs: 2, patience: 2, batch_size: 64}
  local: {epochs: 2, patience: 2}
  federation: {rounds: 2, patience: 2}
  fine_tuned: {epochs: 1, patience: 1}
comparison: {replicates: 100}
attribution: {repeats: 1}
"""


def tiny_project(folder: Path) -> KedroProject:
    """A copy of the project with an environment ``tiny``."""
    made = make_project(folder)
    (folder / "conf/tiny").mkdir()
    (folder / "conf/tiny/parameters.yml").write_text(TINY)
    return made


def run_tiny(project: KedroProject, *arguments: str) -> Result:
    """`kedro run --env=tiny <arguments>` in this process, with what it printed and its end."""
    return run_here(project, "--env=tiny", *arguments)


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def small_disk(folder: Path, kilobytes: int, options: str = "") -> Iterator[None]:
    """A file system of its own, with what the folder holds, in the place of a folder."""
    kept = folder.with_name(f"{folder.name}.kept")
    folder.rename(kept)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("file systems cannot be mounted here")
        try:
            subprocess.run(["cp", "-a", f"{kept}/.", str(folder)], check=True)
            if options:
                again = ["mount", "-o", f"remount,{options}", str(folder)]
                subprocess.run(again, check=True)
            yield
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()
        kept.rename(folder)
