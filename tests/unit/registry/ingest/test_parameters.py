"""Maps of columns, values and treatments, and the date format: what they do, and wrong ones."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from ingest_examples import TODAY, cohort_parameters, more, patients, write
from ms_pfl.cohort.treatments import classify
from ms_pfl.pipelines.cohort.nodes import read_registry
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import RegistryTables, ingest


def read(folder, **spellings: object) -> RegistryTables:
    return ingest(folder, IngestParameters.model_validate(spellings), today=TODAY)[0]


def refused(folder, **spellings: object) -> str:
    with pytest.raises(IngestError) as caught:
        read(folder, **spellings)
    return str(caught.value).replace(f"{folder}/", "")


VISITS = "Pat Nr.,DATE,EDSS_TOTAL\nA,{},2\nB,{},3\n"
NAMES = {"pat  nr.": "PATIENT_ID", "DATE": "DATE_OF_VISIT", "EDSS_TOTAL": "EDSS"}


def test_other_names_of_columns(tmp_path):
    folder = write(tmp_path / "own", visits=VISITS.format("2001-01-01", "2002-01-01"))
    visits = read(folder, columns={"visits": NAMES}).visits
    assert visits["PATIENT_ID"].tolist() == ["A", "B"]
    assert visits["EDSS"].tolist() == [2.0, 3.0]
    assert refused(folder).startswith(
        "visits.csv has no column PATIENT_ID (nor DATE_OF_VISIT, EDSS); it has Pat Nr., DATE, "
        "EDSS_TOTAL: add it, or name its spelling in ingest.columns.visits"
    )


def test_a_mapped_column_that_is_not_there(tmp_path):
    said = refused(write(tmp_path / "own"), columns={"visits": {"score": "KFS_1"}})
    assert said == (
        "visits.csv has no column score, which ingest.columns.visits names; "
        "it has PATIENT_ID, DATE_OF_VISIT, EDSS: correct the map"
    )


def test_two_columns_for_one(tmp_path):
    text = "PATIENT_ID,DATE_OF_VISIT,EDSS,score\nA,2001-01-01,2,3\nB,2001-01-01,2,3\n"
    folder = write(tmp_path / "own", visits=text)
    assert refused(folder, columns={"visits": {"score": "EDSS"}}) == (
        "visits.csv has 2 columns for EDSS: EDSS, score; keep one of them, or leave one out: "
        "ingest.columns.visits: {score: null}"
    )
    taken = read(folder, columns={"visits": {"score": "EDSS", "EDSS": None}}).visits
    assert taken["EDSS"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("date_format", "first", "second"),
    [
        ("%d/%m/%Y", "03/04/2001", "3/4/2002"),
        ("%m/%d/%Y", "04/03/2001", "4/3/2002"),
        ("%Y%m%d", "20010403", "20020403"),
        ("%d-%b-%Y", "03-Apr-2001", "3-apr-2002"),
        ("%d.%m.%Y %H:%M", "03.04.2001 10:30", "03.04.2002 00:00"),
    ],
)
def test_a_date_format_of_ones_own(date_format, first, second, tmp_path):
    visits = f"PATIENT_ID,DATE_OF_VISIT,EDSS\nA,{first},2\nB,{second},2\n"
    empty = {
        "patients": "PATIENT_ID,country\nA,Italy\nB,Iran\n",
        "relapses": "PATIENT_ID,DATE_OF_ONSET\n",
        "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE\n",
    }
    folder = write(tmp_path / "own", visits=visits, **empty)
    dates = read(folder, date_format=date_format).visits["DATE_OF_VISIT"]
    assert dates.tolist() == [pd.Timestamp("2001-04-03"), pd.Timestamp("2002-04-03")]


def test_dates_of_two_formats_in_one_column_name_the_line(tmp_path):
    folder = write(tmp_path / "own", **more("relapses", "A,12/01/2003"))
    assert refused(folder).startswith(
        "relapses.csv, line 3, column DATE_OF_ONSET: '12/01/2003' is no date"
    )
    relapses = "PATIENT_ID,DATE_OF_ONSET\nA,12/01/2003\nA,2003-01-12\n"
    visits = "PATIENT_ID,DATE_OF_VISIT,EDSS\nA,12/01/2003,1\n"
    bare = {"patients": "PATIENT_ID,country\nA,Italy\n"}
    bare["treatments"] = "PATIENT_ID,dmt,START_DATE,END_DATE\n"
    folder = write(tmp_path / "other", relapses=relapses, visits=visits, **bare)
    assert refused(folder, date_format="%d/%m/%Y") == (
        "relapses.csv, line 3, column DATE_OF_ONSET: '2003-01-12' is no date; "
        "write all dates as %d/%m/%Y (ingest.date_format)"
    )


def test_digits_without_marks_are_read_at_full_width_only(tmp_path):
    visits = "PATIENT_ID,DATE_OF_VISIT,EDSS\nA,2001111,2\nB,20010101,2\n"
    bare = {"patients": "PATIENT_ID,country\nA,Italy\nB,Italy\n"}
    bare["relapses"] = "PATIENT_ID,DATE_OF_ONSET\n"
    bare["treatments"] = "PATIENT_ID,dmt,START_DATE,END_DATE\n"
    folder = write(tmp_path / "own", visits=visits, **bare)
    assert "line 2, column DATE_OF_VISIT: '2001111' is no date" in refused(
        folder, date_format="%Y%m%d"
    )


def test_codes_are_read_as_mapped_whatever_the_type(tmp_path):
    folder = write(tmp_path / "own", patients=None)
    ids = pd.DataFrame({"PATIENT_ID": ["A", "B", "C"], "country": ["BE", "be", "Iran"]})
    ids["gender"] = [1.0, 2.0, None]
    ids.to_parquet(folder / "patients.parquet")
    maps = {"gender": {"1": "M", "2": "F"}, "country": {"BE": "Belgium"}}
    patients = read(folder, values={"patients": maps}).patients
    assert patients["gender"].tolist()[:2] == ["M", "F"]
    assert patients["gender"].isna().tolist() == [False, False, True]
    assert patients["country"].tolist() == ["Belgium", "Belgium", "Iran"]


def test_flags_and_courses_of_ones_own(tmp_path):
    visits = "PATIENT_ID,DATE_OF_VISIT,EDSS,MSCOURSE_AT_VISIT\nA,2001-01-01,2,schubförmig\n"
    folder = write(tmp_path / "own", visits=visits, **patients("ONSET_OPTIC", "ja", "nein"))
    tables = read(
        folder,
        values={
            "patients": {"ONSET_OPTIC": {"Ja": "1", "Nein": "0"}},
            "visits": {"MSCOURSE_AT_VISIT": {"SCHUBFÖRMIG": "RR"}},
        },
    )
    assert tables.patients["ONSET_OPTIC"].tolist() == [1.0, 0.0]
    assert tables.visits["MSCOURSE_AT_VISIT"].tolist() == ["RR"]


def test_treatments_of_ones_own_reach_the_class_of_their_drug(tmp_path):
    folder = write(tmp_path / "own", **more("treatments", "B,Präparat 7,2001-01-01,"))
    dmt = read(folder, treatments={"präparat 7": "Tysabri"}).treatments["dmt"]
    assert dmt.tolist() == ["Avonex", "Tysabri"]
    assert classify(dmt, cohort_parameters().treatments)[1].tolist() == [0, 2]


def test_a_drug_that_no_class_knows_is_in_the_report_of_a_run(tmp_path):
    own = write(tmp_path / "own", **more("treatments", "B,Foozumab,2001-01-01,"))
    report = read_registry(str(own), tmp_path, IngestParameters(), cohort_parameters())[-1]
    assert report[["row", "value", "rule"]].to_numpy().tolist() == [
        [3, "Foozumab", "treatment_unknown"]
    ]


def test_the_synthetic_registry_is_read_without_the_maps_of_a_site(tmp_path):
    synthetic = write(tmp_path / "synthetic")
    maps = IngestParameters.model_validate({"columns": {"visits": {"Datum": "DATE_OF_VISIT"}}})
    visits = read_registry(None, synthetic, maps, cohort_parameters())[1]
    assert len(visits) == 3
    with pytest.raises(IngestError, match="has no column Datum, which ingest"):
        read_registry(str(synthetic), tmp_path, maps, cohort_parameters())


@pytest.mark.parametrize(
    ("spellings", "said"),
    [
        ({"columns": {"vists": {}}}, "'patients', 'visits'"),
        ({"columns": {"visits": {"x": "EDS"}}}, "leads to 'EDS', and visits has only PATIENT_ID"),
        ({"columns": {"visits": {"x": "EDSS", "y": "EDSS"}}}, "two names lead to EDSS"),
        ({"columns": {"visits": {" ": "EDSS"}}}, "is empty"),
        (
            {"values": {"visits": {"PATIENT_ID": {"a": "b"}}}},
            "'PATIENT_ID' is none of DATE_OF_VISIT",
        ),
        (
            {"values": {"visits": {"EDSS": {"two": "2.3"}}}},
            "use a score of the EDSS in quotes, or null",
        ),
        ({"values": {"visits": {"KFS_1": {"x": "7"}}}}, "use a number of 0 to 6, or null"),
        ({"values": {"visits": {"DATE_OF_VISIT": {"x": None}}}}, "'x' leads to None; use a day"),
        ({"values": {"patients": {"BIRTH_DATE": {"x": "1/2/1970"}}}}, "use a day as YYYY-MM-DD"),
        ({"constants": {"PATIENT_ID": "1"}}, "constants: 'PATIENT_ID' is none of country"),
        ({"constants": {"EDSS": "2.3"}}, "use a score of the EDSS"),
        ({"constants": {"country": "(yours: the country)"}}, "is still to be filled in"),
        ({"encoding": "cp9999"}, "'cp9999' is no encoding of text; use utf-8"),
        ({"encoding": {"vists": "cp1252"}}, "'vists' is none of patients, visits"),
        ({"encoding": "rot13"}, "is no encoding of text"),
        ({"time_zone": "Brussels"}, "name a place of the tz database, such as Europe/Paris"),
        ({"files": {"visits": None}}, "null is for relapses and treatments alone"),
        ({"days_from": {"visits": {"EDSS": {"date": "a", "days": "b"}}}}, "'EDSS' is none of its"),
        ({"date_format": {"visits": {"EDSS": "%d/%m/%Y"}}}, "visits: 'EDSS' is none of its dates"),
        ({"profile": "edmus"}, "which only a project does"),
        ({"values": {"patients": {"gender": {"1": "W"}}}}, "'1' leads to 'W'; use F, M"),
        ({"values": {"patients": {"country": {"x": None}}}}, "'x' leads to None; use a name"),
        ({"values": {"patients": {"gender": {"m": "M", "M": "F"}}}}, "is the same as 'm'"),
        ({"treatments": {"A b": "rebif", "a  B": "avonex"}}, "is the same as 'A b'"),
        ({"date_format": "%d/%m/%y"}, "%y is none of %d, %m"),
        ({"date_format": "%d/%m"}, "names day, month and year once each"),
        ({"date_format": "%d/%m/%d/%Y"}, "names day, month and year once each"),
        ({"dateformat": "%d/%m/%Y"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_maps_are_refused_before_anything_is_read(spellings, said):
    with pytest.raises(ValidationError) as caught:
        IngestParameters.model_validate(spellings)
    assert said in str(caught.value)
