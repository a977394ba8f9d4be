from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.table_files import write_folder
from ms_pfl.registry.ingest.tables import RegistryTables, check, read_folder
from ms_pfl.registry.schemas import Patients, Relapses, Treatments, Visits

TODAY = pd.Timestamp("2024-12-31")
MODELS = {"patients": Patients, "visits": Visits, "relapses": Relapses, "treatments": Treatments}
TEXTS = {
    "patients": (
        "PATIENT_ID,country,BIRTH_DATE,gender,ms_onset_reformat,ONSET_OPTIC,EDUCATION\n"
        "001,Italy,1970-05-06,F,2000-01-02,1,3\n"
        " 002 ,Iran,,male,NA,,\n"
    ),
    "visits": (
        "PATIENT_ID,DATE_OF_VISIT,EDSS,KFS_1,MSCOURSE_AT_VISIT\n"
        "001,2001-01-01,2.0,1,RR\n"
        "001,2002-01-01,2.5,,RRMS\n"
        "002,2001-06-01T10:30:00,0,,unknown\n"
    ),
    "relapses": "PATIENT_ID,DATE_OF_ONSET,severity\n001,2000-12-01,severe\n",
    "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE\n001,Avonex,2001-02-01,\n",
}


def write(folder: Path, **changes: str | None) -> Path:
    for name, text in (TEXTS | changes).items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def refusal(folder: Path, **changes: str | None) -> str:
    """The message, less the folder's name."""
    with pytest.raises(InputError) as caught:
        read_folder(write(folder, **changes), today=TODAY)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "").replace(str(folder), "DIR")


def test_canonical_tables(tmp_path):
    tables = read_folder(write(tmp_path), today=TODAY)
    for name, model in MODELS.items():
        table = getattr(tables, name)
        assert list(table.columns) == [column.name for column in CONTRACT[name]]
        pd.testing.assert_frame_equal(model.validate(table), table)
    description = f"registry tables in {tmp_path.name}"
    assert tables.source == {"kind": "folder", "description": description}
    patients = tables.patients.set_index("PATIENT_ID")
    assert patients.index.tolist() == ["001", "002"]
    assert patients.loc["001", "MS_ONSET_DATE"] == pd.Timestamp("2000-01-02")
    assert patients["gender"].tolist() == ["F", "M"]
    assert patients["BIRTH_DATE"].dtype == "datetime64[us]"
    assert patients.loc["002"].drop(["country", "gender"]).isna().all()
    assert tables.visits["MSCOURSE_AT_VISIT"].tolist()[:2] == ["RR", "RR"]
    assert tables.visits["MSCOURSE_AT_VISIT"].isna().tolist() == [False, False, True]
    assert tables.visits["DATE_OF_VISIT"].iloc[2] == pd.Timestamp("2001-06-01")
    assert tables.visits["KFS_7"].isna().all()
    assert tables.treatments["END_DATE"].isna().all()
    assert tables.future_visit_days == {}


def test_nothing_is_written_into_the_folder(tmp_path):
    def state() -> dict[str, tuple[str, int]]:
        return {
            path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in sorted(tmp_path.iterdir())
        }

    write(tmp_path)
    before = state()
    read_folder(tmp_path, today=TODAY)
    assert state() == before
    assert len(before) == 4


def test_relapses_and_treatments_may_hold_a_header_only(tmp_path):
    write(
        tmp_path,
        relapses="PATIENT_ID,DATE_OF_ONSET\n",
        treatments="PATIENT_ID,dmt,START_DATE,END_DATE\n",
    )
    tables = read_folder(tmp_path, today=TODAY)
    for name in ("relapses", "treatments"):
        table = getattr(tables, name)
        assert table.empty
        pd.testing.assert_frame_equal(MODELS[name].validate(table), table)


VISITS = "PATIENT_ID,DATE_OF_VISIT,EDSS\n"
PATIENTS = "PATIENT_ID,country,BIRTH_DATE\n"
TREATMENTS = "PATIENT_ID,dmt,START_DATE,END_DATE\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"visits": None},
            "DIR holds neither visits.csv nor visits.parquet; add the file (the table is required)"
            ", or name the one that holds the table in ingest.files.visits (the folder holds "
            "patients.csv, relapses.csv, treatments.csv)",
        ),
        (
            {"visits": "PATIENT_ID,DATE_OF_VISIT\n001,2001-01-01\n"},
            "visits.csv has no column EDSS; it has PATIENT_ID, DATE_OF_VISIT: "
            "add it, or name its spelling in ingest.columns.visits",
        ),
        (
            {"visits": VISITS + "001,2001-01-01,2\n\n001,2002-01-01,2.3\n002,2002-01-01,12\n"},
            "visits.csv, line 4, column EDSS: '2.3' is not on the EDSS scale (0, 1, 1.5, 2, ... 10)"
            "; correct the score or leave it empty, or say what it means (null: not known) in "
            "ingest.values.visits.EDSS (and 1 more like it)",
        ),
        (
            {"visits": VISITS + "001,2001-01-01,0.5\n"},
            "visits.csv, line 2, column EDSS: '0.5' is not on the EDSS scale "
            "(0, 1, 1.5, 2, ... 10); correct the score or leave it empty, or say what it means "
            "(null: not known) in ingest.values.visits.EDSS",
        ),
        (
            {"visits": VISITS + "001,2001-01-01,two\n"},
            "visits.csv, line 2, column EDSS: 'two' is no number; "
            "write numbers with a decimal point, or leave it empty, or say what it means "
            "(null: not known) in ingest.values.visits.EDSS",
        ),
        (
            {"visits": VISITS + "001,2001-01-01,2\n999,2001-01-01,2\n998,2001-01-01,2\n"},
            "visits.csv, line 3, column PATIENT_ID: '999' is not in patients.csv; "
            "add the patient there or remove the row (and 1 more like it)",
        ),
        (
            {"relapses": "PATIENT_ID,DATE_OF_ONSET\n1,2001-01-01\n"},
            "relapses.csv, line 2, column PATIENT_ID: '1' is not in patients.csv, which has "
            "'001', the same number: relapses.csv has written ids as numbers, as spreadsheets do; "
            "set ingest.patient_ids: as_numbers, or export the ids as text",
        ),
        (
            {"treatments": TREATMENTS + "001,Avonex,2001-01-01,\n998,Avonex,2001-01-01,\n"},
            "treatments.csv, line 3, column PATIENT_ID: '998' is not in patients.csv; "
            "add the patient there or remove the row",
        ),
        (
            {"visits": VISITS + "001,2001-01-01T00:00:00Z,2\n001,2000-12-31T23:00:00Z,2\n"},
            "visits.csv, line 3, column DATE_OF_VISIT: '2000-12-31T23:00:00Z' is a time in a time "
            "zone and leaves the day in doubt; write local days as YYYY-MM-DD, or name the time "
            "zone of the days in ingest.time_zone",
        ),
        (
            {"patients": "PATIENT_ID,country,EDUCATION\n001,Italy,25\n002,Iran,-99\n"},
            "patients.csv, line 3, column EDUCATION: '-99' lies outside 0 to 25; "
            "correct it or leave it empty, or say what it means (null: not known) in "
            "ingest.values.patients.EDUCATION",
        ),
        (
            {"patients": "PATIENT_ID,country,EDUCATION\n001,Italy,0\n002,Iran,999\n"},
            "patients.csv, line 3, column EDUCATION: '999' lies outside 0 to 25; "
            "correct it or leave it empty, or say what it means (null: not known) in "
            "ingest.values.patients.EDUCATION",
        ),
        (
            {"visits": VISITS + "001,1890-01-01,2\n"},
            "visits.csv, line 2, column DATE_OF_VISIT: 1890-01-01 lies before 1960; correct it",
        ),
        (
            {"patients": PATIENTS + "001,Italy,1890-02-03\n002,Iran,\n"},
            "patients.csv, line 2, column BIRTH_DATE: 1890-02-03 lies before 1900; "
            "correct it or leave it empty",
        ),
        (
            {"relapses": "PATIENT_ID,DATE_OF_ONSET\n001,1959-12-31\n"},
            "relapses.csv, line 2, column DATE_OF_ONSET: 1959-12-31 lies before 1960; correct it",
        ),
        (
            {"visits": VISITS + "001,03/04/2001,2\n"},
            "visits.csv, line 2, column DATE_OF_VISIT: '03/04/2001' is no date; "
            "write dates as YYYY-MM-DD, or name the format of all dates in ingest.date_format",
        ),
        (
            {"visits": VISITS + "001,2001-02-30,2\n"},
            "visits.csv, line 2, column DATE_OF_VISIT: '2001-02-30' is no day of the calendar; "
            "correct it, or name the format of all dates in ingest.date_format where the day "
            "stands before the month",
        ),
        (
            {"visits": VISITS},
            "visits.csv holds a header and no rows; at least one row is needed, "
            "check the export that wrote it",
        ),
        (
            {"patients": "PATIENT_ID,country\n"},
            "patients.csv holds a header and no rows; at least one row is needed, "
            "check the export that wrote it",
        ),
        (
            {"patients": ""},
            "patients.csv is empty; its first line must name the columns, "
            "as the ingest contract does",
        ),
        (
            {"patients": "PATIENT_ID,country\n001,Italy\n002,Iran\n001,Iran\n"},
            "patients.csv, line 4, column PATIENT_ID: '001' looks like another person than the "
            "same id on line 2 (country 'Italy' and 'Iran'); set ingest.patient_ids: by_country if "
            "ids restart there (visits, relapses and treatments then need the column country as "
            "well), or make the ids unique in the export of all tables",
        ),
        (
            {"patients": "PATIENT_ID,country\n001,Italy\n002,\n"},
            "patients.csv, line 3, column country: the value is empty; "
            "fill it in or remove the row",
        ),
        (
            {"visits": VISITS + "001,1969-01-01,2\n"},
            "visits.csv, line 2, column DATE_OF_VISIT: 1969-01-01 lies before the patient's "
            "BIRTH_DATE; correct one of the two",
        ),
        (
            {"patients": "PATIENT_ID,country,gender\n001,Italy,woman\n002,Iran,F\n"},
            "patients.csv, line 2, column gender: 'woman' is none of F, M; the column holds "
            '"F", "woman": say what each of them means (F, M, or null where that is not known) in '
            "ingest.values.patients.gender",
        ),
        (
            {"patients": "PATIENT_ID,country,ONSET_OPTIC\n001,Italy,2\n002,Iran,1\n"},
            "patients.csv, line 2, column ONSET_OPTIC: '2' is neither 0 nor 1; the column holds "
            '"1", "2": say what each of them means ("0", "1", or null where that is not known) in '
            "ingest.values.patients.ONSET_OPTIC",
        ),
        (
            {"patients": "PATIENT_ID,country,ONSET_OPTIC\n001,Italy,maybe\n002,Iran,1\n"},
            "patients.csv, line 2, column ONSET_OPTIC: 'maybe' is neither 0 nor 1; the column "
            'holds "1", "maybe": say what each of them means ("0", "1", or null where that is not '
            "known) in ingest.values.patients.ONSET_OPTIC",
        ),
        (
            {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,KFS_2\n001,2001-01-01,2,9\n"},
            "visits.csv, line 2, column KFS_2: '9' lies outside 0 to 6; "
            "correct it or leave it empty, or say what it means (null: not known) in "
            "ingest.values.visits.KFS_2",
        ),
        (
            {"visits": VISITS + "001,2001-01-01,2,5,extra\n"},
            "visits.csv, line 2: the row has 5 cells and the header 3; "
            'put text that holds a comma in "quotes", or remove a comma too many',
        ),
        (
            {"visits": VISITS + "001,2001-01-01,2\n001,2001-01-02\n001,2001-01-02,2,9\n"},
            "visits.csv, line 3: the row has 2 cells and the header 3; put the missing comma in, "
            "also beside an empty cell (and 1 more like it)",
        ),
        (
            {"visits": VISITS + '001,2001-01-01,2\n001,"2001-01-02,2\n001,2001-01-03,2\n'},
            "visits.csv, line 3: a quotation mark is opened in this row and never closed; "
            "close it, or write it twice within quoted text",
        ),
        (
            {"visits": VISITS + '001,2001-01-01,"2\n001,2001-01-02,3\n001,2001-01-03,4"\n'},
            "visits.csv, line 2: a quoted cell that begins here holds whole rows; close the "
            "quotation mark, or take the line breaks out of the text",
        ),
        (
            {"visits": VISITS + "001,2001-01-01,2\n001,2001-01-\x0002,2\n"},
            "visits.csv, line 3: holds a NUL byte and is no text; export the table again",
        ),
        (
            {"visits": "\n" + VISITS + "001,2001-01-01,2\n"},
            "visits.csv has a blank line 1; remove the blank lines above the column names",
        ),
        (
            {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,edss\n001,2001-01-01,2,3\n"},
            "visits.csv has 2 columns for EDSS: EDSS, edss; keep one of them, or leave one out: "
            "ingest.columns.visits: {edss: null}",
        ),
        (
            {"patients": PATIENTS + "001,Italy,2000-12-15\n002,Iran,\n"},
            "relapses.csv, line 2, column DATE_OF_ONSET: 2000-12-01 lies before the patient's "
            "BIRTH_DATE; correct one of the two",
        ),
        (
            {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,EDSS\n001,2001-01-01,2,3\n"},
            "visits.csv has two columns named EDSS; keep one of them",
        ),
    ],
)
def test_refusals_name_place_value_and_remedy_in_one_line(tmp_path, changes, message):
    assert refusal(tmp_path, **changes) == message


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist or is no folder; name a folder"):
        read_folder(tmp_path / "elsewhere")


def test_two_files_of_one_table(tmp_path):
    write(tmp_path)
    pd.read_csv(tmp_path / "visits.csv").to_parquet(tmp_path / "visits.parquet")
    with pytest.raises(InputError, match=r"both visits\.csv and visits\.parquet"):
        read_folder(tmp_path)


def test_no_utf8(tmp_path):
    write(tmp_path)
    (tmp_path / "patients.csv").write_bytes("PATIENT_ID,country\n1,Österreich\n".encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8 text; save it as CSV UTF-8"):
        read_folder(tmp_path)


def test_no_parquet(tmp_path):
    write(tmp_path, visits=None)
    (tmp_path / "visits.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"visits\.parquet is no readable parquet file"):
        read_folder(tmp_path)


def test_byte_order_mark_case_of_headers_and_windows_lines(tmp_path):
    write(tmp_path)
    text = TEXTS["patients"].replace("PATIENT_ID", "patient_id").replace("\n", "\r\n")
    (tmp_path / "patients.csv").write_text(text, encoding="utf-8-sig", newline="")
    other = tmp_path / "plain"
    other.mkdir()
    pd.testing.assert_frame_equal(
        read_folder(tmp_path, today=TODAY).patients,
        read_folder(write(other), today=TODAY).patients,
    )


def test_parquet_gives_the_same_tables_as_csv(tmp_path):
    tables = read_folder(write(tmp_path), today=TODAY)
    other = tmp_path / "parquet"
    other.mkdir()
    for name in CONTRACT:
        getattr(tables, name).to_parquet(other / f"{name}.parquet")
    again = read_folder(other, today=TODAY)
    for name in CONTRACT:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tables, name))


def test_the_future_is_warned_of_and_kept_out(tmp_path, caplog):
    write(
        tmp_path,
        patients=PATIENTS + "001,Italy,2030-01-01\n002,Iran,\n",
        visits=VISITS + "001,2001-01-01,2\n001,2025-01-01,3\n002,2024-12-31,1\n",
        treatments=TREATMENTS + "001,Avonex,2001-02-01,2099-12-31\n",
    )
    with caplog.at_level(logging.WARNING):
        tables = read_folder(tmp_path, today=TODAY)
    assert tables.visits["EDSS"].tolist() == [2.0, 1.0]
    assert tables.future_visit_days == {"001": 1}
    assert tables.patients["BIRTH_DATE"].isna().all()
    assert tables.treatments["END_DATE"].isna().tolist() == [True]
    said = [message.replace(f"{tmp_path}/", "") for message in caplog.messages]
    assert said == [
        "1 rows dated in the future: dropped row "
        "(the first: visits.csv, line 3, column DATE_OF_VISIT)",
        "2 values dated in the future: set to missing "
        "(the first: patients.csv, line 2, column BIRTH_DATE)",
    ]


def test_future_days_with_a_visit_are_counted_once_however_often_the_tables_are_checked(tmp_path):
    late = "001,2025-01-01,3\n001,2025-01-01,4\n002,2025-01-01,\n"
    tables = read_folder(write(tmp_path, visits=VISITS + "001,2001-01-01,2\n" + late), today=TODAY)
    assert tables.future_visit_days == {"001": 1, "002": 1}
    again = check(tables, "read already", today=TODAY)
    assert again.future_visit_days == {"001": 1, "002": 1}
    late_again = pd.concat([tables.visits, tables.visits.tail(1).assign(DATE_OF_VISIT=TODAY)])
    later = replace(tables, visits=late_again)
    sooner = TODAY - pd.Timedelta(days=1)
    assert check(later, "read already", today=sooner).future_visit_days == {"001": 2, "002": 1}
    # A table that was written counts as it stands there.
    other = tmp_path / "parquet"
    other.mkdir()
    for name in CONTRACT:
        getattr(tables, name).to_parquet(other / f"{name}.parquet")
    assert read_folder(other, today=TODAY).future_visit_days == {}


def test_visits_of_the_future_alone_are_refused(tmp_path):
    assert refusal(tmp_path, visits=VISITS + "001,2025-01-01,2\n").startswith(
        "visits.csv holds no usable row, as all were left out; correct their dates"
    )


def test_visits_without_a_score_are_kept_and_counted(tmp_path, caplog):
    write(tmp_path, visits=VISITS + "001,2001-01-01,\n001,2002-01-01,3\n002,2002-01-01,NA\n")
    with caplog.at_level(logging.WARNING):
        tables = read_folder(tmp_path, today=TODAY)
    assert tables.visits["EDSS"].isna().tolist() == [True, False, True]
    pd.testing.assert_frame_equal(Visits.validate(tables.visits), tables.visits)
    said = caplog.messages[0].replace(f"{tmp_path}/", "")
    assert said == (
        "2 visits without an EDSS, which give no episode: kept "
        "(the first: visits.csv, line 2, column EDSS)"
    )


@pytest.mark.parametrize("zone", ["Europe/Brussels", "UTC"])
def test_midnights_of_a_time_zone_are_days(zone):
    tables = in_memory()
    days = pd.to_datetime(["2001-01-01", "2001-07-01"]).tz_localize(zone)
    tables.visits["DATE_OF_VISIT"] = days
    read = check(tables, "my tables", today=TODAY).visits["DATE_OF_VISIT"]
    assert read.dtype == "datetime64[us]"
    assert read.tolist() == [pd.Timestamp("2001-01-01"), pd.Timestamp("2001-07-01")]


def test_parquet_with_a_time_zone_keeps_its_days_or_is_refused(tmp_path):
    write(tmp_path, visits=None)
    local = pd.to_datetime(["2001-01-01", "2001-07-01"]).tz_localize("Europe/Brussels")
    frame = pd.DataFrame({"PATIENT_ID": "001", "DATE_OF_VISIT": local, "EDSS": 1.0})
    frame.to_parquet(tmp_path / "visits.parquet")
    days = read_folder(tmp_path, today=TODAY).visits["DATE_OF_VISIT"]
    assert days.dt.strftime("%Y-%m-%d").tolist() == ["2001-01-01", "2001-07-01"]
    frame.assign(DATE_OF_VISIT=local.tz_convert("UTC")).to_parquet(tmp_path / "visits.parquet")
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path, today=TODAY)
    assert str(caught.value).replace(f"{tmp_path}/", "") == (
        "visits.parquet, row 1, column DATE_OF_VISIT: '2000-12-31 23:00:00+00:00' is a time in a "
        "time zone and leaves the day in doubt; write local days as YYYY-MM-DD, or name the time "
        "zone of the days in ingest.time_zone (and 1 more like it)"
    )


@pytest.mark.parametrize(
    "cells",
    [
        ["yes", "No", None],
        ["TRUE", "false", "unknown"],
        ["1", "0", "."],
        [True, False, None],
        pd.array([True, False, None], dtype="boolean"),
        [1, 0, np.nan],
    ],
    ids=["yes", "true", "1", "bool", "boolean", "number"],
)
def test_flags_are_read_in_every_spelling(cells):
    tables = in_memory()
    ids = pd.DataFrame({"PATIENT_ID": ["1", "2", "3"], "country": "Italy", "ONSET_OPTIC": cells})
    tables = RegistryTables(ids, tables.visits, tables.relapses, tables.treatments)
    flags = check(tables, "my tables", today=TODAY).patients["ONSET_OPTIC"]
    assert flags.tolist()[:2] == [1.0, 0.0]
    assert np.isnan(flags.iloc[2])


def in_memory() -> RegistryTables:
    return RegistryTables(
        pd.DataFrame({"PATIENT_ID": [1, 2], "country": ["Italy", "NA"]}),
        pd.DataFrame(
            {
                "PATIENT_ID": [1, 2],
                "DATE_OF_VISIT": pd.to_datetime(["2001-01-01 00:00", "2001-01-02 10:00"]),
                "EDSS": [1, 2],
            },
            index=[7, 7],
        ),
        pd.DataFrame({"PATIENT_ID": [1.0], "DATE_OF_ONSET": ["2001-01-01"]}),
        pd.DataFrame({"PATIENT_ID": [], "dmt": [], "START_DATE": [], "END_DATE": []}),
    )


def test_tables_in_memory_are_brought_to_the_same_form():
    tables = check(in_memory(), "my tables", today=TODAY)
    for name, model in MODELS.items():
        table = getattr(tables, name)
        pd.testing.assert_frame_equal(model.validate(table), table)
    assert tables.patients["PATIENT_ID"].tolist() == ["1", "2"]
    assert tables.patients["country"].tolist() == ["Italy", "NA"]
    assert tables.relapses["PATIENT_ID"].tolist() == ["1"]
    assert tables.visits["DATE_OF_VISIT"].iloc[1] == pd.Timestamp("2001-01-02")
    assert tables.source == {"kind": "own", "description": "my tables"}


def test_a_source_that_is_named_already_is_kept():
    simulated = {"kind": "synthetic", "description": "simulated"}
    tables = replace(in_memory(), source=simulated)
    assert check(tables, "synthetic registry", today=TODAY).source == simulated


def test_rows_in_memory_are_counted_from_one():
    tables = in_memory()
    tables.visits["EDSS"] = [1.0, 2.3]
    with pytest.raises(
        InputError, match=r"^my tables, visits table, row 2, column EDSS: '2\.3' is not on"
    ):
        check(tables, "my tables", today=TODAY)


def test_infinite_education_is_refused():
    tables = in_memory()
    tables.patients["EDUCATION"] = [1.0, np.inf]
    with pytest.raises(InputError, match="row 2, column EDUCATION: 'inf' lies outside 0 to 25"):
        check(tables, "my tables", today=TODAY)


def test_simulated_tables_say_so_wherever_they_lie(tmp_path: Path) -> None:
    tables = {
        "patients": pd.DataFrame({"PATIENT_ID": ["A"], "country": ["Belgium"]}),
        "visits": pd.DataFrame(
            {"PATIENT_ID": ["A"], "DATE_OF_VISIT": ["2001-01-01"], "EDSS": [2.0]}
        ),
        "relapses": pd.DataFrame({"PATIENT_ID": [], "DATE_OF_ONSET": []}, dtype="str"),
        "treatments": pd.DataFrame(
            {"PATIENT_ID": [], "dmt": [], "START_DATE": [], "END_DATE": []}, dtype="str"
        ),
    }
    said = {"kind": "synthetic", "description": "synthetic registry, seed 1"}
    write_folder(tables, said, tmp_path / "made")
    shutil.copytree(tmp_path / "made", tmp_path / "copy")
    assert read_folder(tmp_path / "copy").source == said


def test_of_any_other_source_the_folder_is_named(tmp_path: Path) -> None:
    tables = read_folder(write(tmp_path), today=TODAY)
    write_folder(tables.frames(), tables.source, tmp_path / "other")
    assert read_folder(tmp_path / "other", today=TODAY).source == {
        "kind": "folder", "description": "registry tables in other",
    }  # fmt: skip
