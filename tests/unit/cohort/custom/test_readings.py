"""What is set of the cells of a custom table: each is done as set, counted, and never by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from ms_pfl.cohort.custom.proposals import check_table
from ms_pfl.cohort.custom.table import own_episodes, read_file
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.report import IngestReport, report_of, rows_of
from ms_pfl.registry.proposals.settings_text import as_yaml, left_open

ROWS = (
    "site,label,age,share\nA,1,50,12%\nA,0,> 79,30 %\nA,,60,1%\nB,1,nd,2%\nB,0,70,\nB,lost,71,3%\n"
)


def settings(**changed: Any) -> OwnEpisodesParameters:
    columns = {"site": "site", "label": "label"} | changed.pop("columns", {})
    given = {
        "columns": {"patient_id": None, "episode_id": None, "t0": None} | columns,
        "positive": None, "leave_out": (), "categorical": (), "missing_indicators": False,
        "outcome": None, "site_name": "site", "minimum_patients": 1,
    }  # fmt: skip
    return OwnEpisodesParameters.model_validate(given | changed)


def read(path: Path, **changed: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    report = IngestReport()
    given = settings(**changed)
    episodes, _ = own_episodes(*read_file(path, parameters=given), given, report)
    return episodes, report.conclude()


ALL: dict[str, Any] = {
    "missing": ["ND"], "values": {"age": {"> 79": "79"}}, "percent": ["share"],
    "unlabelled": "drop", "labels_left_out": ["lost"],
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(ROWS)
    return path


def test_all_readings_at_once_by_hand(table):
    episodes, report = read(table, **ALL)
    assert table.read_text() == ROWS
    assert episodes["label"].tolist() == [1, 0, 1, 0]
    assert episodes["age"].tolist()[:2] == [50.0, 79.0]
    assert episodes["age"].isna().tolist() == [False, False, True, False]
    assert episodes["share"].tolist()[:3] == [12.0, 30.0, 2.0]
    assert report[["row", "column", "value", "rule", "action"]].to_numpy().tolist() == [
        [2, "share", "12%", "percentage", "read without the sign in 5 rows"],
        [3, "age", "> 79", "value_mapped", "read as 79 in 1 rows"],
        [4, "label", "", "unlabelled_row", "dropped row"],
        [5, "age", "nd", "missing_word", "set to missing in 1 rows"],
        [7, "label", "lost", "label_left_out", "dropped row"],
    ]
    pd.testing.assert_frame_equal(report_of(rows_of(report)), report)


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("missing", "'nd' is no number, as other rows of the column are"),
        ("values", "'> 79' is a limit and no number"),
        ("percent", "is a percentage; write the numbers without the sign"),
        ("unlabelled", "line 4, column label: the value is empty"),
        ("labels_left_out", "'lost' is neither 0 nor 1"),
    ],
)
def test_none_of_it_is_done_by_itself(without, said, table):
    given = {name: value for name, value in ALL.items() if name != without}
    with pytest.raises(InputError) as caught:
        read(table, **given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"values": {"wheight": {"x": None}}},
            "no column wheight, which own_episodes.values names",
        ),
        ({"percent": ["age"]}, "line 2, column age: '50' is no percentage"),
        ({"labels_left_out": ["gone"]}, "no row holds 'gone', which own_episodes.labels_left_out"),
    ],
)
def test_settings_that_fit_no_cell_are_refused(wrong, said, table):
    with pytest.raises(InputError) as caught:
        read(table, **(ALL | wrong))
    assert said in str(caught.value)


def test_what_a_proposal_left_open_is_refused():
    with pytest.raises(ValidationError, match="is still to be filled in"):
        settings(positive="(yours: which label)")
    with pytest.raises(ValidationError, match="is still to be filled in"):
        settings(values={"age": {"> 79": "(yours: a number)"}})


def test_numbers_of_typed_columns_are_found_however_they_are_stored(tmp_path):
    path = tmp_path / "own.parquet"
    pd.DataFrame(
        {"site": list("AABB"), "label": [1, 0, 1, 0], "score": [1.0, 99.0, 2.5, 99.0]}
    ).to_parquet(path)
    episodes, report = read(path, values={"score": {"99": None}})
    assert episodes["score"].isna().tolist() == [False, True, False, True]
    assert report["action"].tolist() == ["set to missing in 2 rows"]


def test_a_custom_table_of_another_kind_is_the_same_table(table, tmp_path):
    right, _ = read(table, **ALL)
    cells = pd.read_csv(table, dtype=str, keep_default_na=False)
    cells.to_excel(tmp_path / "own.xlsx", index=False)
    found, report = read(tmp_path / "own.xlsx", **ALL)
    pd.testing.assert_frame_equal(found, right)
    assert "workbook" in set(report["rule"])
    (tmp_path / "own.txt").write_bytes(ROWS.replace(",", "\t").encode("utf-16"))
    found, report = read(tmp_path / "own.txt", **ALL)
    pd.testing.assert_frame_equal(found, right)
    assert "encoding" in set(report["rule"])


def test_a_check_lists_all_that_stands_in_the_way_and_proposes_settings(table):
    given = settings()
    checked = check_table(*read_file(table), given)
    assert not checked.unsolved
    assert len(checked.problems) >= 3
    assert sorted(one.split(":")[0] for one in left_open(checked.proposal)) == [
        "labels_left_out", "values.age.> 79",
    ]  # fmt: skip
    text = as_yaml({"own_episodes": checked.proposal})
    assert '  missing: ["nd"]\n' in text
    assert '  percent: ["share"]  # assumed: by its cells\n' in text
    assert '  unlabelled: "drop"  # assumed: rows without a label may be left out\n' in text


def test_a_check_of_a_table_that_can_be_read_proposes_nothing(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("site,label,age\nA,1,50\nA,0,60\nB,1,55\nB,0,70\n")
    checked = check_table(*read_file(path), settings())
    assert (checked.problems, checked.proposal) == ((), {})
    assert checked.episodes is not None


def test_columns_are_guessed_by_their_names(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "Hospital,Patient,Outcome,age,visit\nA,1,worse,50,2001-02-03\nA,2,stable,60,2001-02-04\n"
        "B,1,worse,55,2001-02-05\nB,2,stable,70,2001-02-06\n"
    )
    checked = check_table(*read_file(path), settings())
    assert checked.episodes is not None
    columns = {key: leaf.value for key, leaf in checked.proposal["columns"].items()}
    assert columns == {"site": "Hospital", "label": "Outcome", "patient_id": "Patient"}
    assert checked.proposal["leave_out"].value == ["visit"]
    assert left_open(checked.proposal) == [
        "positive: (yours: the label of those who had the outcome, stable or worse)"
    ]


def test_a_field_case_is_read_as_it_lies(shared_data, tmp_path):
    source = shared_data("field_cases") / "own_no_label_and_capped_age.csv"
    cells = pd.read_csv(source, dtype=str, keep_default_na=False)
    cells = cells[cells["label"] != ""].replace({"age": {"> 79": ""}})
    cells.to_csv(tmp_path / "right.csv", index=False)
    right, _ = read(tmp_path / "right.csv")
    found, report = read(source, unlabelled="drop", values={"age": {"> 79": None}})
    pd.testing.assert_frame_equal(found, right)
    assert report["rule"].value_counts().to_dict() == {"unlabelled_row": 7, "value_mapped": 1}
