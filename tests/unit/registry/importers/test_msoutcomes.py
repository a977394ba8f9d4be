from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.registry.importers.msoutcomes import convert, main, write_tables
from ms_pfl.registry.ingest.tables import read_folder

HEADER = "ID,dateEDSS,EDSS,FSpyr,FScrbl,FSbstem,FSsens,FSsph,FSvis,FScereb,FSamb,daysPostRelapse\n"
ROWS = (
    "p1,2002-02-01,2.0,0,1,2,3,4,5,1,7,-22\n"
    "p1,2002-03-28,1.5,,,,,,,,,-77\n"
    "p2,2003-01-01,6,,,,,,,,,\n"
)
TABLES = ("patients", "visits", "relapses", "treatments")


def sample(folder: Path, rows: str = ROWS, header: str = HEADER) -> Path:
    path = folder / "sample.csv"
    path.write_text(header + rows)
    return path


def test_rows_by_hand(tmp_path):
    tables = convert(sample(tmp_path), country="Australia")
    assert tables.patients["PATIENT_ID"].tolist() == ["p1", "p2"]
    assert tables.patients["country"].unique().tolist() == ["Australia"]
    assert tables.visits["EDSS"].tolist() == [2.0, 1.5, 6.0]
    first = tables.visits.iloc[0]
    assert [first[f"KFS_{i}"] for i in range(1, 8)] == [0, 1, 2, 3, 4, 5, 1]
    assert first["KFS_AMBULATION"] == 7
    # 22 days before 1 February and 77 before 28 March are one relapse; unknown is none.
    assert tables.relapses["PATIENT_ID"].tolist() == ["p1"]
    assert tables.relapses["DATE_OF_ONSET"].tolist() == [pd.Timestamp("2002-01-10")]
    assert tables.treatments.empty
    assert tables.patients[["BIRTH_DATE", "gender", "MS_ONSET_DATE"]].isna().all(axis=None)


def test_a_row_without_an_edss_tells_its_relapse(tmp_path):
    tables = convert(sample(tmp_path, ROWS + "p2,2003-06-01,,,,,,,,,,-31\n"))
    assert tables.visits["EDSS"].isna().tolist() == [False, False, False, True]
    assert tables.relapses["PATIENT_ID"].tolist() == ["p1", "p2"]
    assert tables.relapses["DATE_OF_ONSET"].iloc[1] == pd.Timestamp("2003-05-01")
    write_tables(tables, tmp_path / "tables")
    pd.testing.assert_frame_equal(read_folder(tmp_path / "tables").visits, tables.visits)


def test_the_real_sample_gives_the_visits_and_relapses_of_the_oracle(shared_data, tmp_path):
    main([str(shared_data("msoutcomes_sample") / "sample_data.csv"), str(tmp_path / "tables")])
    tables = read_folder(tmp_path / "tables")
    oracles = shared_data("oracles")
    relapses = pd.read_csv(oracles / "sample_relapses.csv", parse_dates=["DATE_OF_ONSET"])
    ours = tables.relapses[["PATIENT_ID", "DATE_OF_ONSET"]]
    pd.testing.assert_frame_equal(ours, relapses, check_dtype=False)
    visits = pd.read_csv(oracles / "sample_visits.csv", parse_dates=["DATE_OF_VISIT"])
    pd.testing.assert_frame_equal(tables.visits[visits.columns.tolist()], visits, check_dtype=False)
    assert len(tables.patients) == 40


def test_command_line_writes_what_convert_gives_and_repeats_without_touching(tmp_path):
    source, folder = sample(tmp_path), tmp_path / "deep" / "tables"
    command = [
        sys.executable,
        "-m",
        "ms_pfl.registry.importers.msoutcomes",
        str(source),
        str(folder),
    ]
    done = subprocess.run(
        [*command, "--country", "Oman"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{folder}: 2 patients, 3 visits, 1 relapses, 0 treatments\n"
    assert done.stderr == ""
    assert sorted(os.listdir(folder)) == sorted(f"{name}.csv" for name in TABLES)
    direct, read = convert(source, "Oman"), read_folder(folder)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(direct, name), getattr(read, name))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    main([str(source), str(folder), "--country", "Oman"])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_other_tables_are_replaced_on_demand_only(tmp_path):
    tables = convert(sample(tmp_path))
    folder = tmp_path / "tables"
    write_tables(tables, folder)
    (folder / "visits.csv").write_text("mine")
    with pytest.raises(SystemExit, match=r"^error: .*visits\.csv exists with other content; "):
        main([str(tmp_path / "sample.csv"), str(folder)])
    assert (folder / "visits.csv").read_text() == "mine"
    main([str(tmp_path / "sample.csv"), str(folder), "--overwrite"])
    assert read_folder(folder).visits["EDSS"].tolist() == [2.0, 1.5, 6.0]


def test_a_failed_write_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="No space left on device"):
        write_tables(convert(sample(tmp_path)), tmp_path / "tables")
    assert os.listdir(tmp_path / "tables") == []


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("ID,EDSS\n", "p1,2\n", "has no column dateEDSS; it has ID, EDSS"),
        (HEADER, "p1,2002-02-01,2.3,,,,,,,,,\n", r"line 2, column EDSS: '2\.3' is not on"),
        (HEADER, "p1,soon,2,,,,,,,,,\n", "line 2, column dateEDSS: 'soon' is no date"),
        (
            HEADER,
            ROWS + "p2,2004-01-01,6,,,,,,,,,22\n",
            "line 5, column daysPostRelapse: '22' lies outside -36525 to 0",
        ),
        (
            HEADER,
            ROWS + "p2,1970-01-01,6,,,,,,,,,-3653\n" + "p2,1970-01-01,6,,,,,,,,,-3654\n",
            "line 6, column daysPostRelapse: '-3654' puts the relapse before 1960; "
            "correct it or leave it empty",
        ),
        (HEADER, "", "holds a header and no rows"),
        ("ID,dateEDSS,EDSS,EDSS\n", "p1,2002-02-01,2,3\n", "has two columns named EDSS; keep one"),
    ],
)
def test_refusals_speak_of_the_file_as_it_is(tmp_path, header, rows, message):
    with pytest.raises(InputError, match=message):
        convert(sample(tmp_path, rows, header))


def test_no_file(tmp_path):
    with pytest.raises(SystemExit, match="is no file; name a CSV in the layout"):
        main([str(tmp_path / "absent.csv"), str(tmp_path)])


def test_country_and_ids_are_in_their_normal_form(tmp_path):
    rows = ROWS.replace("p2", "p\u00a02").replace("p1", "e\u0301")
    tables = convert(sample(tmp_path, rows), country="Tu\u0308rkiye ")
    assert tables.patients["country"].unique().tolist() == ["Türkiye"]
    assert tables.patients["PATIENT_ID"].tolist() == ["é", "p 2"]
