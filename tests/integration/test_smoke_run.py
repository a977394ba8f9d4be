"""The main job through `kedro run`, as a person starts it, on the smoke environment."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kedro_project import KedroProject, predictions_digests
from ms_pfl.evaluation.inference import VERDICTS
from ms_pfl.paradigms import is_trained, trainings
from smoke_fixtures import FinishedRun

# a whole run through Kedro takes over five minutes on a busy machine
pytestmark = pytest.mark.timeout(1200)
MODELS = [
    "Centralized",
    "Local",
    *(f"{kind} {strategy}" for strategy in ("FedAvg", "FedProx", "FedAdam", "FedYogi", "FedAdagrad")
      for kind in ("Federated", "Fine-tuned", "Adaptive")),
]  # fmt: skip


def test_console_ends_with_table_1_and_where_things_lie(
    smoke_run: FinishedRun,
) -> None:
    lines = smoke_run.stdout.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if "Table 1" in line) :]
    for model in MODELS:
        assert any(re.match(rf"\s*{model}\s+\.\d{{3}} ± \.\d{{3}}", line) for line in table), model
    assert any("Synthetic data" in line for line in table)
    assert any("report.html" in line for line in lines[-4:])
    assert any("mlflow ui --backend-store-uri sqlite:///" in line for line in lines[-4:])


def test_console_is_quiet(smoke_run: FinishedRun) -> None:
    said = smoke_run.stdout + smoke_run.stderr
    # on a busy machine a training is told seed by seed
    lines = [line for line in said.splitlines() if not re.search(r", seed \d+: ", line)]
    assert len(lines) <= 70, said
    verdicts = said.partition("\n\n")[2].partition("\nTable 1.")[0]
    assert len(verdicts.strip().splitlines()) <= 12, verdicts
    assert not re.search(r"warn|deprecat|traceback|flwr|telemetry", said, re.IGNORECASE), said


def test_every_paradigm_is_scored_on_the_same_test_patients(
    smoke_run: FinishedRun,
) -> None:
    splits = pd.read_parquet(smoke_run.folder / "data/05_model_input/splits.parquet")
    held_out = splits[splits["split"] == "test"].set_index(["seed", "patient_id"]).index
    seen = set()
    for paradigm, strategy in trainings("study"):
        folder = smoke_run.folder / "data/07_model_output" / paradigm / strategy
        table = pd.read_parquet(folder / "predictions.parquet")
        test = table[table["split"] == "test"]
        assert set(zip(test["seed"], test["patient_id"], strict=True)) <= set(held_out)
        seen.add(tuple(zip(test["seed"], test["episode_id"], test["label"], strict=True)))
        assert table["probability"].between(0, 1).all()
    assert len(seen) == 1


def test_personal_arrays_differ_between_countries_and_shared_ones_exist_once(
    smoke_run: FinishedRun,
) -> None:
    from safetensors.numpy import load_file

    arrays = load_file(smoke_run.folder / "data/06_models/adaptive/fedavg/models.safetensors")
    personal = {k.split("/")[2]: v for k, v in arrays.items() if k.startswith("seed=0/personal/")}
    names = [k for k in arrays if k.startswith("seed=0/personal/") and k.endswith("weight")]
    assert len(personal) == 32
    first = sorted({k.split("/", 3)[3] for k in names})[0]
    own = [arrays[f"seed=0/personal/{country}/{first}"] for country in sorted(personal)[:2]]
    assert own[0].shape != own[1].shape or not np.array_equal(own[0], own[1])
    assert any(k.startswith("seed=0/shared/") for k in arrays)
    assert not {k.split("/")[2] for k in arrays if k.startswith("seed=0/shared/")} & {first}


def test_mlflow_has_a_parent_with_headlines_and_a_child_per_fit(
    smoke_run: FinishedRun,
) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{smoke_run.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("ms_pfl")
    runs = client.search_runs([experiment.experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    assert [r.info.status for r in parents] == ["FINISHED"]
    assert "roc_auc_pooled/adaptive.fedavg" in parents[0].data.metrics
    assert parents[0].data.params["training.federation.rounds"] == "6"
    assert parents[0].data.tags["mlflow.source.name"].startswith("kedro run --pipeline=pfl")
    (version,) = client.search_model_versions("name = 'ms_pfl-predictor'")
    assert version.run_id == parents[0].info.run_id
    assert version.description.split("\n\n")[0] in parents[0].data.tags["mlflow.note.content"]
    made = [r for r in children if not is_trained(r.data.params["paradigm"])]
    # recalibrated in two ways and an ensemble of each strategy, and the predictor's choice
    assert len(made) == (5 * 3 + 1) * 2
    assert len(children) == 17 * 2 + len(made)
    verdicts = {n: v for n, v in parents[0].data.tags.items() if n.startswith("verdict_")}
    assert len(verdicts) == 8
    assert set(verdicts.values()) <= set(VERDICTS)
    fits = {(r.data.params["paradigm"], r.data.params["strategy"], r.data.params["seed"])
            for r in children}  # fmt: skip
    assert len(fits) == len(children)
    one = next(r for r in children if r.data.params["paradigm"] == "federated")
    assert {"roc_auc/pooled", "roc_auc/macro", "roc_auc/weighted"} <= set(one.data.metrics)
    assert len(client.get_metric_history(one.info.run_id, "validation_log_loss")) >= 3
    assert any(name.startswith("roc_auc_by_country/") for name in one.data.metrics)
    found = {f.path for f in client.list_artifacts(parents[0].info.run_id)}
    assert found == {"figures", "report.html", "tables"}
    assert [used.dataset.name for used in parents[0].inputs.dataset_inputs] == ["episodes"]


def test_mlflow_keeps_models_that_predict_the_same(
    smoke_run: FinishedRun,
) -> None:
    import mlflow.pyfunc
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{smoke_run.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("ms_pfl")
    models = client.search_logged_models([experiment.experiment_id])
    assert len(models) == 17 + 1  # and the predictor for new patients, with the parent
    (child,) = client.search_runs(
        [experiment.experiment_id],
        "params.paradigm = 'adaptive' and params.strategy = 'fedyogi' and params.seed = '0'",
    )
    own = next(m for m in models if m.source_run_id == child.info.run_id)
    episodes = pd.read_parquet(smoke_run.folder / "data/03_primary/episodes.parquet")
    predictions = pd.read_parquet(
        smoke_run.folder / "data/07_model_output/adaptive/fedyogi/predictions.parquet"
    )
    rows = predictions[(predictions["seed"] == 0) & (predictions["split"] == "test")]
    features = episodes.drop(columns=["patient_id", "t0", "label"]).set_index("episode_id")
    table = features.loc[rows["episode_id"]].reset_index(drop=True)
    numbers = table.columns.drop("country")
    table[numbers] = table[numbers].astype("float64")
    found = mlflow.pyfunc.load_model(own.artifact_location).predict(table)
    np.testing.assert_allclose(found, rows["probability"], rtol=1e-5)
    (risks,) = (m for m in models if m.name == "Predictor for new patients")
    assert "mlflow.parentRunId" not in client.get_run(risks.source_run_id).data.tags
    of_visits = mlflow.pyfunc.load_model(risks.artifact_location).predict(table)
    assert set(of_visits["model"]) == {f"personal of {name}" for name in table["country"]}
    assert of_visits[["risk_low", "risk", "risk_high"]].apply(np.diff, axis=1).map(min).min() >= 0


def test_the_comparison_has_its_tables_and_figures(
    smoke_run: FinishedRun,
) -> None:
    folder = smoke_run.folder / "data/08_reporting"
    differences = pd.read_parquet(folder / "differences.parquet")
    tested = differences[differences["scope"] != "country"]
    assert tested["p"].between(0, 1).all()
    assert (tested["p"] >= tested["unadjusted_p"] - 1e-4).all()  # the maximum of t is drawn
    page = (folder / "report.html").read_text()
    for words in ("Synthetic data", "Which paradigm serves which country", "TRIPOD+AI", "Women"):
        assert words in page
    assert len(page.encode()) < 3_000_000
    for name in (
        "gain_by_country", "roc_and_pr", "reliability", "risk_distribution", "net_benefit",
        "importance",
    ):  # fmt: skip
        assert (folder / f"{name}.png").stat().st_size > 5000
    assert "Adaptive FedAvg is better or worse than Federated FedAvg" in " ".join(
        smoke_run.stdout.split()
    )


_THREE = (
    "--nodes=training.local.train_none,training.federated.train_fedavg,"
    "training.adaptive.train_fedavg"
)


@pytest.mark.parametrize("part", [[_THREE], pytest.param([], marks=pytest.mark.slow)])
def test_one_worker_gives_the_same_bits(
    smoke_run: FinishedRun, tmp_path: Path, part: list[str]
) -> None:
    with_two = predictions_digests(smoke_run.folder)
    assert len(with_two) == 17
    folder = shutil.copytree(
        smoke_run.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow.db", "mlruns")
    )
    trained = {"local.none", "federated.fedavg", "adaptive.fedavg"} if part else set(with_two)
    for name in trained:
        paradigm, strategy = name.split(".")
        (folder / "data/07_model_output" / paradigm / strategy / "predictions.parquet").unlink()
    done = KedroProject(folder).kedro(
        "run", "--pipeline=training", "--env=smoke", "--params=ray.num_workers=1", *part
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert predictions_digests(folder) == with_two
