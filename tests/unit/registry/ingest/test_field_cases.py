"""Files as registries send them, read as they lie: the episodes are those of their people."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from ingest_examples import cohort_parameters
from kedro_project import PROJECT
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.profiles import read_profile, read_profiles
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import ingest
from ms_pfl.registry.proposals.registry import check_folder
from ms_pfl.registry.proposals.settings_text import as_yaml, left_open

TODAY = pd.Timestamp("2026-06-30")
PROFILES = PROJECT / "conf/base/ingest_profiles"
NOT_KNOWN = {f"KFS_{number}": {"9": None, "-1": None} for number in range(1, 8)}
#: Of each input the settings that docs/ingest.md names, and what they count.
SETTINGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "registry_missing_codes": (
        {"values": {"visits": NOT_KNOWN | {"EDSS": {"ND": None, "99": None}}}},
        "value_mapped", "set to missing in 28 rows",
    ),
    "registry_birth_year": (
        {"partial_dates": "middle"},
        "partial_date", "read as the middle of the year or month in 15 rows",
    ),
    "registry_offset_midnight": (
        {}, "time_zone", "read as the local day that is written in 251 rows",
    ),
    "registry_no_start_date": ({"undated": "drop"}, "undated_row", "dropped row"),
}  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def read(folder: Path, settings: dict[str, Any]) -> tuple[Any, pd.DataFrame]:
    before = digests(folder)
    found = ingest(folder, IngestParameters.model_validate(settings), today=TODAY)
    assert digests(folder) == before
    return found


def episodes(tables: Any) -> pd.DataFrame:
    return build_episodes(tables, cohort_parameters()).episodes


def in_contract_columns(case: str, source: Path, folder: Path) -> Path:
    """The people of a case as the ingest contract has them, written by other means."""
    folder.mkdir()
    tables = {
        name: pd.read_csv(source / case / f"{name}.csv", dtype=str, keep_default_na=False)
        for name in CONTRACT
    }
    if case == "registry_missing_codes":
        visits = tables["visits"]
        scores = [f"KFS_{number}" for number in range(1, 8)]
        visits[scores] = visits[scores].replace({"9": "", "-1": ""})
        visits["EDSS"] = visits["EDSS"].replace({"ND": "", "99": ""})
    elif case == "registry_birth_year":
        tables["patients"]["BIRTH_DATE"] += "-07-01"
    elif case == "registry_offset_midnight":
        tables["visits"]["DATE_OF_VISIT"] = tables["visits"]["DATE_OF_VISIT"].str[:10]
    elif case == "registry_no_start_date":
        for name, column in (("relapses", "DATE_OF_ONSET"), ("treatments", "START_DATE")):
            tables[name] = tables[name][tables[name][column] != ""]
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.mark.parametrize("case", SETTINGS)
def test_a_case_is_read_as_it_lies(case, shared_data, tmp_path):
    source = shared_data("field_cases")
    settings, rule, action = SETTINGS[case]
    found, report = read(source / case, settings)
    right, _ = read(in_contract_columns(case, source, tmp_path / "own"), {})
    assert len(episodes(right)) > 20
    pd.testing.assert_frame_equal(episodes(found), episodes(right))
    assert action in set(report.loc[report["rule"] == rule, "action"])
    if settings:
        with pytest.raises(IngestError):
            read(source / case, {})


def edmus_in_contract_columns(source: Path, folder: Path) -> Path:
    """The people of the EDMUS export as the contract has them, by pandas alone."""
    folder.mkdir()
    names = {
        "patients": ("personal", {"Patient ID": "PATIENT_ID", "Date of birth": "BIRTH_DATE",
                                  "Gender": "gender", "MS onset": "MS_ONSET_DATE"}),
        "visits": ("clinical", {"Patient ID": "PATIENT_ID", "Date": "DATE_OF_VISIT",
                                "EDSS (entered)": "EDSS"}),
        "relapses": ("episodes", {"Patient ID": "PATIENT_ID", "Date": "DATE_OF_ONSET"}),
        "treatments": ("trt_dm", {"Patient ID": "PATIENT_ID", "DM": "dmt",
                                  "Onset date": "START_DATE", "End date": "END_DATE"}),
    }  # fmt: skip
    for table, (form, columns) in names.items():
        (path,) = (source / "edmus_raw").glob(f"edmus-{form}-*")
        rows = pd.read_csv(path, sep="\t", encoding="utf-16", dtype=str, na_values=["?"])
        rows = rows[list(columns)].rename(columns=columns)
        for column in [name for name in rows if "DATE" in name]:
            rows[column] = pd.to_datetime(rows[column], format="%d/%m/%Y").dt.date
        if table == "patients":
            rows["country"] = "Spain"
        rows.to_csv(folder / f"{table}.csv", index=False)
    return folder


def test_an_edmus_export_is_read_by_a_profile_and_three_lines(shared_data, tmp_path):
    source = shared_data("field_cases")
    right = episodes(read(edmus_in_contract_columns(source, tmp_path / "own"), {})[0])
    assert len(right) > 20
    three_lines = "ingest:\n  profile: edmus\n  constants: {country: Spain}\n"
    settings = yaml.safe_load(three_lines)["ingest"]
    settings["profile"] = read_profile(PROFILES / "edmus.yml").model_dump(mode="json")
    found, report = read(source / "edmus_raw", settings)
    pd.testing.assert_frame_equal(episodes(found), right)
    assert {"encoding", "separator", "column_mapped", "constant", "missing_word"} <= set(
        report["rule"]
    )


@pytest.mark.parametrize("with_profiles", [True, False])
def test_the_proposal_for_an_edmus_export_is_enough(with_profiles, shared_data, tmp_path):
    """Pasted with the one value that is the site's to fill in."""
    source = shared_data("field_cases")
    profiles = read_profiles(PROFILES) if with_profiles else []
    before = digests(source / "edmus_raw")
    checked = check_folder(source / "edmus_raw", IngestParameters(), profiles, today=TODAY)
    assert digests(source / "edmus_raw") == before
    assert not checked.unsolved
    (open_,) = left_open(checked.proposal)
    assert open_ == "constants.country: (yours: the country of these patients)"
    text = as_yaml({"ingest": checked.proposal})
    pasted = yaml.safe_load(text.replace("(yours: the country of these patients)", "Spain"))
    settings = pasted["ingest"]
    if with_profiles:
        assert set(settings) == {"profile", "constants"}
        profile = read_profile(PROFILES / f"{settings['profile']}.yml")
        settings["profile"] = profile.model_dump(mode="json")
    found, _ = read(source / "edmus_raw", settings)
    right, _ = read(edmus_in_contract_columns(source, tmp_path / "own"), {})
    pd.testing.assert_frame_equal(episodes(found), episodes(right))


@pytest.mark.parametrize("case", [case for case in SETTINGS if SETTINGS[case][0]])
def test_the_proposal_for_a_case_reads_it(case, shared_data, tmp_path):
    source = shared_data("field_cases")
    checked = check_folder(source / case, IngestParameters(), today=TODAY)
    assert not left_open(checked.proposal)
    settings = yaml.safe_load(as_yaml({"ingest": checked.proposal}))["ingest"]
    found, _ = read(source / case, settings)
    right, _ = read(in_contract_columns(case, source, tmp_path / "own"), {})
    pd.testing.assert_frame_equal(episodes(found), episodes(right))
