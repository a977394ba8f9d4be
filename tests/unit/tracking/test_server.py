"""A tracking server in a process of its own, and a project run from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from mlflow_server import mlflow_server
from model_examples import CODE, EXAMPLE, one_history, two_fits
from ms_pfl.tracking.models import ModelToLog
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.record import RunRecord, describe_data
from ms_pfl.tracking.runs import close_parent, log_comparison, open_parent
from ms_pfl.tracking.store import runs_page

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with mlflow_server(tmp_path / "server") as one:
        yield one.address


@pytest.mark.slow
def test_everything_goes_to_a_server(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    project = tmp_path / "project"
    project.mkdir()
    report = project / "report.html"
    report.write_text("<p>report</p>")
    episodes = pd.DataFrame(
        {"episode_id": ["e"], "patient_id": ["p"], "country": ["A"], "label": [1], "x": [0.5]}
    )
    splits = pd.DataFrame({"patient_id": ["p"], "country": ["A"], "seed": [0], "split": ["train"]})
    run_id = open_parent(project, TrackingParameters(experiment="x"), "pfl", {"a": 1}, {})
    arrays = {"A": np.array([1.0]), "B": np.array([0.5])}
    record = RunRecord(
        two_fits(),
        one_history(),
        {"table1": pd.DataFrame({"Model": ["Local"]})},
        data=describe_data(episodes, splits, "simulated"),
        models=[ModelToLog("fine_tuned", "fedavg", 0, arrays, {"features": ["x", "y"]}, CODE)],
        example=EXAMPLE,
    )
    files = {"": [report], "figures": [report]}
    children = log_comparison(run_id, record, files, project_path=project)
    close_parent(run_id, "FINISHED", project_path=project)

    client = MlflowClient(server)
    parent = client.get_run(run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["roc_auc_pooled/fine_tuned.fedavg"] == 0.625
    assert [one.dataset.name for one in parent.inputs.dataset_inputs] == ["episodes"]
    assert {item.path for item in client.list_artifacts(run_id)} == {
        "report.html",
        "figures",
        "tables",
    }
    kept = client.download_artifacts(run_id, "report.html", str(tmp_path))
    assert Path(kept).read_text() == "<p>report</p>"
    (output,) = client.get_run(children[0]).outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    assert model.predict(EXAMPLE).tolist() == [0.25, 0.375]
    assert runs_page(project, "x").startswith(f"{server}/#/experiments/")
    # of the run nothing but its sign of life was ever in the project
    left = {path.name for path in project.rglob("*") if path.is_file()}
    assert left == {"report.html"}
    assert (tmp_path / "server" / "files").is_dir()


def test_one_store_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    runs = []
    for folder, named in ((project, Path()), (elsewhere, Path("../project"))):
        monkeypatch.chdir(folder)
        run = open_parent(named, TrackingParameters(experiment="x"), "x", {}, {})
        record = RunRecord(two_fits(), one_history(), {"t": pd.DataFrame({"a": [1]})})
        log_comparison(run, record, {}, project_path=named)
        close_parent(run, "FINISHED", project_path=named)
        runs.append(run)
    assert not list(elsewhere.iterdir())
    assert {path.name for path in project.iterdir()} == {"mlflow.db", "mlruns"}
    client = MlflowClient(f"sqlite:///{project.as_posix()}/mlflow.db")
    for run in runs:
        assert client.get_run(run).info.status == "FINISHED"
        assert (project / "mlruns" / run / "artifacts" / "tables" / "t.json").is_file()
