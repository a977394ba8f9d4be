"""What is recorded of how the episodes came about, and of which episodes it is believed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import parameters, random_registry
from ms_pfl.cohort.custom.table import own_episodes
from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.cohort.provenance import (
    check_provenance,
    custom_table_provenance,
    earlier_provenance,
    registry_provenance,
)
from ms_pfl.cohort.schemas import Episodes
from ms_pfl.errors import InputError
from ms_pfl.provenance import data_digest
from ms_pfl.registry.ingest.columns import Origin

SOURCE = {"kind": "synthetic", "description": "test"}
OWN = {
    "columns": {"site": "ward", "label": "worse"},
    "positive": None, "leave_out": (), "categorical": (), "missing_indicators": False,
    "outcome": None, "site_name": "hospital", "minimum_patients": 1,
}  # fmt: skip


def own(**changed: object) -> OwnEpisodesParameters:
    columns = {"patient_id": None, "episode_id": None, "t0": None, **OWN["columns"]}
    return OwnEpisodesParameters.model_validate({**OWN, "columns": columns, **changed})


def read_own(table: pd.DataFrame) -> tuple[pd.DataFrame, Vocabulary]:
    return own_episodes(table, Origin("own.csv", "line", 2), own())


TABLE = pd.DataFrame(
    {"ward": ["a", "b", "a"], "worse": ["0", "1", "1"], "age": ["5", "", "6.5"], "sex": list("fmf")}
)


def test_of_a_registry_source_outcome_and_flow_are_kept() -> None:
    choice = parameters(minimum_edss=1)
    cohort = build_episodes(random_registry(5, n_patients=60), choice)
    known = json.loads(json.dumps(registry_provenance(cohort, SOURCE, choice), allow_nan=False))
    assert known["data"] == data_digest(cohort.episodes)
    assert known["source"] == SOURCE | {
        "outcome": "confirmed EDSS worsening about 730 days after the visit (three strata)"
    }
    assert known["vocabulary"] is None
    assert known["attrition"] == cohort.attrition.to_dict(orient="records")
    assert known["attrition_by_country"] == cohort.attrition_by_country.to_dict(orient="records")
    assert [row["episodes"] for row in known["prevalence"]] == (
        cohort.prevalence["episodes"].tolist()
    )


def test_the_source_names_the_first_event() -> None:
    choice = parameters(minimum_edss=1, outcome="first_confirmed_event", rule="two_strata")
    cohort = build_episodes(random_registry(5, n_patients=60), choice)
    assert registry_provenance(cohort, SOURCE, choice)["source"]["outcome"] == (
        "first confirmed EDSS worsening within 730 days of the visit (two strata)"
    )


def test_of_a_custom_table_source_and_vocabulary_are_kept() -> None:
    episodes, vocabulary = read_own(TABLE)
    known = custom_table_provenance(episodes, vocabulary, own(), "own.csv")
    assert known == {
        "data": data_digest(episodes),
        "source": {
            "kind": "own", "description": "own.csv", "outcome": "worse (1)", "site": "hospital",
        },
        "vocabulary": {
            "columns": ["age", "sex"], "levels": {"sex": ["f", "m"]}, "numbers": ["age"],
            "missing": [],
        },
        "attrition": None, "attrition_by_country": None, "prevalence": None,
    }  # fmt: skip
    named = own(outcome="worse at two years", positive="1")
    source = custom_table_provenance(episodes, vocabulary, named, "own.csv")["source"]
    assert source["outcome"] == "worse at two years"


def test_it_is_believed_of_the_episodes_that_it_was_recorded_of_alone(tmp_path: Path) -> None:
    episodes, vocabulary = read_own(TABLE)
    known = custom_table_provenance(episodes, vocabulary, own(), "own.csv")
    path = tmp_path / "provenance.json"
    unknown = {"kind": "own", "description": "own episodes table"}
    assert earlier_provenance(episodes, path)["source"] == unknown  # no file
    path.write_text(json.dumps(known))
    assert earlier_provenance(episodes, path) == known
    other = episodes.assign(age=[5, 7, 6.5]).astype({"age": "float32"})
    assert earlier_provenance(other, path) == {
        "data": data_digest(other), "source": unknown, "vocabulary": None,
        "attrition": None, "attrition_by_country": None, "prevalence": None,
    }  # fmt: skip
    check_provenance(episodes, known)
    with pytest.raises(InputError, match=r"not those whose provenance .*--pipeline=modelling"):
        check_provenance(other, known)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_episodes_that_were_saved_are_recognized(seed: int) -> None:
    """The digest is taken before the catalog's validation and the file, and compared after."""
    cohort = build_episodes(random_registry(seed, n_patients=30), parameters(minimum_edss=1))
    with tempfile.TemporaryDirectory() as folder:
        for episodes in (cohort.episodes, read_own(TABLE)[0]):
            path = Path(folder) / "episodes.parquet"
            Episodes.validate(episodes).to_parquet(path)
            back = Episodes.validate(pd.read_parquet(path))
            assert data_digest(back) == data_digest(episodes)
