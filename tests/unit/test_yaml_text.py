"""Names in the configuration are what is written there, or a line says what YAML makes of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.session import KedroSession
from omegaconf import OmegaConf
from pydantic import ValidationError

from kedro_project import KedroProject, inside, make_project
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.parameters import Parameters
from ms_pfl.registry.ingest.parameters import IngestParameters
from parameter_examples import complaint, load


def of(text: str) -> Any:
    """A YAML text as the configuration loader reads it."""
    return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)))


BOOL, NUMBER = "YAML reads ", "YAML reads this as a number"
PLACES = {
    "a key of values": "ingest: {{values: {{patients: {{country: {{{}: Norway}}}}}}}}",
    "a value of values": "ingest: {{values: {{patients: {{country: {{Norge: {}}}}}}}}}",
    "a key of columns": "ingest: {{columns: {{visits: {{{}: EDSS}}}}}}",
    "a value of columns": "ingest: {{columns: {{visits: {{score: {}}}}}}}",
    "a key of treatments": "ingest: {{treatments: {{{}: rebif}}}}",
    "a value of treatments": "ingest: {{treatments: {{Mittel: {}}}}}",
    "the date format": "ingest: {{date_format: {}}}",
    "the site": "own_episodes: {{columns: {{site: {}}}}}",
    "the label": "own_episodes: {{columns: {{label: {}}}}}",
    "the positive label": "own_episodes: {{positive: {}}}",
    "a column left out": "own_episodes: {{leave_out: [age, {}]}}",
    "a category": "own_episodes: {{categorical: [{}]}}",
    "a column of numbers": "own_episodes: {{numbers: {{{}: point}}}}",
    "the outcome": "own_episodes: {{outcome: {}}}",
    "a drug": "cohort: {{treatments: {{none: [[none, {}]]}}}}",
    "a country": "new_country: {{countries: [Spain, {}]}}",
    "the experiment": "tracking: {{experiment: {}}}",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("NO", "YAML reads no, off and false as false"),
        ("ON", "YAML reads yes, on and true as true"),
        ("010", NUMBER),
        ("12:30", NUMBER),
        ("1e5", NUMBER),
    ],
)
def test_what_yaml_reads_as_something_else_is_put_in_quotes(
    place: str, written: str, said: str
) -> None:
    text = complaint(of(PLACES[place].format(written)))
    assert said in text
    assert "in quotes" in text
    # and in quotes, as the message says, it is a name like any other
    quoted = load("base", of(PLACES[place].format(f'"{written}"')))
    said = ""
    try:
        Parameters.model_validate(quoted)
    except ValueError as error:
        said = str(error)
    assert "YAML" not in said


@pytest.mark.parametrize("written", ["Y", "2020-01-01", "008", "N/A", "Norway"])
def test_what_yaml_leaves_alone_is_a_name(written: str) -> None:
    given = load("base", of(PLACES["a key of values"].format(written)))
    country = Parameters.model_validate(given).ingest.values["patients"]["country"]
    assert country == {written: "Norway"}


@pytest.mark.parametrize(("given", "label"), [(0, "0"), (1, "1"), (7, "7"), ("8", "8")])
def test_a_label_of_one_digit_needs_no_quotes(given: Any, label: str) -> None:
    own = load("base")["own_episodes"] | {"positive": given}
    assert OwnEpisodesParameters.model_validate(own).positive == label


def test_an_empty_key_is_told() -> None:
    with pytest.raises(ValidationError, match="YAML reads an empty key, ~ and null as nothing"):
        IngestParameters.model_validate({"treatments": {None: "rebif"}})


def test_a_path_from_python_is_a_folder(tmp_path: Path) -> None:
    project: KedroProject = make_project(tmp_path / "project")
    own = tmp_path / "own"
    own.mkdir()
    tables = {
        "patients": "PATIENT_ID,country\nA,Belgium\nB,Norway\n",
        "visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\n"
        + "".join(f"{p},{year}-0{m}-01,2.0\n" for p in "AB" for year in range(2000, 2008)
                  for m in (1, 7)),
        "relapses": "PATIENT_ID,DATE_OF_ONSET\n",
        "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE\n",
    }  # fmt: skip
    for name, text in tables.items():
        (own / f"{name}.csv").write_text(text)
    with (
        inside(project),
        KedroSession.create(
            project_path=project.folder, runtime_params={"registry_folder": own}
        ) as session,
    ):
        session.run(pipeline_names=["preprocessing"])
    assert (project.folder / "data/03_primary/episodes.parquet").is_file()
