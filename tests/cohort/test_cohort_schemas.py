from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cohort_examples import FRACTIONS, parameters, random_registry
from pandera.errors import SchemaError, SchemaErrors
from pydantic import ValidationError

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.schemas import Episodes, Splits
from ms_pfl.cohort.splits import split_patients


@pytest.fixture(scope="module")
def episodes() -> pd.DataFrame:
    return build_episodes(random_registry(5, n_patients=60), parameters())[0]


def own_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "episode_id": ["a", "b"],
            "patient_id": ["a", "b"],
            "country": "Cleveland",
            "label": [0, 1],
            "age": [61.0, np.nan],
        }
    )


def test_episodes_pass_and_keep_their_source(episodes, tmp_path):
    pd.testing.assert_frame_equal(Episodes.validate(episodes), episodes)
    episodes.to_parquet(tmp_path / "episodes.parquet")
    back = Episodes.validate(pd.read_parquet(tmp_path / "episodes.parquet"))
    pd.testing.assert_frame_equal(back, episodes)
    assert back.attrs == episodes.attrs == {"source": {"kind": "own", "description": "test"}}


def test_a_table_of_ones_own_needs_no_t0_and_is_brought_to_the_dtypes():
    table = Episodes.validate(own_table())
    assert table["label"].dtype == np.int8
    assert table["age"].dtype == np.float32
    assert Episodes.validate(own_table().assign(t0=pd.NaT))["t0"].isna().all()


@pytest.mark.parametrize(
    "change",
    [
        {"label": [0, 2]},
        {"episode_id": ["a", "a"]},
        {"age": ["old", "young"]},
        {"age": [1.0, np.inf]},
        {"country": [None, "Cleveland"]},
    ],
)
def test_what_is_no_episode_is_refused(change):
    with pytest.raises(SchemaErrors):
        Episodes.validate(own_table().assign(**change), lazy=True)


@pytest.mark.parametrize("column", ["label", "patient_id", "age"])
def test_missing_columns_are_refused(column):
    with pytest.raises(SchemaErrors):
        Episodes.validate(own_table().drop(columns=column), lazy=True)


def test_splits_pass_and_a_patient_in_two_of_them_does_not(episodes):
    splits = split_patients(episodes, [0, 1], FRACTIONS)
    pd.testing.assert_frame_equal(Splits.validate(splits), splits)
    twice = pd.concat([splits, splits.iloc[[0]].assign(split="test")], ignore_index=True)
    with pytest.raises(SchemaError):
        Splits.validate(twice)
    with pytest.raises(SchemaError):
        Splits.validate(splits.assign(split="valid"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "four_strata"}, "three_strata"),
        ({"minimum_edss": 0}, "greater than or equal to 1"),
        ({"horizon_tolerance_days": 730}, r"must be less than horizon_days \(730\)"),
        ({"confirmation_day": 90}, "Extra inputs are not permitted"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        parameters(**change)
