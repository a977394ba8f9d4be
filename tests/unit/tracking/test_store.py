"""Where the store is, in folders of any name."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
from pathlib import Path

import pytest

from ms_pfl import console
from ms_pfl.tracking.store import experiment_id, open_store, tracking_uri


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_plain_folder_stands_for_itself(tmp_path: Path) -> None:
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_store_of_a_folder_with_any_letters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    folder = tmp_path / "a b#c?d=e&f%20g%h 'i' \"é한\" [bold]$HOME `j`;\\k"
    folder.mkdir()
    client = open_store(folder)  # makes it
    number = experiment_id(open_store(folder), folder, "ms_pfl")  # finds it
    run = client.create_run(number)
    client.log_text(run.info.run_id, "found", "note.txt")
    with sqlite3.connect(f"{folder}/mlflow.db") as database:
        names = {name for (name,) in database.execute("SELECT name FROM experiments")}
    assert "ms_pfl" in names
    notes = list(folder.glob("mlruns/**/note.txt"))
    assert [note.read_text() for note in notes] == ["found"]
    assert list(tmp_path.rglob("mlflow.db")) == [folder / "mlflow.db"]

    console.show_places(folder, "ms_pfl", report=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Report    {folder}/data/08_reporting/report.html (open in a browser)"
    command = lines[1].removeprefix("MLflow    ")
    assert shlex.split(command) == ["mlflow", "ui", "--backend-store-uri", tracking_uri(folder)]
    pasted = subprocess.run(
        ["bash", "-c", f"mlflow() {{ printf '%s\\n' \"$@\"; }}; {command}"],
        capture_output=True, text=True, check=True, env=os.environ | {"HOME": "/elsewhere"},
    )  # fmt: skip
    assert pasted.stdout.splitlines() == ["ui", "--backend-store-uri", tracking_uri(folder)]
    assert lines[2].endswith(f"/#/experiments/{number}/runs?workflowType=machine_learning")
