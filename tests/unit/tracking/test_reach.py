"""Whether the store can be used is found in seconds, with the cause in one line."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from mlflow_server import free_port, mlflow_server
from ms_pfl.tracking.alive import orphans
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.runs import close_parent, open_parent
from ms_pfl.tracking.store import PATIENCE, StoreError, check_store

SETTINGS = TrackingParameters(experiment="x")


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", *PATIENCE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database that MLflow has just made."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    check_store(f"sqlite:///{path}")
    assert list(path.parent.iterdir()) == [path]  # and nothing stays beside it
    return path.read_bytes()


def refused(project: Path, seconds: float = 7) -> str:
    """What is said of a store that cannot be used, within so many seconds."""
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        open_parent(project, SETTINGS, "pfl", {}, {})
    assert time.monotonic() - began < seconds
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_damaged_database_that_is_moved_away_is_made_again(tmp_path: Path) -> None:
    damage(tmp_path / "mlflow.db")
    assert "move it away" in refused(tmp_path)
    (tmp_path / "mlflow.db").unlink()
    run = open_parent(tmp_path, SETTINGS, "pfl", {}, {})
    close_parent(run, "FINISHED", project_path=tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(run).info.status == "FINISHED"


def test_a_project_that_cannot_be_written_to_has_no_half_of_a_database(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.write_text("a file where the folder belongs")
    assert "project" in refused(project)
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute(statement)

    return change


def damage(path: Path) -> None:
    path.write_bytes(b"x" * 5000)


def replace(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("UPDATE alembic_version SET version_num = 'fedcba987654'"),
         "of a newer MLflow than the installed"),
        (changed("UPDATE alembic_version SET version_num = '451aebb31d03'"),
         "of an older MLflow; copy the file, then run `mlflow db upgrade sqlite:///"),
        (changed("DROP TABLE alembic_version"), "made only in part; move it away"),
        (damage, "it is no database; move it away"),
        (replace, "is a folder where a file belongs; move the folder away"),
    ],
)  # fmt: skip
def test_a_database_that_cannot_be_used(
    tmp_path: Path, store: bytes, change: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(store)
    change(path)
    before = path.read_bytes() if path.is_file() else None
    text = refused(tmp_path)
    assert text.startswith(f"MLflow at sqlite:///{path}: ")
    assert words in text
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_database_that_another_program_holds(tmp_path: Path, store: bytes) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(store)
    code = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('BEGIN EXCLUSIVE');"
        "print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "another program is writing to it; end it or wait" in refused(tmp_path, 12)
        process.kill()
    run = open_parent(tmp_path, SETTINGS, "pfl", {}, {})
    close_parent(run, "FINISHED", project_path=tmp_path)


def test_a_folder_of_files_that_cannot_be_made_leaves_no_open_run(
    tmp_path: Path, store: bytes
) -> None:
    (tmp_path / "mlflow.db").write_bytes(store)
    (tmp_path / "mlruns").write_text("a file in its place")
    assert f"{tmp_path}/mlruns" in refused(tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("x")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


@contextmanager
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_is_down_or_silent_is_found_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    text = refused(tmp_path)
    assert text.startswith(f"MLflow at {address}: No connection to 127.0.0.1:")
    assert "nobody answers there; start the server or check MLFLOW_TRACKING_URI" in text
    with silent_server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert "no answer in time" in refused(tmp_path, 15)
    assert list(tmp_path.iterdir()) == []
    assert {name: os.environ.get(name) for name in PATIENCE} == PATIENCE


def test_a_password_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    assert "secret" not in refused(tmp_path)


def test_what_somebody_has_set_for_requests_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with silent_server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert "no answer in time" in refused(tmp_path, 4)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"


@pytest.mark.slow
def test_a_run_whose_server_went_away_is_closed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with mlflow_server(tmp_path / "server", port) as server:
        lost = open_parent(tmp_path, SETTINGS, "pfl", {}, {})
        server.stop()
        with pytest.raises(StoreError, match="nobody answers there"):
            close_parent(lost, "FINISHED", project_path=tmp_path)
    assert orphans(tmp_path) == [lost]
    with mlflow_server(tmp_path / "server", port) as server:
        run = open_parent(tmp_path, SETTINGS, "pfl", {}, {})
        client = MlflowClient(server.address)
        assert client.get_run(lost).info.status == "KILLED"
        close_parent(run, "FINISHED", project_path=tmp_path)
        assert client.get_run(run).info.status == "FINISHED"
    assert orphans(tmp_path) == []
