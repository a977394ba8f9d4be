"""What a check of a registry's folder lists and proposes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_examples import TEXTS, TODAY, more, patients, write
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.tables import ingest
from ms_pfl.registry.proposals.date_guesses import formats_of
from ms_pfl.registry.proposals.registry import Check, check_folder
from ms_pfl.registry.proposals.settings_text import as_yaml, left_open
from ms_pfl.registry.proposals.words import code_of
from registry_exports import Export


def check(folder: Path, **settings: Any) -> Check:
    return check_folder(folder, IngestParameters.model_validate(settings), today=TODAY)


def pasted(checked: Check, **filled: str) -> dict[str, Any]:
    """The settings that a user pastes, with what is theirs filled in."""
    text = as_yaml({"ingest": checked.proposal})
    for said, value in filled.items():
        before = text
        text = text.replace(f'"(yours: {said.replace("_", " ")})"', value)
        assert text != before
    settings: dict[str, Any] = yaml.safe_load(text)["ingest"]
    return settings


def test_a_folder_in_contract_columns_needs_nothing(tmp_path):
    checked = check(write(tmp_path / "own"))
    assert (checked.problems, checked.proposal, checked.unsolved) == ((), {}, ())
    assert checked.tables is not None


def test_errors_behind_errors_are_listed_at_once(tmp_path):
    """The visits cannot be decoded, their dates are in another form, and a score is unknown."""
    rows = [row.split(",") for row in TEXTS["visits"].splitlines()[1:]]
    lines = ["Pat;Datum;EDSS;Größe"]
    lines += [f"{p};{d[8:]}/{d[5:7]}/{d[:4]};{e.replace('.', ',')};x" for p, d, e in rows]
    visits = "\n".join([*lines, "A;29/07/2003;ND;x", "A;30/07/2003;2,3;x", ""]).encode("cp1252")
    checked = check(write(tmp_path / "own", visits=visits, **patients("gender", "H", "M")))
    assert [(one.table, one.rule) for one in checked.unsolved] == [("visits", "edss_not_on_scale")]
    assert {(one.table, one.rule) for one in checked.problems} >= {
        ("patients", "not_a_code"), ("visits", "not_utf8"), ("visits", "column_absent"),
        ("visits", "not_a_date"), ("visits", "edss_not_on_scale"), ("visits", "not_a_number"),
    }  # fmt: skip
    settings = pasted(checked)
    assert settings["encoding"] == {"visits": "cp1252"}
    assert settings["columns"]["visits"] == {"Pat": "PATIENT_ID", "Datum": "DATE_OF_VISIT"}
    assert settings["missing"] == ["ND"]
    assert settings["date_format"] == {"visits": {"DATE_OF_VISIT": "%d/%m/%Y"}}
    assert set(settings["values"]["patients"]["gender"]) == {"H", "M"}
    assert len(left_open(checked.proposal)) == 2


def test_a_day_that_may_be_a_month_is_left_open(tmp_path):
    folder = write(
        tmp_path / "own", visits="PATIENT_ID,DATE_OF_VISIT,EDSS\nA,03/04/2001,2\nB,05/06/2001,2\n"
    )
    checked = check(folder)
    assert left_open(checked.proposal) == [
        "date_format.visits.DATE_OF_VISIT: (yours: %d/%m/%Y or %m/%d/%Y)"
    ]
    assert checked.tables is not None


def test_what_is_left_open_stops_a_run(tmp_path):
    folder = write(tmp_path / "own", patients="PATIENT_ID\nA\nB\n")
    settings = pasted(check(folder))
    with pytest.raises(ValueError, match="is still to be filled in"):
        IngestParameters.model_validate(settings)
    settings = pasted(check(folder), the_country_of_these_patients="Spain")
    found, _ = ingest(folder, IngestParameters.model_validate(settings), today=TODAY)
    assert set(found.patients["country"]) == {"Spain"}


def test_words_of_languages_become_codes(tmp_path):
    folder = write(
        tmp_path / "own",
        patients="PATIENT_ID,country,gender,ONSET_OPTIC\nA,Italy,Femme,ja\nB,Iran,Hombre,nein\n",
        visits="PATIENT_ID,DATE_OF_VISIT,EDSS,MSCOURSE_AT_VISIT\nA,2001-01-01,2,"
        "Relapsing-remitting\n",
    )
    settings = pasted(check(folder))
    assert settings["values"] == {
        "patients": {
            "gender": {"Femme": "F", "Hombre": "M"},
            "ONSET_OPTIC": {"ja": "1", "nein": "0"},
        },
        "visits": {"MSCOURSE_AT_VISIT": {"Relapsing-remitting": "RR"}},
    }  # fmt: skip
    assert code_of("gender", "Frau") == "F"
    assert code_of("gender", "H") is None


def test_tables_that_do_not_exist_are_left_to_the_user(tmp_path):
    checked = check(write(tmp_path / "own", treatments=None))
    assert left_open(checked.proposal) == [
        "files.treatments: (yours: name of the file with the treatments, or null where there is "
        "none)"
    ]
    assert checked.tables is not None


def test_what_no_setting_solves_is_told_apart(tmp_path):
    checked = check(write(tmp_path / "own", **more("visits", "A,2003-01-01,2.3", "X,2003-01-01,2")))
    assert [one.rule for one in checked.unsolved] == ["edss_not_on_scale", "patient_unknown"]
    assert checked.tables is None


@pytest.mark.parametrize(
    "export",
    [
        Export(".txt", "cp1252", "\t", "%d/%m/%Y", "?"),
        Export(".csv", "utf-16-le", ";", "%d-%b-%Y", "n/d"),
        Export(".xlsx", date_format=None, missing="nk"),
        Export(".sav", date_format="%d.%m.%Y"),
    ],
    ids=lambda export: export.kind,
)
def test_the_proposal_for_an_export_reads_it(export, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    export.write(folder)
    checked = check(folder)
    assert not checked.unsolved
    assert not left_open(checked.proposal)
    found, _ = ingest(folder, IngestParameters.model_validate(
        yaml.safe_load(as_yaml({"ingest": checked.proposal}))["ingest"] or {}
    ), today=TODAY)  # fmt: skip
    right, _ = ingest(folder, IngestParameters.model_validate(export.settings), today=TODAY)
    for name in CONTRACT:
        assert getattr(found, name).equals(getattr(right, name))


def test_formats_that_fit_all_days():
    assert formats_of(["03/04/2001 10:30", "29/07/2014 00:00"]) == ["%d/%m/%Y %H:%M"]
    assert formats_of(["20010403", "20140729"]) == ["%Y%m%d"]
    assert formats_of(["3.4.2001", "29.7.2014"]) == ["%d.%m.%Y"]
    assert formats_of(["03/04/2001", "2001-04-03"]) == []
