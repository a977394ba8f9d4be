"""A run's record: opened, written once, closed as what the run has become."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from model_examples import one_history, two_fits
from ms_pfl.errors import InputError
from ms_pfl.provenance import source_digest
from ms_pfl.tracking.record import RunRecord
from ms_pfl.tracking.runs import Recorder

RECORD = RunRecord(two_fits(), one_history(), figures=["forest"])
FILES, FIGURES = [Path("report.html")], Path("figures")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose report and figure are there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "report.html").write_text("<p>report</p>")
    (tmp_path / FIGURES).mkdir()
    (tmp_path / FIGURES / "forest.png").write_bytes(b"png")
    return tmp_path


def opened(project: Path, *, needed: bool = True) -> Recorder:
    params = {"ray": {"num_workers": 2}}
    command = "kedro run --pipeline=pfl --env=smoke"
    return Recorder(
        project, {"experiment": "x"}, "pfl", "smoke", params, command=command, needed=needed
    )


def parent(project: Path) -> Run:
    client = MlflowClient(f"sqlite:///{project.as_posix()}/mlflow.db")
    experiment = client.get_experiment_by_name("x").experiment_id
    (found,) = client.search_runs([experiment], "tags.pipeline != ''")
    return found


def test_a_finished_run_is_named_tagged_and_has_its_files(project: Path) -> None:
    recorder = opened(project)
    recorder.write(RECORD, FILES, FIGURES)
    recorder.finish()
    run = parent(project)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "pfl (smoke)")
    assert (run.data.tags["pipeline"], run.data.tags["env"]) == ("pfl", "smoke")
    assert run.data.tags["mlflow.source.name"] == "kedro run --pipeline=pfl --env=smoke"
    assert run.data.tags["mlflow.source.type"] == "LOCAL"
    assert run.data.tags["source_digest"] == source_digest()
    assert "mlflow.source.git.commit" not in run.data.tags, "the folder is in no repository"
    assert run.data.params == {"ray.num_workers": "2"}
    artifacts = project / "mlruns" / run.info.run_id / "artifacts"
    kept = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*.*")}
    assert kept == {"report.html", "figures/forest.png"}
    recorder.fail("KILLED")  # the end of the process changes nothing any more
    assert parent(project).info.status == "FINISHED"


def test_a_file_that_is_absent_stops_a_run_that_is_its_record(project: Path) -> None:
    (project / FIGURES / "forest.png").unlink()
    recorder = opened(project)
    with pytest.raises(InputError, match=r"forest\.png does not exist; .*--pipeline=reporting"):
        recorder.write(RECORD, FILES, FIGURES)
    recorder.fail()
    assert parent(project).info.status == "FAILED"


def test_a_lost_record_does_not_stop_a_run_that_is_more(project: Path) -> None:
    (project / FIGURES / "forest.png").unlink()
    recorder = opened(project, needed=False)
    recorder.write(RECORD, FILES, FIGURES)
    assert "forest.png does not exist" in str(recorder.lost)
    recorder.finish()
    assert parent(project).info.status == "FAILED"
    assert "forest.png" in (project / "failure.log").read_text()
