"""Encodings, workbooks, and files of SPSS, Stata and SAS: what is read, and what is told."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest

from ingest_examples import TEXTS, TODAY, meant, write
from ms_pfl.input_files import FileLimits
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.refusals import UnusableFile
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.table_files import FileSettings, read_table
from ms_pfl.registry.ingest.tables import RegistryTables, ingest


def read(folder: Path, **settings: object) -> RegistryTables:
    return ingest(folder, IngestParameters.model_validate(settings), today=TODAY)[0]


def same(found: RegistryTables, right: RegistryTables) -> None:
    for name in CONTRACT:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(right, name), obj=name)


def frames() -> dict[str, pd.DataFrame]:
    tables = {}
    for name, text in TEXTS.items():
        rows = [row.split(",") for row in text.splitlines()]
        tables[name] = pd.DataFrame(rows[1:], columns=rows[0])
    return tables


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_more_than_the_setting(encoding, tmp_path):
    texts = {name: text.encode(encoding) for name, text in TEXTS.items()}
    same(read(write(tmp_path / "own", **texts), encoding="cp1252"), meant())


def test_bytes_that_are_no_text_in_the_encoding_are_refused(tmp_path):
    folder = write(
        tmp_path / "own", patients=TEXTS["patients"].replace("Italy", "X\x81").encode("latin-1")
    )
    with pytest.raises(IngestError, match=r"is not cp1252 text; .* name its encoding in ingest"):
        read(folder, encoding="cp1252")


def test_one_workbook_may_hold_all_tables(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    with pd.ExcelWriter(folder / "registry.xlsx") as book:
        for name, frame in frames().items():
            frame.to_excel(book, sheet_name={"visits": "EDSS"}.get(name, name), index=False)
        pd.DataFrame({"a": ["about"]}).to_excel(book, sheet_name="notes", index=False)
    files = dict.fromkeys(CONTRACT, "registry.xlsx")
    same(read(folder, files=files, sheets={"visits": "edss"}), meant())
    with pytest.raises(
        IngestError, match=r"has the sheets .*; name the one .* in ingest\.sheets\.visits"
    ):
        read(folder, files=files)
    with pytest.raises(IngestError, match="has no sheet EDS, which ingest"):
        read(folder, files=files, sheets={"visits": "EDS"})


def test_cells_of_a_workbook(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "day", "score", "flag", "error", "mixed", None])
    sheet.append(["007", datetime.datetime(2001, 2, 3), 2.5, True, "#REF!", "03/04/2001", None])
    sheet.append(
        [
            12,
            datetime.datetime(2001, 2, 4, 10, 30),
            3,
            None,
            "#N/A",
            datetime.date(2001, 5, 6),
            None,
        ]
    )
    sheet["E2"].data_type = sheet["E3"].data_type = "e"
    book.save(tmp_path / "a.xlsx")
    frame, origin = read_table(tmp_path / "a.xlsx")
    assert frame["id"].tolist() == ["007", "12"]
    assert frame["day"].tolist() == [
        datetime.date(2001, 2, 3),
        datetime.datetime(2001, 2, 4, 10, 30),
    ]
    assert frame["score"].tolist() == ["2.5", "3"]
    assert frame["flag"].tolist() == ["TRUE", ""]
    assert frame["error"].tolist() == ["#REF!", "#N/A"]
    assert frame["mixed"].tolist() == ["03/04/2001", datetime.date(2001, 5, 6)]
    assert (origin.unit, origin.row(0)) == ("row", 2)


def test_workbooks_that_cannot_be_read(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(UnusableFile, match="is no readable workbook"):
        read_table(tmp_path / "a.xlsx")
    openpyxl.Workbook().save(tmp_path / "b.xlsx")
    with pytest.raises(UnusableFile, match=r"the first row is empty|has the sheets"):
        read_table(tmp_path / "b.xlsx")
    frames()["visits"].to_excel(tmp_path / "c.xlsx", index=False)
    few = FileSettings(FileLimits(columns=2))
    with pytest.raises(UnusableFile, match=r"has 3 columns, and ingest.limits.columns is 2"):
        read_table(tmp_path / "c.xlsx", settings=few)


@pytest.mark.parametrize("kind", ["sav", "dta", "xpt"])
def test_a_registry_of_a_statistics_program(kind, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    short = {"DATE_OF_VISIT": "VISIT", "PATIENT_ID": "ID", "MS_ONSET_DATE": "ONSET",
             "MS_DIAGNOSIS_DATE": "DIAG", "BIRTH_DATE": "BIRTH", "DATE_OF_ONSET": "REL",
             "START_DATE": "START", "END_DATE": "END"}  # fmt: skip
    write_file = {"sav": pyreadstat.write_sav, "dta": pyreadstat.write_dta,
                  "xpt": pyreadstat.write_xport}[kind]  # fmt: skip
    for name, frame in frames().items():
        typed = frame.astype(object)
        for column in typed.columns:
            if "DATE" in column:
                typed[column] = [
                    datetime.date.fromisoformat(cell) if cell else None for cell in typed[column]
                ]
            elif column == "EDSS":
                typed[column] = typed[column].astype("float64")
            else:
                typed[column] = typed[column].fillna("").astype("str")
        if name == "treatments":
            typed["END_DATE"] = np.full(len(typed), np.nan)
        write_file(typed.rename(columns=short), str(folder / f"{name}.{kind}"))
    columns = {
        name: {short[column]: column for column in frame.columns if column in short}
        for name, frame in frames().items()
    }
    same(read(folder, columns=columns), meant())


def test_a_file_of_a_statistics_program_that_is_none(tmp_path):
    for kind in ("sav", "dta", "xpt", "sas7bdat"):
        (tmp_path / f"a.{kind}").write_bytes(b"none of it" * 50)
        with pytest.raises(UnusableFile, match=rf"a.{kind} is no readable .{kind} file"):
            read_table(tmp_path / f"a.{kind}")


def test_labels_of_values_are_read_where_it_is_set(tmp_path):
    people = pd.DataFrame({"PATIENT_ID": ["A", "B"], "sex": [1.0, 2.0]})
    pyreadstat.write_sav(
        people, str(tmp_path / "a.sav"), variable_value_labels={"sex": {1: "Male", 2: "Female"}}
    )
    assert read_table(tmp_path / "a.sav")[0]["sex"].tolist() == [1.0, 2.0]
    labelled, origin = read_table(tmp_path / "a.sav", settings=FileSettings(value_labels=True))
    assert labelled["sex"].tolist() == ["Male", "Female"]
    assert [note.rule for note in origin.notes] == ["value_label", "value_label"]


def test_a_blank_line_is_one_beside_a_constant_too(tmp_path):
    folder = write(tmp_path / "own", patients="PATIENT_ID,gender\nA,F\n,\nB,\n")
    tables, report = ingest(
        folder, IngestParameters.model_validate({"constants": {"country": "Spain"}}), today=TODAY
    )
    assert tables.patients["PATIENT_ID"].tolist() == ["A", "B"]
    assert set(tables.patients["country"]) == {"Spain"}
    assert report["rule"].tolist() == ["constant", "empty_row"]
