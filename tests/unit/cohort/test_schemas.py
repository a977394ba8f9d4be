from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from pandera.errors import SchemaError
from pydantic import ValidationError

from cohort_examples import FRACTIONS, parameters, random_registry
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.schemas import Episodes, Splits
from ms_pfl.cohort.splits import split_patients
from ms_pfl.errors import InputError
from ms_pfl.failures import explain


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


def test_episodes_pass_and_come_back_from_a_file(episodes, tmp_path):
    pd.testing.assert_frame_equal(Episodes.validate(episodes), episodes)
    episodes.to_parquet(tmp_path / "episodes.parquet")
    back = Episodes.validate(pd.read_parquet(tmp_path / "episodes.parquet"))
    pd.testing.assert_frame_equal(back, episodes)


def test_a_table_of_ones_own_needs_no_t0_and_is_brought_to_the_dtypes():
    table = Episodes.validate(own_table())
    assert table["label"].dtype == np.int8
    assert table["age"].dtype == np.float32
    assert Episodes.validate(own_table().assign(t0=pd.NaT))["t0"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"label": [0.5, 1.0]},
            "row 1, column label: '0.5' is neither 0 nor 1; correct it",
        ),
        (
            {"label": [1.4, 0.9]},
            "row 1, column label: '1.4' is neither 0 nor 1; correct it (and 1 more like it)",
        ),
        ({"label": [0, 2]}, "row 2, column label: '2' is neither 0 nor 1; correct it"),
        ({"label": ["0", "dead"]}, "row 2, column label: 'dead' is neither 0 nor 1; correct it"),
        (
            {"label": [0, None]},
            "row 2, column label: the value is empty; fill it in or remove the row",
        ),
        (
            {"episode_id": ["a", "a"]},
            "row 2, column episode_id: 'a' stands in an earlier row already; "
            "remove a row that repeats another, or give each episode an id of its own",
        ),
        (
            {"age": ["old", "61"]},
            "row 1, column age: 'old' is no number; encode the column in numbers or leave it out",
        ),
        (
            {"age": pd.Timestamp("2001-02-03")},
            "row 1, column age: '2001-02-03' is no number; "
            "encode the column in numbers or leave it out (and 1 more like it)",
        ),
        (
            {"age": [1.0, np.inf]},
            "row 2, column age: 'inf' is not finite; correct it or leave it empty",
        ),
        (
            {"age": [1.0, 1e39]},
            "row 2, column age: '1e+39' is not finite; correct it or leave it empty",
        ),
        (
            {"country": [None, "Cleveland"]},
            "row 1, column country: the value is empty; fill it in or remove the row",
        ),
        (
            {"t0": ["2001-02-03", "3.2.2001"]},
            "row 2, column t0: '3.2.2001' is no date; write dates as YYYY-MM-DD",
        ),
        (
            {"t0": pd.Timestamp("2001-02-02 23:00", tz="UTC")},
            "row 1, column t0: '2001-02-02 23:00:00+00:00' is a time in a time zone and leaves the "
            "day in doubt; write local days as YYYY-MM-DD (and 1 more like it)",
        ),
    ],
)
def test_what_is_no_episode_is_refused_in_one_line(change, message):
    with pytest.raises(InputError) as caught:
        Episodes.validate(own_table().assign(**change).set_axis([7, 7]), lazy=True)
    assert str(caught.value) == f"episodes table, {message}"


@pytest.mark.parametrize("column", ["episode_id", "patient_id", "country", "label"])
def test_a_missing_column_is_named(column):
    table = own_table().drop(columns=column)
    with pytest.raises(InputError) as caught:
        Episodes.validate(table, lazy=True)
    assert str(caught.value) == (
        f"episodes table has no column {column}; it has {', '.join(table.columns)}: "
        "rename or add what is missing"
    )


def test_a_table_without_features_rows_or_single_names_is_refused():
    with pytest.raises(InputError, match="has no feature beside episode_id, patient_id, country"):
        Episodes.validate(own_table().drop(columns="age"), lazy=True)
    with pytest.raises(InputError, match="holds no row"):
        Episodes.validate(own_table().iloc[:0], lazy=True)
    twice = own_table().assign(sex=1.0).rename(columns={"sex": "age"})
    with pytest.raises(InputError, match="two columns named age"):
        Episodes.validate(twice, lazy=True)


@pytest.mark.parametrize(
    "days",
    [
        ["2001-02-03", None],
        [datetime.date(2001, 2, 3), None],
        pd.to_datetime(["2001-02-03", None]).tz_localize("Asia/Tehran"),
        pd.to_datetime(["2001-02-03", None]).astype("datetime64[s]"),
    ],
    ids=["text", "date", "time zone", "seconds"],
)
def test_t0_is_read_in_every_form_of_a_day(days, tmp_path):
    own_table().assign(t0=days).to_parquet(tmp_path / "own.parquet")
    read = Episodes.validate(pd.read_parquet(tmp_path / "own.parquet"), lazy=True)["t0"]
    assert read.dtype == "datetime64[us]"
    assert read.tolist() == [pd.Timestamp("2001-02-03"), pd.NaT]


@pytest.mark.parametrize(
    "labels", [[0.0, 1.0], [False, True], ["0", "1"], ["no", "Yes"], ["FALSE", "true"]]
)
def test_labels_of_every_spelling_are_read(labels):
    label = Episodes.validate(own_table().assign(label=labels), lazy=True)["label"]
    assert label.tolist() == [0, 1]
    assert label.dtype == np.int8


def test_features_of_every_numeric_type_are_read_and_the_rest_is_kept():
    table = own_table().assign(
        text=["1.5", None],
        blank=["", "2"],
        flag=[True, None],
        whole=pd.array([None, 3], dtype="Int64"),
        nothing=None,
        t0=pd.to_datetime(["2001-01-01 10:30", "2001-01-01 09:00"]),
    )
    table.index = pd.Index([5, 9])
    before = table.copy()
    read = Episodes.validate(table, lazy=True)
    pd.testing.assert_frame_equal(table, before)
    assert read.index.tolist() == [5, 9]
    assert read["t0"].tolist() == table["t0"].tolist()
    expected = {
        "text": [1.5, np.nan],
        "blank": [np.nan, 2],
        "flag": [1, np.nan],
        "whole": [np.nan, 3],
        "nothing": [np.nan, np.nan],
        "age": [61, np.nan],
    }
    for name, values in expected.items():
        assert read[name].dtype == np.float32
        np.testing.assert_array_equal(read[name], values)


def test_the_catalog_hands_on_the_readable_error(tmp_path):
    path = tmp_path / "episodes.parquet"
    own_table().assign(label=[0.5, 1.0]).to_parquet(path)
    catalog = DataCatalog.from_config(
        {
            "episodes": {
                "type": "pandas.ParquetDataset",
                "filepath": str(path),
                "validator": "ms_pfl.cohort.schemas.Episodes",
            }
        }
    )
    with pytest.raises(Exception, match="column label") as caught:
        catalog.load("episodes")
    said = explain(caught.value)
    assert said is not None
    assert said.endswith(
        "episodes table, row 1, column label: '0.5' is neither 0 nor 1; correct it"
    )


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
