"""Ids that restart in each country or clinic, and ids that were written as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ingest_examples import TEXTS, TODAY, more, write
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.patient_ids import as_numbers
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import RegistryTables, ingest

PEOPLE = "PATIENT_ID,country,BIRTH_DATE,gender,clinic_code\n"
VISITS = "PATIENT_ID,country,DATE_OF_VISIT,EDSS\n"
EMPTY = {
    "relapses": "PATIENT_ID,DATE_OF_ONSET\n",
    "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE\n",
}


def read(folder: Path, **spellings: Any) -> RegistryTables:
    return ingest(folder, IngestParameters.model_validate(spellings), today=TODAY)[0]


def refused(folder: Path, **spellings: Any) -> str:
    with pytest.raises(IngestError) as caught:
        read(folder, **spellings)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def test_rows_are_attributed_by_their_country_or_by_the_only_patient_of_the_id(tmp_path):
    folder = write(
        tmp_path / "own",
        patients=PEOPLE + "1,Italy,,,\n1,Iran,,,\n2,Iran,,,\n",
        visits=VISITS + "1,ITALIA,2001-01-01,2\n1,Iran,2001-01-02,3\n2,,2001-01-03,4\n",
        **EMPTY,
    )
    spelled = {"patients": {"country": {"Italia": "Italy"}}}
    tables = read(folder, patient_ids="by_country", values=spelled)
    assert tables.patients["PATIENT_ID"].tolist() == ["1 (Italy)", "1 (Iran)", "2 (Iran)"]
    assert tables.visits["PATIENT_ID"].tolist() == ["1 (Italy)", "1 (Iran)", "2 (Iran)"]
    assert list(tables.visits.columns) == [column.name for column in CONTRACT["visits"]]


def test_visits_of_the_future_are_counted_for_the_patient_they_are_of(tmp_path):
    folder = write(
        tmp_path / "own",
        patients=PEOPLE + "1,Italy,,,\n1,Iran,,,\n",
        visits=VISITS + "1,Italy,2001-01-01,2\n1,Iran,2001-01-02,3\n1,Iran,2099-01-01,3\n",
        **EMPTY,
    )
    tables = read(folder, patient_ids="by_country")
    assert tables.future_visit_days == {"1 (Iran)": 1}


def test_a_patient_of_a_country_that_has_none_of_the_id_is_unknown(tmp_path):
    folder = write(
        tmp_path / "own",
        patients=PEOPLE + "1,Italy,,,\n1,Iran,,,\n",
        visits=VISITS + "1,Italy,2001-01-01,2\n1,Spain,2001-01-01,2\n1,iran,2001-01-01,2\n",
        **EMPTY,
    )
    said = refused(folder, patient_ids="by_country")
    assert "line 4, column PATIENT_ID: '1 (iran)' is not in patients.csv, which has '1 (Iran)'" in (
        said
    )
    assert "1 more error" in said


def test_a_country_by_another_name_is_compared_too(tmp_path):
    folder = write(
        tmp_path / "own",
        relapses="PATIENT_ID,DATE_OF_ONSET,Land\nA,2000-12-01,Iran\nA,2000-12-01,ITALY\n",
    )
    assert "'Iran' is not the country of patient 'A' in patients.csv, 'Italy'" in refused(
        folder, columns={"relapses": {"Land": "country"}}
    ).replace(f"{folder}/", "")
    assert len(read(folder).relapses) == 1  # the rows agree in what is read
    assert len(read(folder, columns={"relapses": {"Land": None}}).relapses) == 1


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("1,Italy,1980-01-01,F,x", "(BIRTH_DATE 1970-05-06 and 1980-01-01); make the ids unique"),
        ("1,Italy,1980-01-01,F,y", "set ingest.patient_ids: by_clinic if ids restart there"),
        ("1,Iran,1980-01-01,F,y", "set ingest.patient_ids: by_country or by_clinic if ids"),
        ("1,Italy,1970-05-06,M,x", "(gender 'F' and 'M')"),
        ("1,Italy,,,y", "(clinic_code 'x' and 'y'); set ingest.patient_ids: by_clinic"),
        ("1,Italy,1970-05-06,F,y", "for one person who moved keep the row of one place; for two"),
        ("1,Italy,,F,x", "has another BIRTH_DATE here, nothing, than on line 2, 1970-05-06; for "
         "one person write one row with the values that are right; for two people make the ids"),
    ],
)  # fmt: skip
def test_two_rows_of_an_id_are_two_people_or_two_histories(second, said, tmp_path):
    patients = PEOPLE + f"1,Italy,1970-05-06,F,x\n{second}\n"
    folder = write(
        tmp_path / "own", patients=patients, visits=VISITS + "1,,2001-01-01,2\n", **EMPTY
    )
    text = refused(folder)
    assert text.startswith("patients.csv, line 3, column PATIENT_ID: '1' ")
    assert said in text
    assert "keep one row per patient" not in text


def test_rows_that_say_the_same_are_one_person_under_every_setting(tmp_path):
    folder = write(tmp_path / "own", **more("patients", "B,Iran,,,,"))
    for kind in ("as_written", "as_numbers", "by_country"):
        assert len(read(folder, patient_ids=kind).patients) == 2


def test_several_patients_of_one_number_are_no_case_for_the_setting(tmp_path):
    patients = "PATIENT_ID,country\n07,Italy\n7,Iran\n008,Iran\n"
    visits = "PATIENT_ID,DATE_OF_VISIT,EDSS\n8,2001-01-01,2\n"
    folder = write(tmp_path / "own", patients=patients, visits=visits, **EMPTY)
    assert "export the ids as text, as several patients have one number" in refused(folder)
    assert "'7' looks like another person" in refused(folder, patient_ids="as_numbers")


@pytest.mark.parametrize(
    ("ids", "loser"), [(["7", "8"], "visits.csv"), ([7, 8], "visits.parquet"),
                       ([7.0, None], "visits.parquet"), (["7.0", "8.0"], "visits.csv")],
)  # fmt: skip
def test_who_has_written_ids_as_numbers_is_named(ids, loser, tmp_path):
    patients = "PATIENT_ID,country\n007,Italy\n008,Iran\n"
    folder = write(tmp_path / "own", patients=patients, visits=None, **EMPTY)
    visits = pd.DataFrame({"PATIENT_ID": ids, "DATE_OF_VISIT": "2001-01-01", "EDSS": 2.0})[:1]
    if loser.endswith("csv"):
        visits.to_csv(folder / loser, index=False)
    else:
        visits.to_parquet(folder / loser)
    assert f"{loser} has written ids as numbers" in refused(folder)
    assert read(folder, patient_ids="as_numbers").visits["PATIENT_ID"].tolist() == ["7"]


def test_the_patients_table_may_be_the_one_that_lost_the_zeros(tmp_path):
    texts = {name: text.replace("\nA,", "\n007,").replace("\nB,", "\n008,")
             for name, text in TEXTS.items()}  # fmt: skip
    texts["patients"] = texts["patients"].replace("\n00", "\n")
    folder = write(tmp_path / "own", **texts)
    assert "patients.csv has written ids as numbers" in refused(folder)


@given(st.lists(st.integers(0, 99999), max_size=20), st.integers(0, 8))
def test_numbers_written_in_any_width_are_one_id(numbers, width):
    padded = pd.Series([str(number).zfill(width) for number in numbers], dtype="str")
    assert as_numbers(padded).tolist() == [str(number) for number in numbers]
    assert as_numbers(padded + ".0").tolist() == [str(number) for number in numbers]
    letters = "P" + padded
    assert as_numbers(letters).tolist() == letters.tolist()


@settings(max_examples=examples(15), suppress_health_check=list(HealthCheck))
@given(
    people=st.lists(
        st.tuples(st.sampled_from(["Italy", "Iran", "Spain"]), st.integers(1, 4)),
        min_size=1, max_size=8, unique=True,
    ),
    order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_restarted_ids_give_the_tables_of_unique_ones(people, order, tmp_path_factory):
    def texts(name_of) -> dict[str, str]:
        day = [f"200{i}-01-01" for i in range(len(people))]
        patients = "".join(f"{name_of(*who)},{who[0]},19{60 + i}-01-01,,\n"
                           for i, who in enumerate(people))  # fmt: skip
        visits = [f"{name_of(*who)},{who[0]},{day[i]},2\n" for i, who in enumerate(people)]
        order.seed(0)
        order.shuffle(visits)
        return {"patients": PEOPLE + patients, "visits": VISITS + "".join(visits)} | EMPTY

    restarted = write(tmp_path_factory.mktemp("r") / "own", **texts(lambda country, i: str(i)))
    unique = write(
        tmp_path_factory.mktemp("u") / "own", **texts(lambda country, i: f"{i} ({country})")
    )
    found, meant = read(restarted, patient_ids="by_country"), read(unique)
    for name in CONTRACT:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(meant, name))


def test_nobody_has_moved_who_differs_in_sex(tmp_path):
    people = PEOPLE + "1,Italy,1970-01-01,F,\n1,Iran,1970-01-01,M,\n"
    folder = write(tmp_path / "own", patients=people, visits=VISITS + "1,,2001-01-01,2\n", **EMPTY)
    said = refused(folder)
    assert "(country 'Italy' and 'Iran', gender 'F' and 'M')" in said
    assert "moved" not in said


def test_the_table_that_has_written_ids_as_numbers_is_named(tmp_path):
    people = "PATIENT_ID,country\n12.0,Italy\n"
    folder = write(tmp_path / "own", patients=people, visits=VISITS + "12,,2001-01-01,2\n", **EMPTY)
    assert "the same number: patients.csv has written ids as numbers" in refused(folder)


@pytest.mark.parametrize("spelled", ['"=""007"""', "'007", '"0,007"'])
def test_what_programs_put_around_an_id_is_seen_through(spelled, tmp_path):
    people = "PATIENT_ID,country\n0007,Italy\n"
    visits = VISITS + f"{spelled},,2001-01-01,2\n"
    folder = write(tmp_path / "own", patients=people, visits=visits, **EMPTY)
    assert "which has '0007'; write the id of one patient in one way" in refused(folder)
