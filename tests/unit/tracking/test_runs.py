"""The MLflow store, read back through MLflow's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from ms_pfl.errors import InputError
from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.evaluation.scoring import summarize
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.record import RunRecord
from ms_pfl.tracking.runs import close_parent, log_comparison, open_parent

SETTINGS = TrackingParameters(experiment="ms_pfl")


class Recorded(NamedTuple):
    project: Path
    client: MlflowClient
    parent: Run
    children: list[Run]
    seconds: float


@pytest.fixture(scope="module", autouse=True)
def no_other_store() -> None:
    # the project's own store is what is tested here
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, metrics: pd.DataFrame, history: pd.DataFrame
) -> Recorded:
    project = tmp_path_factory.mktemp("a project")  # with a space, as folders have
    report = project / "report.html"
    report.write_text("<p>report</p>")
    params = {"ray": {"num_workers": 2}, "many": {f"key{i}": i for i in range(250)}}
    run_id = open_parent(project, SETTINGS, "pfl", params, {"kedro.env": "smoke"})
    start = time.perf_counter()
    tables = {
        "table1": pd.DataFrame({"Model": ["Local"], "ROC-AUC": ["0.7"]}),
        "long": pd.DataFrame({"value": range(10_001)}),
    }
    record = RunRecord(metrics, history, tables, note="| Model |")
    log_comparison(run_id, record, {"": [report]}, project_path=project)
    seconds = time.perf_counter() - start
    close_parent(run_id, "FINISHED", project_path=project)
    client = MlflowClient(f"sqlite:///{project.as_posix()}/mlflow.db")
    experiment = client.get_experiment_by_name("ms_pfl")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == run_id]
    assert len(runs) == len(children) + 1
    return Recorded(project, client, client.get_run(run_id), children, seconds)


def child(recorded: Recorded, paradigm: str, strategy: str, seed: int) -> Run:
    wanted = {"paradigm": paradigm, "strategy": strategy, "seed": str(seed)}
    found = [r for r in recorded.children if wanted.items() <= r.data.params.items()]
    assert len(found) == 1
    return found[0]


def test_parent_has_params_tags_and_an_end(recorded: Recorded) -> None:
    parent = recorded.parent
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time >= parent.info.start_time
    assert parent.info.run_name == "pfl"
    assert parent.data.params["ray.num_workers"] == "2"
    assert len(parent.data.params) == 251
    assert parent.data.tags["kedro.env"] == "smoke"
    assert parent.data.tags["mlflow.note.content"] == "| Model |"


def test_parent_has_the_headline_metrics(recorded: Recorded, metrics: pd.DataFrame) -> None:
    summary = summarize(metrics).set_index(["paradigm", "strategy", "metric", "scope", "country"])
    found = recorded.parent.data.metrics
    means = summary.query("scope != 'country'")["mean"]
    assert len(found) == np.isfinite(means).sum() >= 8 * 4 * 3
    expected = summary.loc[("fine_tuned", "fedavg", "roc_auc", "pooled", ""), "mean"]
    assert found["roc_auc_pooled/fine_tuned.fedavg"] == pytest.approx(expected)
    expected = summary.loc[("centralized", "pooled", "brier", "macro", ""), "mean"]
    assert found["brier_macro/centralized.pooled"] == pytest.approx(expected)


def test_a_child_for_every_fit(recorded: Recorded) -> None:
    assert len(recorded.children) == 24
    for run in recorded.children:
        assert run.info.status == "FINISHED"
        assert set(run.data.params) == {"paradigm", "strategy", "learner", "seed"}
        for name, value in run.data.params.items():
            assert run.data.tags[name] == value
    names = {run.info.run_name for run in recorded.children}
    assert "Fine-tuned FedProx, seed 2" in names
    assert "Centralized, seed 0" in names


def test_child_has_the_metrics_of_its_fit(recorded: Recorded, metrics: pd.DataFrame) -> None:
    found = child(recorded, "adaptive", "fedprox", 1).data.metrics
    own = metrics[
        (metrics.paradigm == "adaptive") & (metrics.strategy == "fedprox") & (metrics.seed == 1)
    ].set_index(["metric", "scope", "country"])["value"]
    for metric in ("roc_auc", "pr_auc", "brier", "log_loss"):
        for scope in ("pooled", "macro", "weighted"):
            assert found[f"{metric}/{scope}"] == pytest.approx(own[metric, scope, ""])
    assert found["roc_auc_by_country/Belgium"] == pytest.approx(
        own["roc_auc", "country", "Belgium"]
    )
    ivory = own["brier", "country", "Côte d'Ivoire"]
    assert found["brier_by_country/Côte_d_Ivoire"] == pytest.approx(ivory)


def test_undefined_values_are_absent(recorded: Recorded) -> None:
    for run in recorded.children:
        assert "roc_auc_by_country/Fiji" not in run.data.metrics
        assert np.isfinite(list(run.data.metrics.values())).all()


def test_headline_names_are_the_same_in_all_children(recorded: Recorded) -> None:
    names = [
        {name for name in run.data.metrics if "country" not in name and "cost/" not in name}
        for run in recorded.children
    ]
    assert all(own == names[0] for own in names)


def test_curves_have_rounds_as_steps(recorded: Recorded, history: pd.DataFrame) -> None:
    run = child(recorded, "federated", "fedavg", 2)
    points = recorded.client.get_metric_history(run.info.run_id, "validation_log_loss")
    curves = learning_curves(history)
    own = curves[(curves.paradigm == "federated") & (curves.strategy == "fedavg")]
    own = own[own.seed == 2].set_index("round")["validation_log_loss"]
    assert {p.step: p.value for p in points} == pytest.approx(own.to_dict())
    # epoch 0, the federated model, is a candidate of fine-tuning
    tuned = child(recorded, "fine_tuned", "fedavg", 0)
    points = recorded.client.get_metric_history(tuned.info.run_id, "validation_roc_auc")
    assert min(p.step for p in points) == 0


def test_cost_is_the_sum_over_rounds_and_countries(
    recorded: Recorded, history: pd.DataFrame
) -> None:
    found = child(recorded, "federated", "fedavg", 0).data.metrics
    own = history[(history.paradigm == "federated") & (history.strategy == "fedavg")]
    own = own[own.seed == 0]
    assert found["cost/bytes_up"] == own["bytes_up"].sum() == 12 * 7 * 4000
    assert found["cost/client_seconds"] == pytest.approx(own["seconds"].sum())
    assert found["cost/selected_round"] == 10


def test_tables_and_files_lie_in_the_project(recorded: Recorded) -> None:
    run_id = recorded.parent.info.run_id
    names = {item.path for item in recorded.client.list_artifacts(run_id)}
    assert names == {"tables", "report.html"}
    # the tag is what MLflow's page knows tables by
    assert json.loads(recorded.parent.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "tables/table1.json", "type": "table"}
    ]
    (table,) = (recorded.project / "mlruns" / run_id).rglob("table1.json")
    assert json.loads(table.read_text()) == {
        "columns": ["Model", "ROC-AUC"],
        "data": [["Local", "0.7"]],
    }
    # one that the page could not show in reasonable time
    found = list((recorded.project / "mlruns" / run_id).rglob("long.csv"))
    assert [len(path.read_text().splitlines()) for path in found] == [10_002]


def test_it_is_fast_enough(recorded: Recorded) -> None:
    assert recorded.seconds < 15


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_broke_says_so(recorded: Recorded, status: str) -> None:
    run_id = open_parent(recorded.project, TrackingParameters(experiment="broken"), "x", {}, {})
    assert recorded.client.get_run(run_id).info.status == "RUNNING"
    close_parent(run_id, status, project_path=recorded.project)
    assert recorded.client.get_run(run_id).info.status == status


def test_a_deleted_experiment_comes_back(recorded: Recorded) -> None:
    settings = TrackingParameters(experiment="binned")
    open_parent(recorded.project, settings, "x", {}, {})
    experiment = recorded.client.get_experiment_by_name("binned")
    assert experiment is not None
    recorded.client.delete_experiment(experiment.experiment_id)
    open_parent(recorded.project, settings, "y", {}, {})
    runs = recorded.client.search_runs([experiment.experiment_id])
    assert "y" in {run.info.run_name for run in runs}


def test_a_store_that_was_moved_is_refused_before_anything_is_trained(recorded: Recorded) -> None:
    elsewhere = recorded.project / "copy"
    elsewhere.mkdir()
    (elsewhere / "mlflow.db").write_bytes((recorded.project / "mlflow.db").read_bytes())
    with pytest.raises(InputError, match=r"set tracking\.experiment to a new name"):
        open_parent(elsewhere, SETTINGS, "x", {}, {})
    run_id = open_parent(elsewhere, TrackingParameters(experiment="new"), "x", {}, {})
    close_parent(run_id, "FINISHED", project_path=elsewhere)


def test_the_environment_names_another_store(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{recorded.project.as_posix()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_id = open_parent(tmp_path, SETTINGS, "elsewhere", {}, {})
    assert recorded.client.get_run(run_id).info.run_name == "elsewhere"
    recorded.client.delete_run(run_id)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_new_store_is_made_in_silence(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import logging, sys
        from pathlib import Path
        logging.basicConfig(level="INFO")
        from ms_pfl.tracking import runs
        from ms_pfl.tracking.parameters import TrackingParameters
        assert "mlflow" not in sys.modules, "mlflow must be imported when a run opens"
        project = Path(sys.argv[1])
        run = runs.open_parent(project, TrackingParameters(experiment="x"), "x", {"a": 1}, {})
        runs.close_parent(run, "FINISHED", project_path=project)
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}
