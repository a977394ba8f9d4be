"""For each rule that stops: bad tables, what the message advises, and what obeying it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ingest_examples import RESTARTED, TEXTS, more, patients

Tables = dict[str, str | bytes | None]
Work = Callable[[Path], None]
VISITS = "PATIENT_ID,DATE_OF_VISIT,EDSS\n"


@dataclass(frozen=True)
class Case:
    """A bad input, the remedy in its message, and the result that is known to be right.

    Attributes:
        bad: what differs from the registry of :mod:`ingest_examples`.
        said: the remedy, as it stands in the message.
        edits: (table, text in the file, what the user writes in its place).
        settings: of ``ingest`` once the remedy is obeyed.
        right: what differs from that registry in tables that say what is meant.
        before: settings with which the bad input is read.
        make: makes files of the bad input that are no CSV text.
        obey: does what edits of text cannot.
    """

    bad: Tables
    said: str
    edits: tuple[tuple[str, str, str], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    right: Tables = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    make: Work = lambda folder: None
    obey: Work = lambda folder: None


def line(table: str, bad: str, said: str, good: str) -> Case:
    """A wrong line at the end of a table, and the line that is meant; "": none."""
    meant = more(table, good) if good else {}
    return Case(more(table, bad), said, ((table, f"{bad}\n", good and f"{good}\n"),), right=meant)


def values(column: str, cells: str, said: str, codes: dict[str, str | None], meant: str) -> Case:
    """Texts of a column of patients A and B that a map of all of them makes right."""
    settings = {"values": {"patients": {column: codes}}}
    return Case(patients(column, *cells.split("|")), said, settings=settings,
                right=patients(column, *meant.split("|")))  # fmt: skip


def text_file(folder: Path) -> None:
    (folder / "clinical 2001.TXT").write_text(TEXTS["visits"].replace(",", "\t"))


def workbook(folder: Path) -> None:
    rows = [row.split(",") for row in TEXTS["visits"].splitlines()]
    pd.DataFrame(rows[1:], columns=rows[0]).to_excel(folder / "visits.xlsx", index=False)


def without(name: str) -> Work:
    return lambda folder: (folder / name).unlink()


def written(name: str, text: str) -> Work:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


#: What is meant where the id A restarts in each country.
SEPARATE: Tables = {
    name: text.replace("\nA,Iran", "\nA (Iran),Iran").replace("\nA,", "\nA (Italy),")
    for name, text in RESTARTED.items()
    if isinstance(text, str)
}
NO_COUNTRY = VISITS + "A,2001-01-01,2\nA,2002-01-01,2.5\nA,2001-06-01,0\n"
PEOPLE = "PATIENT_ID,country,BIRTH_DATE,MS_ONSET_DATE\n"
ZEROS = {
    name: text.replace("\nA,", "\n007,").replace("\nB,", "\n008,") for name, text in TEXTS.items()
}
BY_COUNTRY = {"patient_ids": "by_country"}

CASES: dict[str, tuple[Case, ...]] = {
    "table_absent": (
        Case({"relapses": None}, "a table with a header only will do where none are known",
             right={"relapses": "PATIENT_ID,DATE_OF_ONSET\n"},
             obey=written("relapses.csv", "PATIENT_ID,DATE_OF_ONSET\n")),
        Case({"visits": None}, "visits.xls, an old Excel workbook; save it as a workbook",
             make=written("visits.xls", "x"), obey=workbook),
        Case({"visits": None}, "or name the one that holds the table in ingest.files.visits",
             make=text_file, settings={"files": {"visits": "clinical*"}}),
    ),
    "table_twice": (
        Case({}, "keep the one that counts", make=written("Visits.CSV", VISITS),
             obey=without("Visits.CSV")),
        Case({}, "or name it in ingest.files.visits", make=written("Visits.CSV", VISITS),
             settings={"files": {"visits": "v*.csv"}}, obey=without("Visits.CSV")),
    ),
    "file_unreadable": (
        Case({"visits": b"PK\x03\x04\x00"}, "save the table from it as CSV UTF-8 or Parquet",
             obey=written("visits.csv", TEXTS["visits"])),
        Case({"visits": None}, "write it again", make=written("visits.parquet", "no parquet"),
             obey=lambda folder: pd.DataFrame(
                 [row.split(",") for row in TEXTS["visits"].split("\n")[1:-1]],
                 columns=VISITS.strip().split(",")).to_parquet(folder / "visits.parquet")),
    ),
    "not_utf8": (
        Case({"patients": TEXTS["patients"].replace("Iran", "Österreich").encode("latin-1")},
             "save it as CSV UTF-8", obey=written(
                 "patients.csv", TEXTS["patients"].replace("Iran", "Österreich")),
             right={"patients": TEXTS["patients"].replace("Iran", "Österreich")}),
        Case({"patients": TEXTS["patients"].replace("Iran", "Österreich").encode("latin-1")},
             "name its encoding in ingest.encoding, such as cp1252",
             settings={"encoding": "cp1252"},
             right={"patients": TEXTS["patients"].replace("Iran", "Österreich")}),
    ),
    "encoding_contradicted": (
        Case({"patients": TEXTS["patients"].replace("Iran", "Österreich")},
             "name the encoding of each table, as {patients: utf-8}", before={"encoding": "cp1252"},
             settings={"encoding": {"patients": "utf-8"}},
             right={"patients": TEXTS["patients"].replace("Iran", "Österreich")}),
    ),
    "nul_byte": (
        Case({"visits": TEXTS["visits"].encode("utf-16-le")}, "or set ingest.encoding: utf-16-le",
             settings={"encoding": {"visits": "utf-16-le"}}),
        Case({"visits": TEXTS["visits"] + "\0"}, "export the table again",
             obey=written("visits.csv", TEXTS["visits"])),
    ),
    "no_header": (
        Case({"visits": f"\n\n{TEXTS['visits']}"}, "remove the blank lines above the column names",
             (("visits", "\n\nP", "P"),)),
        Case({"visits": TEXTS["visits"].removeprefix(VISITS)},
             "put a line with the names of the columns above them",
             (("visits", "A,2001-01-01,2\n", f"{VISITS}A,2001-01-01,2\n"),)),
    ),
    "header_short": (
        Case({"visits": VISITS + "1,A,2001-01-01,2\n2,A,2002-01-01,2.5\n3,B,2001-06-01,0\n"},
             "if the first cells are row names (as R writes them), write the file without",
             (("visits", "\n1,", "\n"), ("visits", "\n2,", "\n"), ("visits", "\n3,", "\n"))),
        Case({"visits": TEXTS["visits"].replace("\n", ",\n").replace("EDSS,", "EDSS")},
             "if a comma ends each row, end the header with one too",
             (("visits", "EDSS\n", "EDSS,\n"),)),
        Case({"visits": VISITS + "A,2001-01-01,2,0\nA,2002-01-01,2,5\nB,2001-06-01,0,0\n"},
             "if numbers have a decimal comma, separate the cells by semicolons",
             (("visits", VISITS, VISITS.replace(",", ";")), ("visits", "A,", "A;"),
              ("visits", "B,", "B;"), ("visits", "-01,", "-01;"))),
        Case({"treatments": "PATIENT_ID,START_DATE,END_DATE\nA,Avonex,2001-02-01,2001-03-01\n"},
             "if a column has no name, put it in its place in the header",
             (("treatments", "PATIENT_ID,", "PATIENT_ID,dmt,"),),
             right={"treatments": TEXTS["treatments"].replace("01,\n", "01,2001-03-01\n")}),
    ),
    "ragged_row": (
        line("visits", "A,2003-01-01", "put the missing comma in, also beside an empty cell",
             "A,2003-01-01,"),
        Case({"relapses": "PATIENT_ID,DATE_OF_ONSET,severity\nA,2000-12-01,mild\n"
                          "A,2001-12-01,mild, later severe\n"},
             'put text that holds a comma in "quotes"',
             (("relapses", "mild, later severe", '"mild, later severe"'),),
             right={"relapses": "PATIENT_ID;DATE_OF_ONSET;severity\nA;2000-12-01;mild\n"
                                "A;2001-12-01;mild, later severe\n"}),
        Case({"visits": "sep=#\n" + TEXTS["visits"]}, "separate cells by comma, semicolon, tab",
             (("visits", "sep=#", "sep=,"),)),
        Case({"visits": "sep=;\n" + TEXTS["visits"]},
             "the column names are separated by the comma; remove line 1",
             (("visits", "sep=;\n", ""),)),
    ),
    "open_quote": (
        line("visits", 'A,2003-01-01,"2', "close it, or write it twice within quoted text",
             'A,2003-01-01,"2"'),
    ),
    "row_in_a_cell": (
        Case(more("visits", 'A,2003-01-01,"2', 'A,2004-01-01,2"'), "close the quotation mark",
             (("visits", 'A,2003-01-01,"2\n', 'A,2003-01-01,"2"\n'),
              ("visits", 'A,2004-01-01,2"', 'A,2004-01-01,"2"')),
             right=more("visits", "A,2003-01-01,2", "A,2004-01-01,2")),
    ),
    "column_absent": (
        Case({"visits": TEXTS["visits"].replace("EDSS", "score")},
             "name its spelling in ingest.columns.visits",
             settings={"columns": {"visits": {"score": "EDSS"}}}),
        Case({"patients": "PATIENT_ID\nA\nB\n"},
             "or its value in ingest.constants.country where all rows have one",
             settings={"constants": {"country": "Italy"}},
             right={"patients": "PATIENT_ID,country\nA,Italy\nB,Italy\n"}),
        Case({}, "correct the map", before={"columns": {"visits": {"score": "EDSS"}}}),
        Case({}, "add the column clinic_code to all four tables",
             (("patients", "gender\n", "gender,clinic_code\n"), ("patients", "F\n", "F,x\n"),
              ("patients", ",,,,\n", ",,,,,y\n"), ("visits", "EDSS\n", "EDSS,clinic_code\n"),
              ("visits", "2\n", "2,x\n"), ("visits", "2.5\n", "2.5,x\n"),
              ("visits", "0\n", "0,y\n"),
              ("relapses", "ONSET\n", "ONSET,clinic_code\n"), ("relapses", "01\n", "01,x\n"),
              ("treatments", "END_DATE\n", "END_DATE,clinic_code\n"),
              ("treatments", "01,\n", "01,,x\n")),
             {"patient_ids": "by_clinic"}, before={"patient_ids": "by_clinic"},
             right={name: text.replace("\nA,", "\nA (x),").replace("\nB,", "\nB (y),")
                    for name, text in TEXTS.items()} | {
                 "patients": TEXTS["patients"].replace("gender\nA", "gender,clinic_code\nA (x)")
                 .replace("F\nB", "F,x\nB (y)").replace(",,,,\n", ",,,,,y\n")}),
    ),
    "column_twice": (
        Case({"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,edss\nA,2001-01-01,2,9\n"},
             "ingest.columns.visits: {edss: null}",
             settings={"columns": {"visits": {"edss": None}}},
             right={"visits": VISITS + "A,2001-01-01,2\n"}),
        Case({"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS,EDSS\nA,2001-01-01,2,9\n"},
             "keep one of them", (("visits", ",EDSS,EDSS", ",EDSS"), ("visits", ",9", "")),
             right={"visits": VISITS + "A,2001-01-01,2\n"}),
    ),
    "constant_beside_column": (
        Case({}, "take it out there", before={"constants": {"country": "Spain"}}),
        Case({}, "or leave the column out: ingest.columns.patients: {country: null}",
             before={"constants": {"country": "Spain"}},
             settings={"constants": {"country": "Spain"},
                       "columns": {"patients": {"country": None}}},
             right={"patients": TEXTS["patients"].replace("Italy", "Spain").replace(
                 "Iran", "Spain")}),
    ),
    "value_absent": (
        Case(more("relapses", "A,"), "or set ingest.undated: drop", settings={"undated": "drop"}),
        line("visits", "A,,2", "fill it in or remove the row", ""),
        line("visits", "A,,2", "fill it in or remove the row", "A,2003-01-01,2"),
        line("visits", ",2003-01-01,2", "write the patient's id into each row", "B,2003-01-01,2"),
    ),
    "not_a_date": (
        line("visits", "A,03/04/2003,2", "write dates as YYYY-MM-DD", "A,2003-04-03,2"),
        line("visits", "A,2003-02-30,2", "correct it", "A,2003-02-28,2"),
        Case(patients("BIRTH_DATE", "1970", "1971-05"),
             "where only the year or month is known, set ingest.partial_dates: middle",
             settings={"partial_dates": "middle"},
             right=patients("BIRTH_DATE", "1970-07-01", "1971-05-15")),
        Case({"relapses": "PATIENT_ID,DATE_OF_ONSET\nA,2000-01-12\nA,2000-30-11\n"},
             "name the format of all dates in ingest.date_format where the day stands before the "
             "month", settings={"date_format": "%Y-%d-%m"},
             edits=(("patients", "1970-05-06", "1970-06-05"),
                    ("patients", "2000-06-01", "2000-01-06"),
                    ("visits", "2001-06-01", "2001-01-06"),
                    ("treatments", "2001-02-01", "2001-01-02")),
             right={"relapses": "PATIENT_ID,DATE_OF_ONSET\nA,2000-12-01\nA,2000-11-30\n"}),
    ),
    "day_in_doubt": (
        line("visits", "A,2002-12-31T23:00Z,2", "write local days as YYYY-MM-DD",
             "A,2003-01-01,2"),
        Case(more("visits", "A,2002-12-31T23:00Z,2"),
             "or name the time zone of the days in ingest.time_zone",
             settings={"time_zone": "Europe/Brussels"}, right=more("visits", "A,2003-01-01,2")),
    ),
    "date_too_early": (
        line("visits", "A,1902-01-01,2", "correct it", "A,2002-02-01,2"),
        line("patients", "C,Italy,1880-01-01,,,", "correct it or leave it empty", "C,Italy,,,,"),
    ),
    "not_a_number": (
        line("visits", 'A,2003-01-01,"2,5"', "write numbers with a decimal point",
             "A,2003-01-01,2.5"),
        line("visits", "A,2003-01-01,ND", "or leave it empty", "A,2003-01-01,"),
        Case(more("visits", "A,2003-01-01,ND"),
             "or say what it means (null: not known) in ingest.values.visits.EDSS",
             settings={"values": {"visits": {"EDSS": {"ND": None}}}},
             right=more("visits", "A,2003-01-01,")),
    ),
    "edss_not_on_scale": (
        line("visits", "A,2003-01-01,0.5", "correct the score or leave it empty", "A,2003-01-01,"),
    ),
    "out_of_range": (
        Case(patients("EDUCATION", "-99", "3"), "or leave it empty",
             (("patients", "-99", ""),), right=patients("EDUCATION", "", "3")),
        Case(patients("EDUCATION", "-99", "3"), "in ingest.values.patients.EDUCATION",
             settings={"values": {"patients": {"EDUCATION": {"-99": None}}}},
             right=patients("EDUCATION", "", "3")),
    ),
    "not_a_flag": (
        # 1 = no and 2 = yes: whoever only empties the 2 makes yes of each no
        values("ONSET_OPTIC", "1|2", 'the column holds "1", "2": say what each of them means',
               {"1": "0", "2": "1"}, "0|1"),
        values("ONSET_OPTIC", "1|maybe", "or null where that is not known",
               {"1": "1", "maybe": None}, "1|"),
    ),
    "not_a_code": (
        values("gender", "1|2", 'the column holds "1", "2": say what each of them means',
               {"1": "M", "2": "F"}, "M|F"),
        # hombre, mujer
        values("gender", "H|M", 'the column holds "H", "M": say what each of them means',
               {"H": "M", "M": "F"}, "M|F"),
        Case(patients("gender", "H", "M"), "say in ingest.values.patients.gender what each of",
             settings={"values": {"patients": {"gender": {"H": "M", "M": "F"}}}},
             before={"values": {"patients": {"gender": {"H": "M"}}}},
             right=patients("gender", "M", "F")),
    ),
    "text_too_long": (
        Case(more("patients", f"C,{'x' * 101},,,,"), "shorten it",
             (("patients", "x" * 101, "x" * 9),), right=more("patients", f"C,{'x' * 9},,,,")),
    ),
    "spreadsheet_value": (
        line("patients", "123,#REF!,,,,", "or write here what is meant", "123,Iran,,,,"),
        Case(more("patients", "1.23457E+11,Iran,,,,", "1.23457E+11,Iran,,,,"),
             "export the ids again, as text",
             (("patients", "1.23457E+11,Iran,,,,\n1.23457E+11",
               "123457003520,Iran,,,,\n123457003521"),),
             right=more("patients", "123457003520,Iran,,,,", "123457003521,Iran,,,,")),
    ),
    "patient_twice": (
        Case(more("patients", "07,Iran,,,,", "7,Iran,,,,"),
             "or set ingest.patient_ids: as_written where the ids of all tables are spelled alike",
             before={"patient_ids": "as_numbers"},
             right=more("patients", "07,Iran,,,,", "7,Iran,,,,")),
        Case(more("patients", "07,Iran,,,,", "7,Iran,,,,"),
             "if they are one patient keep one of the rows", (("patients", "07,Iran,,,,\n", ""),),
             {"patient_ids": "as_numbers"}, more("patients", "7,Iran,,,,"),
             {"patient_ids": "as_numbers"}),
        Case(RESTARTED, "set ingest.patient_ids: by_country", settings=BY_COUNTRY, right=SEPARATE),
        Case(RESTARTED, "or make the ids unique in the export of all tables",
             (*((name, "\nA,", "\nA (Italy),") for name in RESTARTED),
              ("patients", "A (Italy),Iran", "A (Iran),Iran"),
              ("visits", "A (Italy),Iran", "A (Iran),Iran")), right=SEPARATE),
        # one person, written down twice
        Case({"patients": PEOPLE + "A,Italy,1970-05-06,2000-01-01\nB,Iran,,\n"
                          "A,Italy,1970-05-06,2001-01-01\n"},
             "has another MS_ONSET_DATE here, 2001-01-01, than on line 2, 2000-01-01; for one "
             "person write one row with the values that are right",
             (("patients", "A,Italy,1970-05-06,2001-01-01\n", ""),),
             right={"patients": PEOPLE + "A,Italy,1970-05-06,2000-01-01\nB,Iran,,\n"}),
        # one person who moved
        Case({"patients": PEOPLE + "A,Italy,1970-05-06,2000-01-01\nB,Iran,,\n"
                          "A,Iran,1970-05-06,2000-01-01\n"},
             "for one person who moved keep the row of one place",
             (("patients", "A,Iran,1970-05-06,2000-01-01\n", ""),),
             right={"patients": PEOPLE + "A,Italy,1970-05-06,2000-01-01\nB,Iran,,\n"}),
    ),
    "patient_in_doubt": (
        Case(RESTARTED | {"visits": NO_COUNTRY}, "the table has no column country; add it",
             (("visits", "EDSS\n", "EDSS,country\n"), ("visits", ",2\n", ",2,Italy\n"),
              ("visits", ",2.5\n", ",2.5,Italy\n"), ("visits", ",0\n", ",0,Iran\n")),
             BY_COUNTRY, SEPARATE, BY_COUNTRY),
        Case(RESTARTED | {"visits": str(RESTARTED["visits"]).replace("A,Iran", "A,")},
             "country is empty; fill it in", (("visits", "A,,", "A,Iran,"),), BY_COUNTRY, SEPARATE,
             BY_COUNTRY),
    ),
    "other_country": (
        # of the two people of one id only one was kept in patients
        Case(RESTARTED | {"patients": str(RESTARTED["patients"]).replace(
                "A,Iran,1980-01-01\n", "")},
             "the patients table needs a row for each person and the setting ingest.patient_ids: "
             "by_country",
             (("patients", "1970-05-06\n", "1970-05-06\nA,Iran,1980-01-01\n"),), BY_COUNTRY,
             SEPARATE),
        Case({"visits": "PATIENT_ID,country,DATE_OF_VISIT,EDSS\nA,Iran,2001-01-01,2\n"},
             "leave the column out: ingest.columns.visits: {country: null}",
             settings={"columns": {"visits": {"country": None}}},
             right={"visits": VISITS + "A,2001-01-01,2\n"}),
    ),
    "two_clinics": (
        Case({"visits": "PATIENT_ID,clinic_code,DATE_OF_VISIT,EDSS\nA,x,2001-01-01,2\n"
                        "A,y,2001-01-01,9\n"},
             "else correct the clinic or the day", (("visits", "y,2001-01-01", "y,2001-11-01"),),
             right={"visits": VISITS + "A,2001-01-01,2\nA,2001-11-01,9\n"}),
        Case({"patients": "PATIENT_ID,country,clinic_code\nA,Italy,x\n",
              "visits": "PATIENT_ID,clinic_code,DATE_OF_VISIT,EDSS\nA,x,2001-01-01,2\n"
                        "A,y,2001-01-01,9\n"},
             "the patients table needs a row for each person and the setting ingest.patient_ids: "
             "by_clinic", (("patients", "A,Italy,x\n", "A,Italy,x\nA,Italy,y\n"),
                           ("relapses", "ONSET\n", "ONSET,clinic_code\n"),
                           ("relapses", "-01\n", "-01,x\n"),
                           ("treatments", "END_DATE\n", "END_DATE,clinic_code\n"),
                           ("treatments", "-01,\n", "-01,,x\n")), {"patient_ids": "by_clinic"},
             {"patients": "PATIENT_ID,country,clinic_code\nA (x),Italy,x\nA (y),Italy,y\n",
              "visits": VISITS + "A (x),2001-01-01,2\nA (y),2001-01-01,9\n",
              "relapses": TEXTS["relapses"].replace("A,", "A (x),"),
              "treatments": TEXTS["treatments"].replace("A,", "A (x),")}),
    ),
    "patient_unknown": (
        line("visits", "C,2003-01-01,2", "add the patient there or remove the row", ""),
        Case(more("visits", "C,2003-01-01,2"), "add the patient there",
             (("patients", "B,", "C,Iran,,,,\nB,"),),
             right=more("visits", "C,2003-01-01,2") | {
                 "patients": TEXTS["patients"].replace("B,", "C,Iran,,,,\nB,")}),
        Case(ZEROS | {"visits": ZEROS["visits"].replace("\n00", "\n")},
             "set ingest.patient_ids: as_numbers", settings={"patient_ids": "as_numbers"},
             right={name: text.replace("\n00", "\n") for name, text in ZEROS.items()}),
        Case(ZEROS | {"visits": ZEROS["visits"].replace("\n007", "\n7.0")},
             "or export the ids as text", (("visits", "7.0", "007"),), right=ZEROS),
        Case({"visits": TEXTS["visits"].replace("B,", "b,")},
             "write the id of one patient in one way in all tables", (("visits", "b,", "B,"),)),
    ),
    "before_birth": (
        line("visits", "A,1969-01-01,2", "correct one of the two", "A,2009-01-01,2"),
    ),
}  # fmt: skip
