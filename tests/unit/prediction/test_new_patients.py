"""New patients from a folder: by Python, by Kedro and by MLflow, with the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.tracking import MlflowClient

import ms_pfl
from cohort_examples import random_registry
from kedro_project import make_project, run_here
from ms_pfl.cohort.episodes import latest_visits
from ms_pfl.cohort.features import FEATURES
from ms_pfl.datasets import PredictorFolder
from ms_pfl.errors import InputError
from ms_pfl.pipelines.prediction.nodes import predict_new_patients
from ms_pfl.prediction.making import Made
from ms_pfl.prediction.new_patients import NewPatients, notes
from ms_pfl.prediction.predictor import Predictor, read_predictor, write_predictor
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import read_folder
from ms_pfl.tracking.models import RISK_COLUMNS, log_predictor
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.runs import close_parent, open_parent
from prediction_examples import logistic_predictor, write_tables

RISKS = ["risk", "risk_low", "risk_high"]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Thirty patients of four countries, one of which trained nothing; one without a visit."""
    made = random_registry(5, n_patients=30, n_countries=4)
    never = made.patients.head(1).assign(PATIENT_ID="never", country="Country 0")
    people = pd.concat([made.patients, never], ignore_index=True)
    return write_tables(type(made)(**vars(made) | {"patients": people}), tmp_path / "new")


def test_each_patient_has_a_risk_or_a_reason(
    tables: Path, folder: Path, predictor: Predictor
) -> None:
    found = ms_pfl.predict(tables, predictor=folder)
    assert found["patient_id"].nunique() == len(found) == 31
    scored = found["not_scored_because"] == ""
    assert 10 < scored.sum() < 31
    assert set(found.loc[scored, "n_seeds"]) == {2}
    assert found.set_index("patient_id").loc["never", "not_scored_because"] == "No visit"
    far = found["country"] == "Country 3"
    assert set(found.loc[scored & far, "model"]) == {"global: Country 3 took no part in training"}
    here = found[scored & ~far]
    assert (here["model"] == "personal of " + here["country"]).all()
    assert found.loc[scored, "drivers"].str.count(";").max() == 2
    # so does one that is open already
    pd.testing.assert_frame_equal(ms_pfl.predict(tables, predictor), found)


def test_risks_are_those_of_the_saved_models(tables: Path, predictor: Predictor) -> None:
    found = ms_pfl.predict(tables, predictor).set_index("patient_id")
    told = predictor.description
    rows = latest_visits(read_folder(tables), told.cohort, told.treatment_recorded_since)
    for row in rows[rows["not_scored_because"] == ""].to_dict("records"):
        x = np.array([[row[name] for name in FEATURES]], np.float32)
        trained = row["country"] in told.countries
        of_seeds = []
        for seed in (0, 1):
            model = predictor.personal[row["country"]] if trained else predictor.shared
            z = model[seed].logits(x)[0] + told.intercepts[seed][row["country"] if trained else ""]
            of_seeds.append(1 / (1 + np.exp(-z)))
        expected = [np.mean(of_seeds), min(of_seeds), max(of_seeds)]
        assert found.loc[row["patient_id"], RISKS].tolist() == pytest.approx(expected, rel=1e-5)


def test_the_notes_count_and_warn(tables: Path, predictor: Predictor) -> None:
    found = ms_pfl.predict(tables, predictor)
    said = notes(found, predictor)
    n = int((found["not_scored_because"] == "").sum())
    assert said[0].startswith(f"{n} of 31 patients scored at their latest visit: ")
    assert said[2].startswith(f"{31 - n} not scored: ")
    assert said[1] == ("Range of a risk (risk_low to risk_high): lowest and highest of 2 seeds.")
    assert "no visit (1)" in said[2]
    assert len(said) == 3
    description = predictor.description.model_copy(
        update={"source": {"kind": "synthetic", "description": "x"}}
    )
    assert "SYNTHETIC" in notes(found, Predictor(description, predictor.arrays))[-1]


def test_the_table_is_checked(tables: Path, predictor: Predictor) -> None:
    found = ms_pfl.predict(tables, predictor)
    first = found.index[found["risk"].notna()][0]
    for column, value in (("risk", 1.5), ("risk", np.nan), ("risk_low", 0.999999), ("model", ""),
                          ("range", "")):  # fmt: skip
        wrong = found.copy()
        wrong.loc[first, column] = value
        with pytest.raises(Exception, match="risk"):
            NewPatients.validate(wrong)


def test_what_cannot_be_read_is_said(tmp_path: Path, folder: Path, tables: Path) -> None:
    with pytest.raises(IngestError, match="does not exist"):
        ms_pfl.predict(tmp_path / "nowhere", folder)
    with pytest.raises(InputError, match="no predictor in"):
        ms_pfl.predict(tables, tmp_path / "nowhere")
    with pytest.raises(InputError, match="custom episodes table"):
        ms_pfl.predict(tables, logistic_predictor())


def test_the_node_says_what_is_missing(tmp_path: Path, folder: Path, tables: Path) -> None:
    told = IngestParameters()
    with pytest.raises(InputError, match="--params=registry_folder=DIR"):
        predict_new_patients(None, folder, told)
    with pytest.raises(InputError, match="kedro run --pipeline=pfl"):
        predict_new_patients(str(tables), tmp_path / "nowhere", told)


def test_a_protocol_without_a_predictor_removes_the_old_one(
    tmp_path: Path, predictor: Predictor
) -> None:
    dataset = PredictorFolder(str(tmp_path / "predictor"))
    assert not dataset.exists()
    dataset.save(Made(predictor))
    assert dataset.exists()
    assert read_predictor(dataset.load()).description.seeds == (0, 1)
    dataset.save(Made(None))
    assert not dataset.load().exists()


@pytest.mark.integration
def test_kedro_predicts_the_same(tmp_path: Path, tables: Path, predictor: Predictor) -> None:
    place = tmp_path / "project"
    place.mkdir()
    project = make_project(place)
    write_predictor(predictor, place / "data/06_models/predictor")
    done = run_here(project, "--pipeline=prediction", f"--params=registry_folder={tables}")
    assert done.exit_code == 0, done.output
    assert "of 31 patients scored at their latest visit" in done.output
    assert "new_patients.csv" in done.output
    written = pd.read_csv(
        place / "data/07_model_output/new_patients.csv", parse_dates=["visit_date"]
    )
    expected = ms_pfl.predict(tables, predictor)
    assert written.columns.tolist() == expected.columns.tolist()
    np.testing.assert_array_equal(written[RISKS], expected[RISKS])
    assert written["drivers"].fillna("").tolist() == expected["drivers"].tolist()
    assert (place / "data/08_reporting/ingest_report.csv").is_file()


@pytest.mark.integration
@pytest.mark.timeout(1200)  # two processes import MLflow
def test_the_pyfunc_model_gives_the_same_in_a_process_of_its_own(
    tmp_path: Path, tables: Path, folder: Path, predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    told = predictor.description
    visits = latest_visits(read_folder(tables), told.cohort, told.treatment_recorded_since)
    visits = visits[visits["not_scored_because"] == ""].reset_index(drop=True)
    given = visits[["country", *FEATURES]].astype(dict.fromkeys(FEATURES, "float64"))
    run = open_parent(tmp_path, TrackingParameters(experiment="x"), "x", {}, {})
    client = MlflowClient(f"sqlite:///{tmp_path.as_posix()}/mlflow.db")
    experiment = client.get_run(run).info.experiment_id
    model_id = log_predictor(client, experiment, run, folder, given.head(2))
    close_parent(run, "FINISHED", project_path=tmp_path)
    entry = client.get_logged_model(model_id)
    assert (entry.status, entry.name, entry.source_run_id) == (
        "READY",
        "Predictor for new patients",
        run,
    )
    given.to_parquet(tmp_path / "given.parquet")
    script = (
        "import json, sys, mlflow.pyfunc, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "found = model.predict(pd.read_parquet(sys.argv[2]))\n"
        "names = model.metadata.signature.outputs.input_names()\n"
        "print(json.dumps([found.to_dict('list'), names, model.input_example.shape]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, entry.artifact_location, str(tmp_path / "given.parquet")],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, names, shape = json.loads(done.stdout.splitlines()[-1])
    assert names == list(RISK_COLUMNS)
    assert shape == [2, 43]
    expected = ms_pfl.predict(tables, predictor)
    expected = expected[expected["not_scored_because"] == ""]
    for name in RISK_COLUMNS:
        assert found[name] == expected[name].tolist()
    stored = Path(entry.artifact_location.removeprefix("file://"))
    assert not [path for path in stored.rglob("*") if path.suffix in (".pkl", ".pickle")]


def test_a_country_in_another_spelling_is_told_of_with_a_remedy_that_helps(
    tables: Path, folder: Path, predictor: Predictor, tmp_path: Path
) -> None:
    before = ms_pfl.predict(tables, predictor=folder).set_index("patient_id")
    text = (tables / "patients.csv").read_text()
    (tables / "patients.csv").write_text(text.replace("Country 1", "CÓUNTRY 1"))
    found, said, _ = predict_new_patients(str(tables), folder, IngestParameters())
    assert any("took no part in training (Country 1 did)" in model for model in found["model"])
    (line,) = [line for line in said if "looks like" in line]
    remedy = line.partition("set ingest.values.patients.country: ")[2].partition(" in conf")[0]
    assert yaml.safe_load(remedy) == {"CÓUNTRY 1": "Country 1"}
    mapped = IngestParameters(values={"patients": {"country": yaml.safe_load(remedy)}})
    after, said, _ = predict_new_patients(str(tables), folder, mapped)
    pd.testing.assert_frame_equal(after.set_index("patient_id"), before)
    assert not [line for line in said if "looks like" in line]


def test_two_forms_of_a_country_have_one_model(tables: Path, folder: Path) -> None:
    before = ms_pfl.predict(tables, predictor=folder)
    text = (tables / "patients.csv").read_text()
    (tables / "patients.csv").write_text(text.replace("Country 1", "Country\u00a01\u200b"))
    pd.testing.assert_frame_equal(ms_pfl.predict(tables, predictor=folder), before)
