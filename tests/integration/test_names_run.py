"""Names that look like something else, from the first reading to the last page."""

from __future__ import annotations

import html.parser
import json
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from ms_pfl.datasets import CsvTable, JsonFile, ParquetTable
from ms_pfl.names import listed
from ms_pfl.paradigms import Training
from ms_pfl.prediction.predictor import read_predictor
from ms_pfl.reporting.figures import short_name
from ms_pfl.tracking.store import tracking_uri
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.settings import TrainingSettings
from name_examples import (
    LEVELS,
    MANY,
    NAMES,
    ONE,
    InProcess,
    Saved,
    custom_table,
    in_process,
    registry_tables,
    write_tables,
)

pytestmark = pytest.mark.timeout(1200)
COLUMNS = {"site": "site", "patient_id": "who", "label": "label"}
OWN = {
    "columns": COLUMNS, "categorical": ["$y_1$"], "missing_indicators": True,
    "site_name": "hospital", "minimum_patients": 1,
}  # fmt: skip


def read_back(project: InProcess, saved: Saved, *more: str) -> dict[str, Any]:
    """Compare each table and JSON file of a run with what was saved; returns all that was read."""
    read: dict[str, Any] = {}
    with project.catalog() as catalog:
        for name, data in saved.data.items():
            dataset = catalog.get(name)
            if isinstance(dataset, CsvTable | ParquetTable):
                read[name] = dataset.load()
                pd.testing.assert_frame_equal(read[name], data, obj=name, check_column_type=False)
            elif isinstance(dataset, JsonFile):
                read[name] = dataset.load()
                assert read[name] == json.loads(json.dumps(data)), name
            if isinstance(dataset, CsvTable):
                shown = dataset.preview(nrows=1000)
                assert shown["columns"] == list(data.columns), name
    for name, table in read.items():
        if isinstance(table, pd.DataFrame) and "country" in table:
            assert set(table["country"]) <= {*NAMES, "", "pooled", *more}, name
    return read


class Cells(html.parser.HTMLParser):
    """The texts of the cells of a page's tables, and of its pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("td", "th", "text"):
            self._open.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "text") and self._open:
            self.cells.append(self._open.pop())

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1] += data


@pytest.fixture(scope="module")
def modelling(tmp_path_factory: pytest.TempPathFactory) -> tuple[InProcess, Saved, dict[str, Any]]:
    return run_modelling(tmp_path_factory.mktemp("project"), MANY, ONE)


def run_modelling(
    folder: Path, many: list[str], one: list[str]
) -> tuple[InProcess, Saved, dict[str, Any]]:
    project = in_process(folder)
    file = folder / "own.csv"
    custom_table(many, one).to_csv(file, index=False)
    project.set(episodes_file=str(file), own_episodes=OWN)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        saved = project.run("modelling")
    return project, saved, read_back(project, saved)


def check_modelling(
    project: InProcess, saved: Saved, read: dict[str, Any], many: list[str], one: list[str]
) -> None:
    for name in ("split_counts", "attribution_by_country", "federated.fedavg.predictions"):
        whose = NAMES if name == "split_counts" else many
        assert set(read[name]["country"]) == set(whose), name
    assert set(read["roc_auc_by_country"]["Hospital"]) == set(NAMES)
    assert {row["country"] for row in read["cohort_description"]["countries"]} == set(NAMES)
    assert read["vocabulary"]["levels"] == {"$y_1$": sorted(LEVELS)}
    not_scored = next(line for line in read["table1_notes"] if "no test patient" in line)
    assert not_scored.endswith(f": {listed(sorted(one))}.")
    with project.catalog() as catalog:
        arrays = catalog.get("adaptive.fedavg.models").load()
        bundle = ModelBundle(arrays, Training("adaptive", "fedavg"), settings_of(project))
        assert bundle.countries(0) == tuple(sorted(NAMES))
        page = catalog.get("report").load()
    cells = Cells(page).cells
    assert set(NAMES) <= set(cells)
    sizes = [f"{short_name(name)} (2)" for name in many]
    assert set(sizes) <= set(cells), "below the picture of what the models use"
    predictor = read_predictor(project.folder / "data/06_models/predictor")
    assert predictor.description.countries == tuple(sorted(NAMES))
    assert set(predictor.personal) == set(NAMES)
    check_mlflow(project, many)


def settings_of(project: InProcess) -> TrainingSettings:
    with project._session({}) as session:
        told = session.load_context().config_loader["parameters"]
    return TrainingSettings.model_validate(told["training"])


def check_mlflow(project: InProcess, many: list[str]) -> None:
    client = mlflow.MlflowClient(tracking_uri(project.folder))
    (experiment,) = client.search_experiments(filter_string="name = 'ms_pfl'")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    path = mlflow.artifacts.download_artifacts(
        run_id=parent.info.run_id, artifact_path="tables/metrics.json",
        tracking_uri=tracking_uri(project.folder),
    )  # fmt: skip
    table = json.loads(Path(path).read_text())
    countries = {row[table["columns"].index("country")] for row in table["data"]}
    assert countries == {*many, ""}
    child = next(run for run in runs if run.info.run_name == "Local, seed 0")
    brier = [name for name in child.data.metrics if name.startswith("brier_by_country/")]
    assert len(brier) == len(many), "no two names fall together"


def test_custom_table(modelling: tuple[InProcess, Saved, dict[str, Any]]) -> None:
    check_modelling(*modelling, MANY, ONE)


@pytest.mark.slow
def test_custom_table_the_other_way_round(tmp_path: Path) -> None:
    check_modelling(*run_modelling(tmp_path, ONE, MANY), ONE, MANY)


@pytest.mark.slow
@pytest.mark.parametrize(("many", "one"), [(MANY, ONE), (ONE, MANY)])
def test_registry(tmp_path: Path, many: list[str], one: list[str]) -> None:
    project = in_process(tmp_path)
    folder = write_tables(registry_tables(many, one), tmp_path / "own")
    project.set(registry_folder=str(folder), new_country={"countries": many[:3], "sizes": [2]})
    read = read_back(project, project.run("pfl"))
    assert set(read["attrition_by_country"]["country"]) == set(NAMES)
    assert set(read["patients"]["PATIENT_ID"]) >= set(NAMES)
    assert set(read["patients"]["country"]) == set(NAMES)
    new = read_back(project, project.run("new_country"))
    assert set(new["new_country_predictions"]["country"]) == set(many[:3])
    audit = read_back(project, project.run("audit"))
    tables = registry_tables(many, one)
    tables["patients"].loc[0, "country"] = "Neverland"
    write_tables(tables, folder)
    risks = read_back(project, project.run("prediction"), "Neverland")
    table = risks["new_patients"]
    assert set(table["country"]) == {*NAMES, "Neverland"}
    models = dict(zip(table["country"], table["model"], strict=True))
    assert all(models[name] == f"personal of {name}" for name in NAMES)
    with project.catalog() as catalog:
        csv = {name for name in catalog if isinstance(catalog.get(name), CsvTable)}
    assert csv <= {*read, *new, *audit, *risks}, "each CSV file was written and read back"
