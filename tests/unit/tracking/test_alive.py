"""A run whose process was killed is closed by the next one; one whose process lives is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from ms_pfl.tracking.alive import orphans
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.runs import close_parent, open_parent

SETTINGS = TrackingParameters(experiment="ms_pfl")
CODE = """
import sys
from pathlib import Path
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.runs import open_parent
settings = TrackingParameters(experiment="ms_pfl")
print(open_parent(Path(sys.argv[1]), settings, "pfl", {}, {}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        process.kill()


def test_a_killed_run_is_closed_by_the_next(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    assert other.stdout is not None
    killed = other.stdout.readline().strip()
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")

    def status(run_id: str) -> str:
        return str(client.get_run(run_id).info.status)

    assert orphans(tmp_path) == []
    first = open_parent(tmp_path, SETTINGS, "beside it", {}, {})
    assert [status(killed), status(first)] == ["RUNNING", "RUNNING"]
    other.kill()
    other.wait()
    assert orphans(tmp_path) == [killed]
    second = open_parent(tmp_path, SETTINGS, "after it", {}, {})
    assert [status(run) for run in (killed, first, second)] == ["KILLED", "RUNNING", "RUNNING"]
    assert client.get_run(killed).info.end_time is not None
    for run in (first, second):
        close_parent(run, "FINISHED", project_path=tmp_path)
    assert list((tmp_path / "mlruns/.open").iterdir()) == []
    assert status(first) == "FINISHED"
