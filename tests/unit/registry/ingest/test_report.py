"""Every rule of ingestion on an example by hand, and the report that lists what was found."""

from __future__ import annotations

import logging
import os
import pickle
import re
from pathlib import Path

import pandas as pd
import pytest

from ingest_examples import (
    EXAMPLES,
    TEXTS,
    TODAY,
    cohort_parameters,
    folder_of,
    meant,
    more,
    write,
)  # fmt: skip
from kedro_project import PROJECT
from ms_pfl.cohort.treatments import unread
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.report import REPORT_COLUMNS, IngestError
from ms_pfl.registry.ingest.rules import RULES, STOPPED
from ms_pfl.registry.ingest.tables import ingest


def report_of(folder: Path, **spellings: object) -> pd.DataFrame:
    """The report, whether reading stops or not."""
    try:
        return ingest(
            folder,
            IngestParameters.model_validate(spellings),
            today=TODAY,
            unread_treatments=lambda dmt: unread(dmt, cohort_parameters().treatments),
        )[1]
    except IngestError as error:
        return error.report


def rows_of(report: pd.DataFrame, rule: str) -> list[tuple[object, ...]]:
    found = report[report["rule"] == rule]
    return [
        (row.table, None if pd.isna(row.row) else row.row, row.column, row.value, row.action)
        for row in found.itertuples()
    ]


def test_every_rule_has_an_example_and_a_line_in_the_docs():
    assert set(EXAMPLES) == set(RULES)
    text = (PROJECT / "docs" / "ingest.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert documented == list(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_rule_by_hand(rule, tmp_path):
    example = EXAMPLES[rule]
    folder = folder_of(rule, tmp_path / "own")
    report = report_of(folder, **example.spellings)
    assert list(report.columns) == list(REPORT_COLUMNS)
    assert rows_of(report, rule) == example.rows
    stopped = set(report["rule"][report["action"] == STOPPED])
    if RULES[rule].action == STOPPED:
        assert stopped == {rule}  # and what follows from it is not told as a further error
        with pytest.raises(IngestError):
            ingest(folder, IngestParameters.model_validate(example.spellings), today=TODAY)
    else:
        assert not stopped
        # What the rule tolerates is all that is found, but for remarks on how files were read.
        others = set(report["rule"]) - {rule}
        assert all(RULES[other].quiet for other in others)


def test_nothing_found_is_a_report_with_a_header_only(tmp_path):
    _, report = ingest(write(tmp_path / "own"), today=TODAY)
    assert report.empty
    assert list(report.columns) == list(REPORT_COLUMNS)


def test_rows_of_a_table_without_its_columns_are_not_called_empty(tmp_path):
    text = TEXTS["visits"].replace(",", "~")
    report = report_of(write(tmp_path / "own", visits=text))
    assert rows_of(report, "empty_row") == []
    assert set(report["rule"]) == {"column_absent", "column_not_read"}


def test_a_column_without_a_name_is_told_where_it_holds_something(tmp_path):
    rows = TEXTS["visits"].splitlines()
    held = "\n".join(f"{cell},{row}," for cell, row in zip(["", "1", "2", "3"], rows, strict=True))
    report = report_of(write(tmp_path / "own", visits=held + "\n"))
    assert rows_of(report, "column_not_read") == [
        ("visits", None, "(no name, column 1)", "", "not read")
    ]


def test_a_date_format_is_that_of_texts_and_typed_dates_need_none(tmp_path):
    folder = write(tmp_path / "own", visits=None)
    dates = [pd.Timestamp("2001-01-01").date(), pd.Timestamp("2001-06-01").date()]
    visits = pd.DataFrame({"PATIENT_ID": ["A", "B"], "DATE_OF_VISIT": dates, "EDSS": [2.0, 0.0]})
    visits.to_parquet(folder / "visits.parquet")
    for name in ("patients", "relapses", "treatments"):
        text = re.sub(r"(\d{4})-(\d\d)-(\d\d)", r"\3/\2/\1", TEXTS[name])
        (folder / f"{name}.csv").write_text(text)
    tables, _ = ingest(folder, IngestParameters(date_format="%d/%m/%Y"), today=TODAY)
    assert tables.visits["DATE_OF_VISIT"].tolist() == [pd.Timestamp(day) for day in dates]


def test_all_violations_of_all_tables_are_listed_and_the_first_is_said(tmp_path):
    tables = more("patients", "C,Italy,2001-13-01,,,woman") | more(
        "visits", "A,2003-01-01,2.3", "A,2004-01-01,2.4", "X,2004-01-01,2", "A,2025-01-01,1"
    )
    with pytest.raises(IngestError) as caught:
        ingest(write(tmp_path / "own", **tables), today=TODAY)
    said = str(caught.value).replace(f"{tmp_path / 'own'}/", "")
    assert said == (
        "patients.csv, line 4, column BIRTH_DATE: '2001-13-01' is no day of the calendar; "
        "correct it, or name the format of all dates in ingest.date_format where the day stands "
        "before the month; 4 more errors found"
    )
    report = caught.value.report
    stopped = report[report["action"] == STOPPED]
    assert stopped[["table", "row", "rule"]].to_numpy().tolist() == [
        ["patients", 4, "not_a_date"],
        ["patients", 4, "not_a_code"],
        ["visits", 5, "edss_not_on_scale"],
        ["visits", 6, "edss_not_on_scale"],
        ["visits", 7, "patient_unknown"],
    ]
    assert rows_of(report, "future_row")[0][1] == 8


def test_an_unusable_patients_table_makes_nobody_unknown(tmp_path):
    folder = write(tmp_path / "own", patients="PATIENT_ID\nA\nB\n")
    report = report_of(folder)
    assert report["rule"].tolist() == ["column_absent"]


def test_the_error_keeps_its_report_between_processes(tmp_path):
    with pytest.raises(IngestError) as caught:
        ingest(write(tmp_path / "own", relapses=None), today=TODAY)
    back = pickle.loads(pickle.dumps(caught.value))
    assert str(back) == str(caught.value)
    pd.testing.assert_frame_equal(back.report, caught.value.report)


def test_tolerated_rows_are_gone_or_changed_and_the_others_stay(tmp_path):
    folder = write(
        tmp_path / "own",
        **more("patients", "B,Iran,,,,"),
        **more("visits", "A,2001-01-01,2", "", "A,2001-01-01,4", "A,1999-06-01,1"),
        **more("treatments", "B,Rebif,2003-01-02,2003-01-01", "B,Rebif,2004-01-02,2099-01-01"),
    )
    tables, report = ingest(folder, today=TODAY)
    assert tables.patients["PATIENT_ID"].tolist() == ["A", "B"]
    assert tables.patients["MS_ONSET_DATE"].iloc[0] == pd.Timestamp("2000-01-01")
    assert tables.visits["EDSS"].tolist() == [2.0, 2.5, 0.0, 4.0, 1.0]
    assert tables.treatments["START_DATE"].dt.year.tolist() == [2001, 2004]
    assert tables.treatments["END_DATE"].isna().all()
    assert sorted(report["rule"].unique()) == [
        "duplicate_row", "empty_row", "end_before_start", "future_value", "same_day_edss",
        "visit_before_onset",
    ]  # fmt: skip


def test_the_console_has_one_line_a_rule_that_counts(tmp_path, caplog):
    folder = write(
        tmp_path / "own", **more("visits", "A,2001-01-01,2", "A,2001-01-01,2", "A,1999-12-31,1")
    )
    with caplog.at_level(logging.WARNING):
        ingest(folder, today=TODAY)
    assert [message.replace(f"{folder}/", "") for message in caplog.messages] == [
        "2 rows that repeat an earlier one: kept one "
        "(the first: visits.csv, line 5, column PATIENT_ID)",
        "1 visits before the MS onset: kept, onset unknown then "
        "(the first: visits.csv, line 7, column DATE_OF_VISIT)",
    ]


def test_lines_are_those_of_an_editor_where_a_cell_holds_line_breaks(tmp_path):
    visits = (
        "PATIENT_ID,DATE_OF_VISIT,EDSS,comment\n"
        'A,2001-01-01,2,"slept\r\nbadly"\n'
        "\n"
        "B,2001-01-01,2.3,\n"
    )
    report = report_of(write(tmp_path / "own", visits=visits))
    assert rows_of(report, "edss_not_on_scale") == [("visits", 5, "EDSS", "2.3", STOPPED)]
    assert rows_of(report, "empty_row") == [("visits", 4, "", "", "dropped row")]


def test_long_and_unprintable_values_are_shown_in_one_short_line(tmp_path):
    folder = write(tmp_path / "own", **more("visits", f"A,{'9' * 100_000},2", 'A,"x\n\ty",2'))
    values = report_of(folder)["value"].tolist()
    assert values == ["9" * 57 + "...", "x\\n\\ty"]
    with pytest.raises(IngestError) as caught:
        ingest(folder, today=TODAY)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_dialects_give_the_same_tables(separator, end, mark, tmp_path):
    texts = {
        name: (mark + text.replace(",", separator).replace("\n", end)).encode()
        for name, text in TEXTS.items()
    }
    tables, report = ingest(write(tmp_path / "other", **texts), today=TODAY)
    for name in CONTRACT:
        pd.testing.assert_frame_equal(getattr(tables, name), getattr(meant(), name))
    assert len(report) == (0 if separator == "," else 4)


def test_the_folder_may_be_read_only_and_stays_as_it_is(tmp_path):
    folder = write(tmp_path / "own", **more("visits", "A,2001-01-01,2", "X,2001-01-01,2.3"))

    def state() -> list[tuple[str, bytes, int]]:
        paths = sorted(folder.iterdir())
        return [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in paths]

    before = state()
    for path in folder.iterdir():
        os.chmod(path, 0o444)
    os.chmod(folder, 0o555)
    try:
        assert len(report_of(folder)) == 3
        assert state() == before
    finally:
        os.chmod(folder, 0o755)


@pytest.mark.parametrize("cells", [[True, False, True], [[1], [2], [3]]])
def test_parquet_cells_of_another_type_are_no_score(cells, tmp_path):
    folder = write(tmp_path / "own", visits=None)
    visits = pd.DataFrame({"PATIENT_ID": list("AAB"), "DATE_OF_VISIT": "2001-01-01", "EDSS": cells})
    visits.to_parquet(folder / "visits.parquet")
    found = rows_of(report_of(folder), "not_a_number")
    assert [row[1] for row in found] == [1, 2, 3]


def test_float_ids_beyond_whole_numbers_are_no_crash(tmp_path):
    folder = write(tmp_path / "own", visits=None)
    visits = pd.DataFrame({"PATIENT_ID": [1e300, 2.0], "DATE_OF_VISIT": "2001-01-01", "EDSS": 1.0})
    visits.to_parquet(folder / "visits.parquet")
    assert [row[3] for row in rows_of(report_of(folder), "patient_unknown")] == ["1e+300", "2.0"]


def test_a_table_that_is_not_there_is_told_beside_the_others(tmp_path):
    folder = write(tmp_path / "own", **more("visits", "A,2003-01-01,2.3"), relapses=None)
    report = report_of(folder)
    assert report["rule"].tolist() == ["edss_not_on_scale", "table_absent"]


def test_ids_that_are_the_index_of_a_parquet_file_are_read(tmp_path):
    folder = write(tmp_path / "own", patients=None)
    ids = pd.DataFrame({"PATIENT_ID": ["A", "B"], "country": ["Italy", "Iran"]})
    ids.set_index("PATIENT_ID").to_parquet(folder / "patients.parquet")
    assert ingest(folder, today=TODAY)[0].patients["PATIENT_ID"].tolist() == ["A", "B"]
