"""A run whose MLflow store goes away ends well, and is recorded afterwards by one command."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from failing_runs import contents, run_tiny, tiny_project
from kedro_project import KedroProject, said
from mlflow_server import free_port, mlflow_server
from ms_pfl.tracking import runs
from ms_pfl.tracking.store import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    """A project with a finished run."""
    made = tiny_project(tmp_path_factory.mktemp("project"))
    done = run_tiny(made, "--pipeline=pfl")
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture(autouse=True)
def store_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", *PATIENCE):
        monkeypatch.delenv(name, raising=False)


def before_logging(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something when all is trained and reported, just before the record is written."""
    log = runs.log_comparison

    def act_and_log(*arguments: Any, **more: Any) -> list[str]:
        action()
        return log(*arguments, **more)

    monkeypatch.setattr(runs, "log_comparison", act_and_log)


def recorded(uri: str) -> list[tuple[str, str]]:
    """Pipeline and status of the parent runs, the latest first."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("ms_pfl")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    return [
        (run.data.tags["pipeline"], run.info.status)
        for run in found
        if "mlflow.parentRunId" not in run.data.tags
    ]


def assert_ended_well_without_a_record(project: KedroProject, output: str) -> str:
    """Table 1 and the report are there; the one line gives the command that records later."""
    assert "Table 1" in output
    assert f"{project.folder}/data/08_reporting/report.html" in output
    (line,) = [line for line in output.splitlines() if "not recorded" in line]
    assert "Traceback" not in output
    assert (project.folder / "failure.log").is_file()
    command = line.partition("record it later with: ")[2]
    assert command.startswith("kedro run --pipeline=recording --env=tiny")
    return command


def test_a_server_that_goes_away_costs_the_record_and_not_the_run(
    project: KedroProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with mlflow_server(tmp_path / "server", port) as server, monkeypatch.context() as patched:
        before_logging(patched, server.stop)
        done = run_tiny(project, "--pipeline=reporting", "--params=seeds=[0]")
    assert done.exit_code == 0, done.output
    command = assert_ended_well_without_a_record(project, done.output)
    assert "nobody answers there" in done.output
    # while it is away, the command fails in one line, and so does every run, before it trains
    before = contents(project.folder / "data")
    words = [word for word in shlex.split(command)[2:] if word != "--env=tiny"]
    assert "nobody answers there; start the server" in said(run_tiny(project, *words))
    assert "nobody answers there; start the server" in said(run_tiny(project, "--pipeline=pfl"))
    assert contents(project.folder / "data") == before
    with mlflow_server(tmp_path / "server", port) as server:
        done = run_tiny(project, *words)
        assert done.exit_code == 0, done.output
        assert recorded(server.address) == [("recording", "FINISHED"), ("reporting", "KILLED")]
        client = MlflowClient(server.address)
        experiment = client.get_experiment_by_name("ms_pfl").experiment_id
        children = client.search_runs([experiment], "tags.paradigm != ''", max_results=100)
        assert len(children) == 17 + 10
        (parent,) = client.search_runs([experiment], "tags.pipeline = 'recording'")
        kept = {item.path for item in client.list_artifacts(parent.info.run_id)}
        assert kept == {"figures", "report.html", "tables"}


def test_a_database_that_is_held_by_another_program(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{project.folder}/mlflow.db"
    with (
        closing(sqlite3.connect(project.folder / "mlflow.db")) as holder,
        monkeypatch.context() as patched,
    ):
        before_logging(patched, lambda: holder.execute("BEGIN EXCLUSIVE"))
        done = run_tiny(project, "--pipeline=reporting")
    assert done.exit_code == 0, done.output
    command = assert_ended_well_without_a_record(project, done.output)
    assert "another program is writing to it" in done.output
    assert command == "kedro run --pipeline=recording --env=tiny"
    done = run_tiny(project, "--pipeline=recording")
    assert done.exit_code == 0, done.output
    assert recorded(uri)[:2] == [("recording", "FINISHED"), ("reporting", "KILLED")]


def test_a_folder_of_files_that_cannot_be_written(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = project.folder / "mlruns"

    def move_away() -> None:
        files.rename(project.folder / "moved")
        files.write_text("a file in its place")

    with monkeypatch.context() as patched:
        before_logging(patched, move_away)
        done = run_tiny(project, "--pipeline=reporting")
    assert done.exit_code == 0, done.output
    assert_ended_well_without_a_record(project, done.output)
    files.unlink()
    (project.folder / "moved").rename(files)
    done = run_tiny(project, "--pipeline=recording")
    assert done.exit_code == 0, done.output
    assert recorded(f"sqlite:///{project.folder}/mlflow.db")[0] == ("recording", "FINISHED")


def test_a_project_that_was_moved_is_one_line_in_a_process_of_its_own(
    project: KedroProject, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    project.folder.rename(moved)
    try:
        done = KedroProject(moved).kedro("run", "--env=tiny")
        assert done.returncode == 1
        assert len((done.stdout + done.stderr).splitlines()) == 1, done.stdout + done.stderr
        assert done.stderr.startswith("Error: mlflow.db: experiment 'ms_pfl' keeps its files in ")
    finally:
        moved.rename(project.folder)
