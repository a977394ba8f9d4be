"""Each profile on a small export of its kind, and profiles that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ingest_examples import TEXTS, TODAY, meant
from kedro_project import PROJECT
from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.importers.msoutcomes import convert
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.profiles import find_profile, read_profile, read_profiles
from ms_pfl.registry.ingest.tables import RegistryTables, ingest

FOLDER = PROJECT / "conf/base/ingest_profiles"


def read(folder: Path, profile: str, **settings: object) -> RegistryTables:
    given = {"profile": read_profile(FOLDER / f"{profile}.yml").model_dump(mode="json"), **settings}
    return ingest(folder, IngestParameters.model_validate(given), today=TODAY)[0]


def same(found: RegistryTables, right: RegistryTables, *names: str) -> None:
    for name in names or CONTRACT:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(right, name), obj=name)


def test_every_profile_of_the_project_is_described_and_can_be_read():
    profiles = read_profiles(FOLDER)
    assert [profile.name for profile in profiles] == ["edmus", "msbase", "msoutcomes"]
    assert all(profile.description for profile in profiles)
    documented = (PROJECT / "docs/ingest.md").read_text(encoding="utf-8")
    assert all(f"| {profile.name} |" in documented for profile in profiles)


def test_an_export_of_edmus(tmp_path):
    forms = {
        "edmus-personal-260101_101010-DEN.txt": "Patient ID\tDate of birth\tGender\tMS onset\n"
        "1\t06/05/1970\tF\t01/01/2000\n2\t?\tM\t?\n",
        "edmus-clinical-260101_101010-DEP.txt": "Patient ID\tDate\tEDSS (entered)\n"
        "1\t03/04/2001\t2.5\n2\t29/12/2001\t?\n",
        "edmus-episodes-260101_101010-DEP.txt": "Patient ID\tDate\n1\t01/12/2000\n",
        "edmus-trt_dm-260101_101010-DEN.txt": "Patient ID\tDM\tOnset date\tEnd date\n"
        "1\tAvonex\t01/02/2001\t?\n",
        "edmus-diagnosis-260101_101010-DEP.txt": "Patient ID\tDisease Course\n1\t3\n",
    }
    for name, text in forms.items():
        (tmp_path / name).write_bytes(text.encode("utf-16"))
    found = read(tmp_path, "edmus", constants={"country": "Spain"})
    right = meant(
        patients="PATIENT_ID,country,BIRTH_DATE,gender,MS_ONSET_DATE\n"
        "1,Spain,1970-05-06,F,2000-01-01\n2,Spain,,M,\n",
        visits="PATIENT_ID,DATE_OF_VISIT,EDSS\n1,2001-04-03,2.5\n2,2001-12-29,\n",
        relapses="PATIENT_ID,DATE_OF_ONSET\n1,2000-12-01\n",
        treatments="PATIENT_ID,dmt,START_DATE,END_DATE\n1,Avonex,2001-02-01,\n",
    )
    same(found, right)


def test_an_export_of_msbase(tmp_path):
    files = {
        "Patients_2024.csv": TEXTS["patients"].replace("BIRTH_DATE", "Date of birth"),
        "Visits_2024.csv": "Patient code,Visit date,EDSS,Pyramidal,MS course\n"
        "A,2001-01-01,2,1,Relapsing remitting\nA,2002-01-01,2.5,2,Secondary progressive\n"
        "B,2001-06-01,0,,\n",
        "Relapses_2024.csv": "Patient ID,Date of onset\nA,2000-12-01\n",
        "DMT_2024.csv": "Patient ID,Generic name,Start date,Stop date\nA,Avonex,2001-02-01,\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    right = meant(
        visits="PATIENT_ID,DATE_OF_VISIT,EDSS,KFS_1,MSCOURSE_AT_VISIT\nA,2001-01-01,2,1,RR\n"
        "A,2002-01-01,2.5,2,SP\nB,2001-06-01,0,,\n"
    )
    same(read(tmp_path, "msbase"), right)


SAMPLE = (
    "ID,dateEDSS,EDSS,FSpyr,FSamb,daysPostRelapse\n"
    "s 1,2002-02-01,2.0,0,0,-22\ns 1,2002-03-28,1.5,1,0,-77\ns 2,2002-04-01,3.0,,1,\n"
)


def test_a_file_of_msoutcomes_is_read_as_its_importer_reads_it(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "sample.csv").write_text(SAMPLE)
    found = read(folder, "msoutcomes", constants={"country": "Australia"}, undated="drop")
    right = convert(folder / "sample.csv", country="Australia")
    same(found, right)
    assert found.relapses["DATE_OF_ONSET"].tolist() == [pd.Timestamp("2002-01-10")]


def test_what_is_set_counts_before_the_profile(tmp_path):
    (tmp_path / "edmus-personal-1.txt").write_bytes("Patient ID,land\nA,Iran\n".encode("utf-16"))
    for name in ("visits", "relapses", "treatments"):
        (tmp_path / f"{name}.csv").write_text(TEXTS[name].replace("\nB,", "\nA,"))
    plain = {name: f"{name}.csv" for name in ("visits", "relapses", "treatments")}
    found = read(
        tmp_path, "edmus", files=plain, date_format="%Y-%m-%d",
        columns={"patients": {"land": "country"}},
    )  # fmt: skip
    assert found.patients["country"].tolist() == ["Iran"]
    assert found.visits["DATE_OF_VISIT"].tolist()[0] == pd.Timestamp("2001-01-01")


def test_profiles_that_cannot_be_used(tmp_path):
    folder = tmp_path / "local/ingest_profiles"
    folder.mkdir(parents=True)
    (folder / "mine.yml").write_text("description: mine\ncolumns: {visits: {x: EDS}}\n")
    (folder / "list.yml").write_text("- a\n")
    with pytest.raises(InputError, match="'x' leads to 'EDS', and visits has only PATIENT_ID"):
        read_profile(folder / "mine.yml")
    with pytest.raises(InputError, match="holds no settings"):
        read_profile(folder / "list.yml")
    with pytest.raises(InputError, match="there is no ingest profile 'edmos', which"):
        find_profile("edmos", [tmp_path / "local", FOLDER.parent])
    with pytest.raises(InputError, match="there is no ingest profile"):
        find_profile("../ingest_profiles/mine", [tmp_path / "local"])
    assert find_profile("edmus", [tmp_path / "local", FOLDER.parent]).name == "edmus"
