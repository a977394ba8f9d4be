"""Every remedy of ingestion, obeyed to the letter, leads to the tables that are meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ingest_examples import TODAY, cohort_parameters, meant, more, write
from ms_pfl.cohort.treatments import classify, unread
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.rules import RULES, STOPPED
from ms_pfl.registry.ingest.tables import RegistryTables, ingest
from remedy_cases import CASES, Case

#: Rules whose remedy is nothing that a program can do, and why.
NOT_MECHANICAL = {
    "folder_absent": "the folder that is meant is named; then nothing of the first one is read",
    "no_row": "the export that wrote an empty table is checked, which is another program",
}


def read(folder: Path, **settings: Any) -> RegistryTables:
    return ingest(folder, IngestParameters.model_validate(settings), today=TODAY)[0]


def assert_same(found: RegistryTables, right: RegistryTables) -> None:
    for name in CONTRACT:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(right, name), obj=name)


def test_every_rule_that_stops_has_a_remedy_that_is_obeyed() -> None:
    stopping = {rule for rule in RULES if RULES[rule].action == STOPPED}
    assert set(CASES) | set(NOT_MECHANICAL) == stopping
    assert not set(CASES) & set(NOT_MECHANICAL)


@pytest.mark.parametrize(
    ("rule", "case"),
    [
        pytest.param(rule, case, id=f"{rule} {number}")
        for rule, cases in CASES.items()
        for number, case in enumerate(cases)
    ],
)
def test_a_remedy_leads_to_what_is_meant(rule: str, case: Case, tmp_path: Path) -> None:
    folder = write(tmp_path / "own", **case.bad)
    case.make(folder)
    with pytest.raises(IngestError) as caught:
        read(folder, **case.before)
    stopped = caught.value.report
    assert rule in set(stopped.loc[stopped["action"] == STOPPED, "rule"])
    assert case.said in str(caught.value)
    assert "\n" not in str(caught.value)
    for table, old, new in case.edits:
        path = folder / f"{table}.csv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    case.obey(folder)
    assert_same(read(folder, **case.settings), meant(**case.right))


def test_spellings_of_a_country_become_one_as_the_report_advises(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", **more("patients", "C,ITALY,,,,"))
    report = ingest(folder, today=TODAY)[1]
    assert report["rule"].tolist().count("country_spelling") == 2
    one = read(folder, values={"patients": {"country": {"ITALY": "Italy"}}})
    assert one.patients["country"].tolist() == ["Italy", "Iran", "Italy"]


@pytest.mark.parametrize(
    ("text", "rule"), [("Foozumab", "treatment_unknown"), ("Rebif or placebo", "treatment_blinded")]
)
def test_a_treatment_that_counts_as_none_is_mapped(text: str, rule: str, tmp_path: Path) -> None:
    classes = cohort_parameters().treatments
    folder = write(tmp_path / "own", **more("treatments", f"B,{text},2001-01-01,"))
    report = ingest(folder, today=TODAY, unread_treatments=lambda dmt: unread(dmt, classes))[1]
    assert rule in set(report["rule"])
    found = read(folder, treatments={text: "rebif"}).treatments["dmt"]
    right = meant(**more("treatments", "B,rebif,2001-01-01,")).treatments["dmt"]
    assert classify(found, classes)[0].tolist() == classify(right, classes)[0].tolist()
    assert unread(found, classes).isna().all()


def test_ids_of_a_number_in_each_centre_are_told_apart_by_their_country(shared_data, tmp_path):
    source = shared_data("field_cases")
    restarted, plain = source / "registry_ids_per_centre", source / "registry_plain"
    with pytest.raises(IngestError, match="'1' looks like another person than the same id on line"):
        read(restarted)
    with pytest.raises(IngestError, match="the table has no column country; add it"):
        read(restarted, patient_ids="by_country")
    # as the message says: the column is added, from the export in which ids are unique
    home = pd.read_csv(plain / "patients.csv").set_index("PATIENT_ID")["country"]
    for name in CONTRACT:
        table = pd.read_csv(restarted / f"{name}.csv", dtype=str, keep_default_na=False)
        table["country"] = pd.read_csv(plain / f"{name}.csv")["PATIENT_ID"].map(home)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    found, right = read(tmp_path, patient_ids="by_country"), read(plain)
    ids = dict(zip(found.patients["PATIENT_ID"], right.patients["PATIENT_ID"], strict=True))
    assert len(ids) == 15
    assert found.patients["PATIENT_ID"][0] == "1 (Turkey)"
    for name in CONTRACT:
        table = getattr(found, name)
        table["PATIENT_ID"] = table["PATIENT_ID"].map(ids)
    assert_same(found, right)


def test_ids_that_a_spreadsheet_wrote_as_numbers_are_those_of_the_plain_registry(shared_data):
    source = shared_data("field_cases")
    with pytest.raises(IngestError, match=r"'1' is not in .*, which has '00001', the same number"):
        read(source / "registry_ids_excel")
    found = read(source / "registry_ids_excel", patient_ids="as_numbers")
    right = read(source / "registry_plain")
    ids = dict(zip(found.patients["PATIENT_ID"], right.patients["PATIENT_ID"], strict=True))
    for name in CONTRACT:
        table = getattr(found, name)
        table["PATIENT_ID"] = table["PATIENT_ID"].map(ids)
    assert_same(found, right)


def test_a_line_that_names_the_separator_is_read(shared_data):
    source = shared_data("field_cases")
    assert_same(read(source / "registry_sep_line"), read(source / "registry_plain"))
