"""Which file is the table, and what is said of one that is not read."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from ingest_examples import TEXTS, TODAY, meant, write
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import ingest


@pytest.mark.parametrize("names", [("Patients.CSV", "VISITS.csv"), ("PATIENTS.Csv", "visits.CSV")])
def test_names_of_files_are_found_in_any_case(names: tuple[str, str], tmp_path: Path) -> None:
    meant, _ = ingest(write(tmp_path / "plain"), today=TODAY)
    folder = write(tmp_path / "own")
    for name in names:
        (folder / f"{name.lower()}").rename(folder / name)
    pd.DataFrame({"PATIENT_ID": ["A"], "DATE_OF_ONSET": ["2000-12-01"]}).to_parquet(
        folder / "Relapses.PARQUET"
    )
    (folder / "relapses.csv").unlink()
    found, _ = ingest(folder, today=TODAY)
    for table in CONTRACT:
        pd.testing.assert_frame_equal(getattr(found, table), getattr(meant, table))


@pytest.mark.parametrize(
    ("one", "other"),
    [("visits.csv", "Visits.csv"), ("visits.CSV", "visits.parquet"), ("VISITS.csv", "visits.csv")],
)
def test_two_files_of_one_table_are_refused(one: str, other: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "own", visits=None)
    for name in (one, other):
        (folder / name).write_text(TEXTS["visits"])
    with pytest.raises(IngestError, match=r"holds both \S+ and \S+; keep the one that counts"):
        ingest(folder, today=TODAY)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Visits.XLS", "Visits.XLS, an old Excel workbook; save it as a workbook visits.xlsx"),
        ("visits.ods", "visits.ods, an OpenDocument spreadsheet; save it as a workbook"),
        ("visits.csv.gz", "visits.csv.gz, packed; unpack it and name the table in it visits.csv"),
        ("visits.zip", "visits.zip, packed; unpack it and name the table in it visits.csv"),
        ("visits.rds", "write.csv(readRDS('visits.rds'), 'visits.csv', row.names = FALSE"),
        (
            "visits.json",
            "visits.json, which is no table that is read; save the table as visits.csv",
        ),
    ],
)
def test_a_file_of_another_format_is_named_with_the_way_to_read_it(
    name: str, said: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "own", visits=None)
    (folder / name).write_text("x")
    with pytest.raises(IngestError) as caught:
        ingest(folder, today=TODAY)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"PK\x03\x04rest", "an Excel workbook or a zip archive"),
        (b"\xd0\xcf\x11\xe0rest", "an old Excel workbook"),
        (b"\x1f\x8brest", "a gzip archive"),
        (b"PAR1rest", "a Parquet file"),
    ],
)
def test_a_file_of_another_kind_under_the_name_of_a_csv_file(
    head: bytes, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(IngestError, match=f"visits.csv is {kind} under the name of a text file"):
        ingest(write(tmp_path / "own", visits=head), today=TODAY)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("first", "separator"),
    [("sep=;", ";"), ("SEP=,", ","), ('"sep=;"', ";"), ("sep=\t", "\t"), ("sep=;;;", ";"),
     ("sep=|", "|")],
)  # fmt: skip
def test_a_line_that_names_the_separator_is_no_header(
    first: str, separator: str, mark: str, end: str, tmp_path: Path
) -> None:
    rows = TEXTS["visits"].replace(",", separator) + f"A{separator}2003-01-01{separator}2.3\n"
    text = mark + f"{first}\n{rows}".replace("\n", end)
    folder = write(tmp_path / "own", visits=text.encode())
    with pytest.raises(IngestError, match=r"visits\.csv, line 6, column EDSS: '2\.3' is not on"):
        ingest(folder, today=TODAY)
    (folder / "visits.csv").write_bytes(text.replace("2.3", "").encode())
    found, report = ingest(folder, today=TODAY)
    assert report.loc[report["rule"] == "no_edss", "row"].tolist() == [6]
    pd.testing.assert_frame_equal(found.visits[:3], meant().visits)


def test_lines_below_it_are_counted_where_cells_hold_line_breaks(tmp_path: Path) -> None:
    text = 'sep=,\nPATIENT_ID,DATE_OF_VISIT,EDSS,x\nA,2001-01-01,2,"a\nb"\nB,2001-01-01,2.3,\n'
    with pytest.raises(IngestError, match=r"visits\.csv, line 5, column EDSS: '2\.3'"):
        ingest(write(tmp_path / "own", visits=text), today=TODAY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "own")
    folder.chmod(0o100)
    try:
        with pytest.raises(IngestError, match=r"cannot be listed .*; name a folder that can be"):
            ingest(folder, today=TODAY)
    finally:
        folder.chmod(0o755)
