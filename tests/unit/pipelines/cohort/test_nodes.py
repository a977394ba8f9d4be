"""What the nodes of the cohort hand on beyond the episodes."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from rich import get_console

from ms_pfl.console import show_prevalence
from ms_pfl.datasets import JsonFile
from ms_pfl.errors import InputError
from ms_pfl.parameters import Parameters
from ms_pfl.pipelines.cohort.nodes import build_cohort, describe_cohort
from ms_pfl.registry.ingest.tables import RegistryTables
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.registry.synthetic.simulation import simulate
from parameter_examples import load


@pytest.fixture(scope="module")
def tables() -> RegistryTables:
    given = load("base")["synthetic_registry"] | {"n_patients": 600}
    return simulate(SyntheticRegistryParameters.model_validate(given))


def build(tables: RegistryTables, **changes: object) -> tuple[pd.DataFrame, ...]:
    parameters = Parameters.model_validate(load("base")).cohort.model_copy(update=changes)
    source = {"kind": "synthetic", "description": "test"}
    return build_cohort(*tables.frames().values(), source, {}, parameters)


def test_the_description_is_the_provenance_and_the_countries(tables, tmp_path):
    provenance, episodes, *_, outcomes, _ = build(tables)
    files = (
        ParquetDataset(filepath=str(tmp_path / "episodes.parquet")),
        JsonFile(filepath=str(tmp_path / "provenance.json")),
    )
    for file, data in zip(files, (episodes, provenance), strict=True):
        file.save(data)
    said = json.loads(json.dumps(describe_cohort(*(file.load() for file in files))))
    countries = said.pop("countries")
    assert said == provenance
    assert sum(country["n_episodes"] for country in countries) == len(episodes) == len(outcomes)
    assert said["prevalence"][0]["prevalence"] == pytest.approx(episodes["label"].mean())


def test_other_episodes_are_not_described(tables):
    provenance, episodes, *_ = build(tables)
    with pytest.raises(InputError, match="not those whose provenance is recorded"):
        describe_cohort(episodes.iloc[1:], provenance)


def test_visits_in_the_future_are_the_first_that_the_flow_loses(tables):
    parameters = Parameters.model_validate(load("base")).cohort
    patient = tables.patients["PATIENT_ID"].iloc[0]
    _, _, attrition, *_ = build_cohort(
        *tables.frames().values(), {"kind": "own", "description": "test"}, {patient: 3}, parameters
    )
    assert attrition["stage"].tolist()[:2] == ["Registry", "Dates"]
    assert attrition["episodes_dropped"].tolist()[1] == 3


def test_without_relapses_pira_is_unknown_and_json_stays_valid(tables):
    none = RegistryTables(tables.patients, tables.visits, tables.relapses[:0], tables.treatments)
    provenance, episodes, *_, outcomes, prevalence = build(none)
    assert prevalence["share_pira"].isna().all()
    assert outcomes["relapse_association"].isna().all()
    said = json.dumps(describe_cohort(episodes, provenance), allow_nan=False)
    assert '"share_pira": null' in said


def test_prevalence_on_the_console(tables, tmp_path):
    prevalence = build(tables)[-1].assign(share_pira=float("nan"))
    file = CSVDataset(filepath=str(tmp_path / "prevalence.csv"), save_args={"index": False})
    file.save(prevalence)
    with get_console().capture() as shown:
        show_prevalence(file.load())
    text = shown.get()
    assert "first confirmed event" in text
    assert f"{prevalence['worsened'].iloc[0]:,}" in text
    assert f"{100 * prevalence['prevalence'].iloc[0]:.1f} %" in text
    assert "–" in text
