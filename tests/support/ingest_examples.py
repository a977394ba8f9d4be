"""A small registry in files, and one example of every rule of ingestion."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyreadstat
import yaml

from kedro_project import PROJECT
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.registry.ingest.tables import RegistryTables, ingest

TODAY = pd.Timestamp("2024-12-31")
TEXTS = {
    "patients": "PATIENT_ID,country,BIRTH_DATE,MS_ONSET_DATE,MS_DIAGNOSIS_DATE,gender\n"
    "A,Italy,1970-05-06,2000-01-01,2000-06-01,F\n"
    "B,Iran,,,,\n",
    "visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\nA,2001-01-01,2\nA,2002-01-01,2.5\nB,2001-06-01,0\n",
    "relapses": "PATIENT_ID,DATE_OF_ONSET\nA,2000-12-01\n",
    "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE\nA,Avonex,2001-02-01,\n",
}
Row = tuple[str, int | None, str, str, str]


def write(folder: Path, **changes: str | bytes | None) -> Path:
    """Write the registry; None leaves a table out."""
    folder.mkdir(exist_ok=True)
    for name, text in (TEXTS | changes).items():
        if text is not None:
            data = text.encode() if isinstance(text, str) else text
            (folder / f"{name}.csv").write_bytes(data)
    return folder


def meant(**changes: str | bytes | None) -> RegistryTables:
    """The tables of the registry that :func:`write` writes; read once, so leave them unchanged."""
    return _meant(tuple(sorted((TEXTS | changes).items())))


@functools.cache
def _meant(texts: tuple[tuple[str, str | bytes | None], ...]) -> RegistryTables:
    with tempfile.TemporaryDirectory() as folder:
        return ingest(write(Path(folder), **dict(texts)), today=TODAY)[0]


@functools.cache
def cohort_parameters() -> CohortParameters:
    """The cohort as conf/base has it."""
    text = (PROJECT / "conf/base/parameters_preprocessing.yml").read_text(encoding="utf-8")
    return CohortParameters.model_validate(yaml.safe_load(text)["cohort"])


@dataclass(frozen=True)
class Example:
    """Tables in which one rule applies.

    Attributes:
        tables: what differs from the registry above.
        rows: what the report says under this rule: table, row, column, value, action.
        spellings: parameters of ingestion.
    """

    tables: dict[str, str | bytes | None]
    rows: list[Row]
    spellings: dict[str, Any] = field(default_factory=dict)


def more(table: str, *rows: str) -> dict[str, str | bytes | None]:
    """Rows at the end of a table."""
    return {table: TEXTS[table] + "".join(f"{row}\n" for row in rows)}


def patients(*columns: str) -> dict[str, str | bytes | None]:
    """The patients with columns of their own: a header, then A and B."""
    names, a, b = columns
    return {"patients": f"PATIENT_ID,country,{names}\nA,Italy,{a}\nB,Iran,{b}\n"}


_S = "stopped"
#: Two people of one id, and tables that say of which country each row is.
RESTARTED: dict[str, str | bytes | None] = {
    "patients": "PATIENT_ID,country,BIRTH_DATE\nA,Italy,1970-05-06\nA,Iran,1980-01-01\n",
    "visits": "PATIENT_ID,country,DATE_OF_VISIT,EDSS\n"
    "A,Italy,2001-01-01,2\nA,Italy,2002-01-01,2.5\nA,Iran,2001-06-01,0\n",
    "relapses": "PATIENT_ID,DATE_OF_ONSET,country\nA,2000-12-01,Italy\n",
    "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE,country\nA,Avonex,2001-02-01,,Italy\n",
}
EXAMPLES: dict[str, Example] = {
    "folder_absent": Example({}, [("", None, "", "", _S)]),
    "table_absent": Example({"relapses": None}, [("relapses", None, "", "", _S)]),
    "file_unreadable": Example({"visits": None}, [("visits", None, "", "", _S)]),
    "table_twice": Example({}, [("visits", None, "", "", _S)]),
    "not_utf8": Example(
        {"patients": "PATIENT_ID,country\nA,Italy\nB,Österreich\n".encode("latin-1")},
        [("patients", 3, "", "", _S)],
    ),
    "encoding_contradicted": Example(
        {"patients": "PATIENT_ID,country\nA,Italy\nB,Österreich\n"},
        [("patients", None, "", "", _S)],
        {"encoding": {"patients": "cp1252"}},
    ),
    "nul_byte": Example(more("visits", "A,2003-01-01,\0002"), [("visits", 5, "", "", _S)]),
    "no_header": Example({"visits": "\n\n"}, [("visits", None, "", "", _S)]),
    "header_short": Example(
        {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\n1,A,2001-01-01,2\n2,B,2001-01-01,0\n"},
        [("visits", 1, "", "3 names", _S)],
    ),
    "ragged_row": Example(
        more("visits", "A,2003-01-01", "A,2004-01-01,2,2"),
        [("visits", 5, "", "2 cells", _S), ("visits", 6, "", "4 cells", _S)],
    ),
    "open_quote": Example(
        more("visits", 'A,2003-01-01,"2', "A,2004-01-01,2"), [("visits", 5, "", "", _S)]
    ),
    "row_in_a_cell": Example(
        more("visits", 'A,2003-01-01,"2', 'A,2004-01-01,2"'),
        [("visits", 5, "", "2\\nA,2004-01-01,2", _S)],
    ),
    "column_absent": Example(
        {"visits": "PATIENT_ID,DATE_OF_VISIT,score\nA,2001-01-01,2\n"},
        [("visits", None, "EDSS", "", _S)],
    ),
    "column_twice": Example(
        {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,edss\nA,2001-01-01,2,3\n"},
        [("visits", None, "EDSS", "", _S)],
    ),
    "constant_beside_column": Example(
        {}, [("patients", None, "country", "", _S)], {"constants": {"country": "Spain"}}
    ),
    "no_row": Example(
        {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\n"}, [("visits", None, "", "", _S)]
    ),
    "value_absent": Example(
        more("visits", ",2003-01-01,2", "A,,3"),
        [("visits", 5, "PATIENT_ID", "", _S), ("visits", 6, "DATE_OF_VISIT", "", _S)],
    ),
    "not_a_date": Example(
        more("visits", "A,01/02/2003,2", "A,2003-02-30,2"),
        [
            ("visits", 5, "DATE_OF_VISIT", "01/02/2003", _S),
            ("visits", 6, "DATE_OF_VISIT", "2003-02-30", _S),
        ],
    ),
    "day_in_doubt": Example(
        more("visits", "A,2003-01-01T23:00Z,2"),
        [("visits", 5, "DATE_OF_VISIT", "2003-01-01T23:00Z", _S)],
    ),
    "date_too_early": Example(
        more("relapses", "A,1959-12-31"),
        [("relapses", 3, "DATE_OF_ONSET", "1959-12-31", _S)],
    ),
    "not_a_number": Example(
        more("visits", "A,2003-01-01,two", 'A,2003-01-02,"2,5"'),
        [("visits", 5, "EDSS", "two", _S), ("visits", 6, "EDSS", "2,5", _S)],
    ),
    "edss_not_on_scale": Example(
        more("visits", "A,2003-01-01,0.5", "A,2003-01-02,10.5"),
        [("visits", 5, "EDSS", "0.5", _S), ("visits", 6, "EDSS", "10.5", _S)],
    ),
    "out_of_range": Example(
        patients("EDUCATION", "-99", "3"), [("patients", 2, "EDUCATION", "-99", _S)]
    ),
    "not_a_flag": Example(
        patients("ONSET_OPTIC", "1", "maybe"), [("patients", 3, "ONSET_OPTIC", "maybe", _S)]
    ),
    "not_a_code": Example(
        patients("gender", "woman", "F"), [("patients", 2, "gender", "woman", _S)]
    ),
    "text_too_long": Example(
        more("patients", f"C,{'x' * 101},,,,"), [("patients", 4, "country", "x" * 57 + "...", _S)]
    ),
    "spreadsheet_value": Example(
        more("patients", "1.23457E+11,#N/A,,,,", "C,####,,,,"),
        [
            ("patients", 4, "PATIENT_ID", "1.23457E+11", _S),
            ("patients", 4, "country", "#N/A", _S),
            ("patients", 5, "country", "####", _S),
        ],
    ),
    "patient_twice": Example(
        more("patients", "B,Italy,,,,"), [("patients", 4, "PATIENT_ID", "B", _S)]
    ),
    "patient_in_doubt": Example(
        RESTARTED | {"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\nA,2001-01-01,2\n"},
        [("visits", 2, "PATIENT_ID", "A", _S)],
        {"patient_ids": "by_country"},
    ),
    "other_country": Example(
        {"relapses": "PATIENT_ID,DATE_OF_ONSET,country\nA,2000-12-01,ITALY\nA,2001-12-01,Iran\n"},
        [("relapses", 3, "country", "Iran", _S)],
    ),
    "two_clinics": Example(
        {
            "visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,clinic_code\nA,2001-01-01,2,x\n"
            "A,2001-01-01,4,y\nA,2002-01-01,4,y\nB,2001-01-01,2,\n"
        },
        [("visits", 3, "clinic_code", "y", _S)],
    ),
    "patient_unknown": Example(
        more("treatments", "C,Avonex,2001-01-01,"), [("treatments", 3, "PATIENT_ID", "C", _S)]
    ),
    "before_birth": Example(
        more("visits", "A,1969-01-01,2"), [("visits", 5, "DATE_OF_VISIT", "1969-01-01", _S)]
    ),
    "empty_row": Example(
        more("visits", "", " , ,", "A,2003-01-01,2"),
        [("visits", 5, "", "", "dropped row"), ("visits", 6, "", "", "dropped row")],
    ),
    "duplicate_row": Example(
        more("visits", "A,2001-01-01,2.0") | more("relapses", "A,2000-12-01"),
        [
            ("visits", 5, "PATIENT_ID", "A", "kept one"),
            ("relapses", 3, "PATIENT_ID", "A", "kept one"),
        ],
    ),
    "undated_row": Example(
        more("relapses", "A,", "B,?") | more("treatments", "B,Rebif,NA,2003-01-01"),
        [
            ("relapses", 3, "PATIENT_ID", "A", "dropped row"),
            ("relapses", 4, "PATIENT_ID", "B", "dropped row"),
            ("treatments", 3, "PATIENT_ID", "B", "dropped row"),
        ],
        {"undated": "drop", "missing": ["?"]},
    ),
    "future_row": Example(
        more("visits", "A,2025-01-01,2"),
        [("visits", 5, "DATE_OF_VISIT", "2025-01-01", "dropped row")],
    ),
    "future_value": Example(
        more("treatments", "A,Rebif,2003-01-01,2099-12-31"),
        [("treatments", 3, "END_DATE", "2099-12-31", "set to missing")],
    ),
    "end_before_start": Example(
        more("treatments", "A,Rebif,2003-01-02,2003-01-01", "A,Rebif,2003-01-02,2003-01-02"),
        [("treatments", 3, "END_DATE", "2003-01-01", "dropped row")],
    ),
    "no_edss": Example(
        more("visits", "A,2003-01-01,", "A,2003-01-02,NA"),
        [("visits", 5, "EDSS", "", "kept"), ("visits", 6, "EDSS", "NA", "kept")],
    ),
    "same_day_edss": Example(
        more("visits", "A,2001-01-01,4"),
        [
            ("visits", 2, "EDSS", "2.0", "kept, the lowest counts"),
            ("visits", 5, "EDSS", "4.0", "kept, the lowest counts"),
        ],
    ),
    "visit_before_onset": Example(
        more("visits", "A,1999-12-31,1", "A,2000-01-01,1"),
        [("visits", 5, "DATE_OF_VISIT", "1999-12-31", "kept, onset unknown then")],
    ),
    "relapse_before_onset": Example(
        more("relapses", "A,1999-12-31"),
        [("relapses", 3, "DATE_OF_ONSET", "1999-12-31", "kept")],
    ),
    "diagnosis_before_onset": Example(
        patients("MS_ONSET_DATE,MS_DIAGNOSIS_DATE", "2000-01-02,2000-01-01", ","),
        [("patients", 2, "MS_DIAGNOSIS_DATE", "2000-01-01", "kept")],
    ),
    "patient_without_visit": Example(
        more("patients", "C,Iran,,,,"), [("patients", 4, "PATIENT_ID", "C", "kept")]
    ),
    "country_spelling": Example(
        more("patients", "C,italy,,,,", "D,Itàly,,,,")
        | more("visits", "C,2001-01-01,2", "D,2001-01-01,2"),
        [
            ("patients", 2, "country", "Italy", "kept"),
            ("patients", 4, "country", "italy", "kept"),
            ("patients", 5, "country", "Itàly", "kept"),
        ],
    ),
    "country_not_named": Example(
        more("patients", "C,NA,,,,") | more("visits", "C,2001-01-01,2"),
        [("patients", 4, "country", "NA", "kept")],
    ),
    "file_not_read": Example({}, [("", None, "", "visits.xlsx", "not read")]),
    "no_table": Example(
        {"relapses": None, "treatments": None},
        [
            ("relapses", None, "", "", "read as a table without rows"),
            ("treatments", None, "", "", "read as a table without rows"),
        ],
        {"files": {"relapses": None, "treatments": None}},
    ),
    "encoding": Example(
        {
            "patients": "PATIENT_ID,country\nA,Italy\nB,Österreich\n".encode("utf-16"),
            "relapses": "PATIENT_ID,DATE_OF_ONSET,severity\nA,2000-12-01,schwächer\n".encode(
                "cp1252"
            ),
        },
        [
            ("patients", None, "", "utf-16-le", "read so by its byte order mark"),
            ("relapses", None, "", "cp1252", "read so by ingest.encoding"),
        ],
        {"encoding": {"relapses": "cp1252"}},
    ),
    "workbook": Example(
        {"visits": None}, [("visits", None, "", "Sheet1", "read as the sheet of the table")]
    ),
    "separator": Example(
        {"relapses": "PATIENT_ID\tDATE_OF_ONSET\nA\t2000-12-01\n"},
        [("relapses", 1, "", "tab", "read as separated so")],
    ),
    "decimal_comma": Example(
        {"visits": "PATIENT_ID;DATE_OF_VISIT;EDSS\nB;2001-01-01;2\nA;2001-01-01;2,5\n"},
        [("visits", 3, "EDSS", "2,5", "read as a point in 1 rows")],
    ),
    "column_mapped": Example(
        {"visits": "ID,DATE_OF_VISIT,EDSS,edss\nA,2001-01-01,2,3\nB,2001-01-01,2,3\n"},
        [
            ("visits", None, "ID", "id", "read as PATIENT_ID"),
            ("visits", None, "edss", "edss", "not read"),
        ],
        {"columns": {"visits": {"id": "PATIENT_ID", "edss": None}}},
    ),
    "constant": Example(
        {"patients": "PATIENT_ID\nA\nB\n"},
        [("patients", None, "country", "Spain", "put into 2 rows, which lack the column")],
        {"constants": {"country": "Spain"}},
    ),
    "column_not_read": Example(
        {"relapses": "PATIENT_ID,DATE_OF_ONSET,comment\nA,2000-12-01,x\n"},
        [("relapses", None, "comment", "", "not read")],
    ),
    "text_normalized": Example(
        more("patients", "C,Tu\u0308rkiye,,,,", "D,Türkiye,,,,", "E,Tu\u0308rkiye\u00a0,,,,")
        | more("visits", *(f"{name},2001-01-01,2" for name in "CDE")),
        [
            (
                "patients",
                4,
                "country",
                "Tu\u0308rkiye",
                "read as Türkiye in 1 rows (letters composed)",
            ),
            (
                "patients",
                6,
                "country",
                "Tu\u0308rkiye\\xa0",
                "read as Türkiye in 1 rows (blanks and letters composed)",
            ),
        ],
    ),
    "value_mapped": Example(
        patients("gender", "2", "9"),
        [
            ("patients", 2, "gender", "2", "read as F in 1 rows"),
            ("patients", 3, "gender", "9", "set to missing in 1 rows"),
        ],
        {"values": {"patients": {"gender": {"1": "M", "2": "F", "9": None}}}},
    ),
    "value_label": Example(
        {"patients": None},
        [("patients", None, "gender", "2", "read as Female in 1 rows")],
        {"value_labels": True},
    ),
    "declared_missing": Example(
        {"patients": None},
        [("patients", None, "EDUCATION", "9", "set to missing in 1 rows")],
        {"values": {"patients": {"gender": {"2": "F", "1": "M"}}}},
    ),
    "missing_word": Example(
        patients("BIRTH_DATE,gender", "?,?", "1970-01-01,n/d")
        | more("treatments", "A,Rebif,2003-01-01,?", "A,Rebif,2004-01-01,?"),
        [
            ("patients", 2, "BIRTH_DATE", "?", "set to missing in 1 rows"),
            ("patients", 2, "gender", "?", "set to missing in 1 rows"),
            ("patients", 3, "gender", "n/d", "set to missing in 1 rows"),
            ("treatments", 3, "END_DATE", "?", "set to missing in 2 rows"),
        ],
        {"missing": ["?", "N/D"]},
    ),
    "counted_day": Example(
        {"relapses": "PATIENT_ID,seen,days\nA,2001-01-01,-31\nB,2001-06-01,0\n"},
        [
            (
                "relapses",
                2,
                "days",
                "-31",
                "read as days from seen to DATE_OF_ONSET in 2 rows",
            )
        ],
        {
            "days_from": {"relapses": {"DATE_OF_ONSET": {"date": "seen", "days": "days"}}},
        },
    ),
    "partial_date": Example(
        patients("BIRTH_DATE,MS_ONSET_DATE", "1970,2000-05", "1971-02-03,2000-00-00"),
        [
            (
                "patients",
                2,
                "BIRTH_DATE",
                "1970",
                "read as the middle of the year or month in 1 rows",
            ),
            (
                "patients",
                2,
                "MS_ONSET_DATE",
                "2000-05",
                "read as the middle of the year or month in 2 rows",
            ),
        ],
        {"partial_dates": "middle"},
    ),
    "time_zone": Example(
        more("visits", "A,2002-12-31T23:00Z,2")
        | {"relapses": "PATIENT_ID,DATE_OF_ONSET\nA,2000-12-01T22:30:00+00:00\n"},
        [
            (
                "visits",
                5,
                "DATE_OF_VISIT",
                "2002-12-31T23:00Z",
                "read as the day in Europe/Brussels in 1 rows",
            ),
            (
                "relapses",
                2,
                "DATE_OF_ONSET",
                "2000-12-01T22:30:00+00:00",
                "read as the day in Europe/Brussels in 1 rows",
            ),
        ],
        {"time_zone": "Europe/Brussels"},
    ),
    "treatment_mapped": Example(
        more("treatments", "B,Interferón B,2001-01-01,", "A,interferón  b,2003-01-01,"),
        [
            ("treatments", 3, "dmt", "Interferón B", "read as rebif in 1 rows"),
            ("treatments", 4, "dmt", "interferón b", "read as rebif in 1 rows"),
        ],
        {"treatments": {"Interferón B": "rebif"}},
    ),
    "map_unused": Example(
        {},
        [
            ("patients", None, "gender", "9", "no cell holds it"),
            ("visits", None, "MSCOURSE_AT_VISIT", "rrms?", "no cell holds it"),
            ("treatments", None, "dmt", "Tysabry", "no cell holds it"),
        ],
        {
            "values": {
                "patients": {"gender": {"9": None}},
                "visits": {"MSCOURSE_AT_VISIT": {"rrms?": "RR"}},
            },
            "treatments": {"Tysabry": "tysabri"},
        },
    ),
    "treatment_unknown": Example(
        more("treatments", "B,Foozumab,2001-01-01,", "B,Foozumab,2003-01-01,"),
        [("treatments", 3, "dmt", "Foozumab", "no disease-modifying treatment in 2 rows")],
    ),
    "treatment_blinded": Example(
        more("treatments", "B,Avonex or placebo,2001-01-01,"),
        [("treatments", 3, "dmt", "Avonex or placebo", "no disease-modifying treatment in 1 rows")],
    ),
}


def write_spss(path: Path) -> None:
    """Write two patients, whose file says what 2 and 9 mean."""
    people = pd.DataFrame(
        {"PATIENT_ID": ["A", "B"], "country": ["Italy", "Iran"], "gender": [2.0, None],
         "EDUCATION": [3.0, 9.0]}
    )  # fmt: skip
    pyreadstat.write_sav(
        people, str(path), missing_ranges={"EDUCATION": [9]},
        variable_value_labels={"gender": {1: "Male", 2: "Female"}},
    )  # fmt: skip


def folder_of(rule: str, folder: Path) -> Path:
    """Write the tables of an example."""
    write(folder, **EXAMPLES[rule].tables)
    if rule == "file_unreadable":
        (folder / "visits.parquet").write_text("no parquet")
    elif rule == "table_twice":
        pd.read_csv(folder / "visits.csv").to_parquet(folder / "visits.parquet")
    elif rule in ("workbook", "file_not_read"):
        rows = [row.split(",") for row in TEXTS["visits"].splitlines()]
        pd.DataFrame(rows[1:], columns=rows[0]).to_excel(folder / "visits.xlsx", index=False)
    elif rule in ("value_label", "declared_missing"):
        write_spss(folder / "patients.sav")
    return folder / "elsewhere" if rule == "folder_absent" else folder
