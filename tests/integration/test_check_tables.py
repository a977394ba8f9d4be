"""check_tables as a person runs it: what it says, what it writes, and its settings pasted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from kedro_project import KedroProject, make_project, run_here, said
from registry_exports import Export, clean

CHECK = "data/08_reporting/table_check"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    return make_project(tmp_path_factory.mktemp("project"))


def edmus(folder: Path) -> Path:
    """The small registry of the tests as EDMUS exports it, without its country."""
    folder.mkdir()
    names = {
        "patients": ("personal", {"BIRTH_DATE": "Date of birth", "gender": "Gender",
                                  "MS_ONSET_DATE": "MS onset"}),
        "visits": ("clinical", {"DATE_OF_VISIT": "Date", "EDSS": "EDSS (entered)"}),
        "relapses": ("episodes", {"DATE_OF_ONSET": "Date"}),
        "treatments": ("trt_dm", {"dmt": "DM", "START_DATE": "Onset date",
                                  "END_DATE": "End date"}),
    }  # fmt: skip
    for table, rows in clean().items():
        form, columns = names[table]
        columns = {"PATIENT_ID": "Patient ID"} | columns
        frame = pd.DataFrame(rows[1:], columns=rows[0])[list(columns)]
        for column in [name for name in columns if "DATE" in name]:
            frame[column] = pd.to_datetime(frame[column]).dt.strftime("%d/%m/%Y").fillna("?")
        text = frame.rename(columns=columns).to_csv(index=False, sep="\t")
        (folder / f"edmus-{form}-260101_101010-DEN.txt").write_bytes(text.encode("utf-16"))
    return folder


def test_a_proposal_is_pasted_and_the_registry_is_read(
    project: KedroProject, tmp_path: Path
) -> None:
    folder = edmus(tmp_path / "edmus")
    given = f"--params=registry_folder={folder}"
    checked = run_here(project, "--pipeline=check_tables", given)
    assert checked.exit_code == 0, checked.output
    assert not (project.folder / "data/06_models").exists()
    problems = pd.read_csv(project.folder / CHECK / "problems.csv")
    assert set(problems["solved"]) == {"by the proposed settings"}
    contribution = pd.read_csv(project.folder / CHECK / "contribution.csv", dtype=str)
    assert contribution.iloc[0].tolist() == ["rows", "patients", "4"]
    text = (project.folder / CHECK / "settings.yml").read_text()
    assert yaml.safe_load(text) == {
        "ingest": {
            "profile": "edmus",
            "constants": {"country": "(yours: the country of these patients)"},
        }
    }
    local = project.folder / "conf/local"
    local.mkdir(exist_ok=True)
    try:
        (local / "parameters.yml").write_text(text)
        left = said(run_here(project, "--pipeline=preprocessing", given))
        assert "'ingest.constants'" in left
        assert "is still to be filled in" in left
        (local / "parameters.yml").write_text(
            text.replace("(yours: the country of these patients)", "Spain")
        )
        done = run_here(project, "--pipeline=preprocessing", given)
        assert done.exit_code == 0, done.output
    finally:
        (local / "parameters.yml").unlink()
    episodes = pd.read_parquet(project.folder / "data/03_primary/episodes.parquet")
    plain = tmp_path / "plain"
    plain.mkdir()
    Export(country="Spain").write(plain)
    assert run_here(
        project, "--pipeline=preprocessing", f"--params=registry_folder={plain}"
    ).exit_code == 0  # fmt: skip
    right = pd.read_parquet(project.folder / "data/03_primary/episodes.parquet")
    known = [name for name in right if not name.startswith(("KFS", "COURSE", "EDUCATION"))]
    pd.testing.assert_frame_equal(episodes[known], right[known])


def test_a_custom_table_is_checked(project: KedroProject, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("site,label,age\nA,1,50\nA,0,> 79\nB,,60\nB,1,nd\nB,0,70\nA,1,41\n")
    checked = run_here(
        project, "--pipeline=check_tables",
        f"--params=episodes_file={table},own_episodes.columns.site=site",
    )  # fmt: skip
    assert checked.exit_code == 0, checked.output
    settings = yaml.safe_load((project.folder / CHECK / "settings.yml").read_text())
    assert settings["own_episodes"]["unlabelled"] == "drop"
    assert settings["own_episodes"]["missing"] == ["nd"]
    assert "> 79" in settings["own_episodes"]["values"]["age"]


def test_without_tables_it_says_what_to_name(project: KedroProject) -> None:
    told = said(run_here(project, "--pipeline=check_tables"))
    assert told.startswith("There are no tables to check: name a folder with --params=registry")


def test_a_profile_that_is_none_is_told_in_one_line(project: KedroProject, tmp_path: Path) -> None:
    told = run_here(
        project, "--pipeline=check_tables", f"--params=registry_folder={tmp_path},ingest.profile=x"
    )
    assert told.exit_code == 1
    assert "there is no ingest profile 'x', which ingest.profile names; use edmus" in told.output
    assert "Traceback (most" not in told.output
