"""Models in the store, loaded and asked as anybody would."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from model_examples import CODE, EXAMPLE, one_history, two_fits
from ms_pfl.tracking.models import ModelToLog, example_rows
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.record import RunRecord
from ms_pfl.tracking.runs import close_parent, log_comparison, open_parent


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MlflowClient, list[str]]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_id = open_parent(tmp_path, TrackingParameters(experiment="x"), "x", {}, {})
    arrays = {"A": np.array([1.0]), "B": np.array([0.5])}
    model = ModelToLog("fine_tuned", "fedavg", 0, arrays, {"features": ["x", "y"]}, CODE)
    record = RunRecord(two_fits(), one_history(), models=[model], example=EXAMPLE)
    children = log_comparison(run_id, record, {}, project_path=tmp_path)
    close_parent(run_id, "FINISHED", project_path=tmp_path)
    return MlflowClient(f"sqlite:///{tmp_path.as_posix()}/mlflow.db"), children


def test_the_child_of_its_seed_has_the_model(logged: tuple[MlflowClient, list[str]]) -> None:
    client, children = logged
    first, second = (client.get_run(child) for child in children)
    assert [run.data.params["seed"] for run in (first, second)] == ["0", "1"]
    assert second.outputs.model_outputs == []
    (output,) = first.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.status == "READY"
    assert model.name == "fine_tuned_fedavg"
    assert model.source_run_id == children[0]
    assert model.params == {"paradigm": "fine_tuned", "strategy": "fedavg", "seed": "0"}
    # the list of models can be sorted by what they reached
    assert {m.key: m.value for m in model.metrics} == {"roc_auc/pooled": 0.75}
    assert first.data.metrics["roc_auc/pooled"] == 0.75


def test_it_predicts_again_with_signature_and_example(
    logged: tuple[MlflowClient, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, children = logged
    (output,) = client.get_run(children[0]).outputs.model_outputs
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    # A: 1 x (0.25 + 0); B: 0.5 x (0.5 + 0.25)
    assert model.predict(EXAMPLE).tolist() == [0.25, 0.375]
    assert model.predict(EXAMPLE[::-1]).tolist() == [0.375, 0.25]
    assert model.metadata.signature.inputs.input_names() == ["country", "x", "y"]
    example = model.input_example
    assert example.to_dict("list") == EXAMPLE.to_dict("list")
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        model.predict(EXAMPLE[["country", "x"]])


def test_logging_leaves_the_global_store_alone(logged: tuple[MlflowClient, list[str]]) -> None:
    client, _ = logged
    assert mlflow.get_tracking_uri() != client.tracking_uri


def test_an_example_is_nobodys_row() -> None:
    episodes = pd.DataFrame(
        {
            "country": ["B", "A", "B", "C"],
            "x": np.array([1, 2, 4, 8], np.float32),
            "y": [np.nan, 0.0, 1.0, np.nan],
            "never": [np.nan] * 4,
        }
    )
    found = example_rows(episodes, ["x", "y", "never"])
    assert found["country"].tolist() == ["A", "C"]
    # medians of 1, 2, 4, 8 and of 0, 1
    assert found["x"].tolist() == [3.0, 3.0]
    assert found["y"].tolist() == [0.5, 0.5]
    assert found["never"].isna().all()
    assert len(example_rows(episodes[episodes.country == "C"], ["x"])) == 1
