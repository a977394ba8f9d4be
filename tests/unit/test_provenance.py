"""Digests tell every change of the source and of the data, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from ms_pfl.provenance import data_digest, git_commit, source_digest


def test_the_source_is_that_of_all_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    monkeypatch.setattr("ms_pfl.__path__", [str(tmp_path)])
    found = []
    for content in ("x = 1\n", "x = 1\n", "x = 2\n"):
        (tmp_path / "room/a.py").write_text(content)
        source_digest.cache_clear()
        found.append(source_digest())
    source_digest.cache_clear()
    assert found[0] == found[1] != found[2]


def test_the_digest_of_the_data_minds_values_and_not_their_order() -> None:
    table = pd.DataFrame({"episode_id": ["a", "b"], "country": ["X", "Y"], "edss": [1.5, None]})
    assert data_digest(table) == data_digest(table.iloc[::-1])
    assert len(data_digest(table)) == 32
    changed = [
        table.assign(edss=[1.5, 2.0]),
        table.assign(country=["X", "X"]),
        table.rename(columns={"edss": "EDSS"}),
        table.iloc[:1],
    ]
    assert len({data_digest(table), *map(data_digest, changed)}) == 5


def test_the_commit_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    assert git_commit(tmp_path) is None

    def git(*words: str) -> str:
        own = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *own, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    assert git_commit(tmp_path) is None, "it has no commit yet"
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None, "git is not installed"
