"""The pipeline of the country that never took part, through Kedro on a small table."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from federation_examples import tables
from ms_pfl.errors import InputError
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.paradigms import trainings
from ms_pfl.pipelines.studies.nodes import leave_countries_out
from ms_pfl.pipelines.studies.pipeline import create_new_country_pipeline
from ms_pfl.studies.parameters import NewCountryParameters
from ms_pfl.training.resume import UnfinishedTrainings
from paradigm_examples import Study, parameters

_OWN = ("leave_countries_out", "measure_new_countries", "show_new_countries")


def test_from_a_run_to_figure_and_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    episodes, splits = tables({"AU": 300, "BE": 240, "CZ": 150})
    told = parameters()
    study = Study(tables=(episodes, splits), told=told)
    federated = study.outcome("federated", "fedavg")
    test = federated.predictions[federated.predictions["split"] == "test"]
    given: dict[str, object] = {
        "episodes": episodes,
        "splits": splits,
        "unfinished": UnfinishedTrainings(tmp_path),
        "test_predictions": test,
        "cohort_description": {"source": {"kind": "own", "description": "", "site": "hospital"}},
        "params:new_country": NewCountryParameters(strategy="fedavg", countries=2, sizes=(20,)),
        "params:ray": RayParameters(num_workers=0, address=None),
        "params:checkpoints": CheckpointParameters(every_rounds=1),
        "params:comparison": ComparisonParameters(replicates=100, seed=0, thresholds=(0.2,)),
        "params:training": told,
        "params:device": "cpu",
        **{
            f"{training.name}.models": federated.models
            for training in trainings("study", paradigm="federated")
        },
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
    with caplog.at_level(logging.INFO):
        made = SequentialRunner().run(
            create_new_country_pipeline("study").filter(node_names=list(_OWN)), catalog
        )
    table: pd.DataFrame = made["new_country_table"].load()
    assert table["Patients"].tolist() == ["0", "20", "all"]
    assert table["Countries"].tolist() == ["2", "2", "2"], "the two largest"
    assert "2 hospitals left out, one after the other" in caplog.text


def test_its_report_is_the_runs_own_with_a_section_more() -> None:
    node = next(
        node
        for node in create_new_country_pipeline("study").nodes
        if node.name == "reporting.write_report"
    )
    assert {"new_country_estimates", "new_country_differences"} <= set(node.inputs)
    assert {"report", "figure_new_country"} <= set(node.outputs)


def test_a_further_method_needs_its_own_pipeline(tmp_path: Path) -> None:
    episodes, splits = tables()
    asked = NewCountryParameters(strategy="logistic", countries=1, sizes=())
    with pytest.raises(InputError, match="kedro run --pipeline=new_country_further"):
        leave_countries_out(
            episodes, splits, UnfinishedTrainings(tmp_path), asked, parameters(), "cpu",
            RayParameters(num_workers=0, address=None), CheckpointParameters(every_rounds=1),
            federated_fedavg={},
        )  # fmt: skip
    (node,) = (
        node
        for node in create_new_country_pipeline("study", "further").nodes
        if node.func is leave_countries_out
    )
    assert {"federated.logistic.models", "federated.trees.models"} <= set(node.inputs)
