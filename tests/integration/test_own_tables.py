"""`kedro run` on somebody's own tables: read where they lie, refused in one line, never written."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from failing_runs import run_tiny, tiny_project
from kedro_project import KedroProject, run_here, said

OWN = {
    "patients": "PATIENT_ID,country\nA,Belgium\nB,Norway\n",
    "visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\n"
    + "".join(
        f"{patient},{year}-0{month}-01,{2 + (year > 2003) * (patient == 'A')}.0\n"
        for patient in "AB"
        for year in range(2000, 2008)
        for month in (1, 7)
    ),
    "relapses": "PATIENT_ID,DATE_OF_ONSET\n",
    "treatments": "PATIENT_ID,dmt,START_DATE,END_DATE\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    return tiny_project(tmp_path_factory.mktemp("project"))


def write(folder: Path, **changed: str) -> Path:
    folder.mkdir()
    for name, text in (OWN | changed).items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


REPORT = "data/08_reporting/ingest_report.csv"


def report_of(project: KedroProject) -> pd.DataFrame:
    return pd.read_csv(project.folder / REPORT, dtype=str, keep_default_na=False)


def typed(project: KedroProject, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a person types it."""
    return project.kedro("run", "--pipeline=preprocessing", f"--params=registry_folder={folder}")


def preprocess(project: KedroProject, folder: Path, *more: str) -> Result:
    """The same command in this process."""
    params = ",".join([f"registry_folder={folder}", *more])
    return run_here(project, "--pipeline=preprocessing", f"--params={params}")


def test_own_tables_are_labelled_and_left_alone(project: KedroProject, tmp_path: Path) -> None:
    folder = write(tmp_path / "own")
    before = digests(folder)
    done = typed(project, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(folder) == before
    assert not (project.folder / "data/01_raw").exists()
    assert "Attrition" in done.stdout
    assert (project.folder / REPORT).read_text() == "table,row,column,value,rule,action\n"
    episodes = pd.read_parquet(project.folder / "data/03_primary/episodes.parquet")
    assert episodes.attrs == {}
    cohort = json.loads((project.folder / "data/03_primary/cohort_description.json").read_text())
    assert cohort["source"]["kind"] == "folder"
    # Visits each January and July; E* of an anchor is the visit two years on. A is at 2.0 until
    # July 2003 and at 3.0 from 2004: worse for the anchors of January 2002 to July 2003.
    worse = episodes[episodes["label"] == 1]
    assert [str(t.date()) for t in worse["t0"]] == [
        "2002-01-01", "2002-07-01", "2003-01-01", "2003-07-01",
    ]  # fmt: skip
    assert set(worse["patient_id"]) == {"A"}


def test_real_sample_goes_through(
    project: KedroProject, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    source = shared_data("msoutcomes_sample") / "sample_data.csv"
    folder = tmp_path / "sample"
    subprocess.run(
        [sys.executable, "-m", "ms_pfl.registry.importers.msoutcomes", str(source), str(folder)],
        check=True,
    )
    done = preprocess(project, folder)
    assert done.exit_code == 0, done.output
    episodes = pd.read_parquet(project.folder / "data/03_primary/episodes.parquet")
    assert episodes["label"].value_counts().to_dict() == {0: 255, 1: 53}  # as the goldens
    assert episodes[["SEX_FEMALE", "AGE_AT_0", "COURSE_AT_0_RR"]].isna().to_numpy().all()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"patients": "PATIENT_ID\nA\nB\n"}, ["patients.csv", "country", "column"]),
        ({"visits": OWN["visits"] + "A,2008-01-01,2.3\n"}, ["visits.csv", "34", "EDSS", "2.3"]),
        (
            {"visits": OWN["visits"] + "X,2008-01-01,2.0\n"},
            ["visits.csv", "34", "PATIENT_ID", "'X'"],
        ),
        (
            {"visits": OWN["visits"] + "A,1890-01-01,2.0\n"},
            ["visits.csv", "34", "DATE_OF_VISIT", "1890-01-01"],
        ),
        ({"visits": "PATIENT_ID,DATE_OF_VISIT,EDSS\n"}, ["visits.csv", "header and no rows"]),
    ],
    ids=["missing column", "EDSS 2.3", "unknown patient", "year 1890", "no visits"],
)
def test_wrong_tables_stop_the_run_with_one_readable_error(
    project: KedroProject, tmp_path: Path, changed: dict[str, str], words: list[str]
) -> None:
    error = said(preprocess(project, write(tmp_path / "own", **changed)))
    for word in words:
        assert word in error
    report = report_of(project)
    assert error.endswith(f"All are listed in {project.folder}/{REPORT}")
    assert report["action"].tolist() == ["stopped"]


def test_all_errors_are_in_the_report_of_a_run_that_stopped(
    project: KedroProject, tmp_path: Path
) -> None:
    wrong = OWN["visits"] + f"A,01/02/2008,{'x' * 100_000}\nA,2009-01-01,2.3\nX,2010-01-01,2\n"
    folder = write(tmp_path / "own", visits=wrong, relapses="PATIENT_ID,DATE_OF_ONSET\n7\n")
    done = typed(project, folder)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "relapses.csv, line 2: the row has 1 cells and the header 2" in errors[0]
    assert "; 4 more errors found. All are listed in " in errors[0]
    report = report_of(project)
    assert report[["table", "row", "column", "rule"]].to_numpy().tolist() == [
        ["visits", "34", "DATE_OF_VISIT", "not_a_date"],
        ["visits", "34", "EDSS", "not_a_number"],
        ["visits", "35", "EDSS", "edss_not_on_scale"],
        ["visits", "36", "PATIENT_ID", "patient_unknown"],
        ["relapses", "2", "", "ragged_row"],
    ]
    assert set(report["action"]) == {"stopped"}


def test_spellings_of_a_site_are_configuration_and_the_labels_stay(
    project: KedroProject, tmp_path: Path
) -> None:
    rows = [row.split(",") for row in OWN["visits"].splitlines()[1:]]
    lines = ["Pat;Datum;EDSS"]
    lines += [f"{p};{d[8:]}.{d[5:7]}.{d[:4]};{e.replace('.', ',')}" for p, d, e in rows]
    folder = write(
        tmp_path / "own",
        patients="PATIENT_ID,country,gender\nA,Belgium,1\nB,Norway,2\nB,Norway,2\n",
        visits="\ufeff" + "\r\n".join([*lines, lines[-1], ""]),
        treatments="PATIENT_ID,dmt,START_DATE,END_DATE\nA,Mittel 7,01.02.2001,\n"
        "B,Mittel 7,01.02.2001,01.01.2001\n",
    )
    before = digests(folder)
    (project.folder / "conf/local").mkdir(exist_ok=True)
    site = project.folder / "conf/local/parameters.yml"
    site.write_text(
        "ingest:\n"
        "  columns: {visits: {pat: PATIENT_ID, Datum: DATE_OF_VISIT}}\n"
        '  values: {patients: {gender: {"1": M, "2": F}}}\n'
        "  treatments: {Mittel 7: natalizumab}\n"
        '  date_format: "%d.%m.%Y"\n'
    )
    try:
        done = preprocess(project, folder)
    finally:
        site.unlink()
    assert done.exit_code == 0, done.output
    assert digests(folder) == before
    episodes = pd.read_parquet(project.folder / "data/03_primary/episodes.parquet")
    worse = episodes[episodes["label"] == 1]
    assert [str(t.date()) for t in worse["t0"]] == [
        "2002-01-01", "2002-07-01", "2003-01-01", "2003-07-01",
    ]  # fmt: skip
    assert set(worse["patient_id"]) == {"A"}
    assert set(episodes["SEX_FEMALE"][episodes["patient_id"] == "B"]) == {1.0}
    assert set(worse["DMT_AT_0_High"]) == {1.0}
    assert report_of(project)["rule"].value_counts().to_dict() == {
        "separator": 1, "decimal_comma": 1, "column_mapped": 2, "value_mapped": 2,
        "treatment_mapped": 1, "duplicate_row": 2, "end_before_start": 1,
    }  # fmt: skip
    warnings = [line for line in done.output.splitlines() if "WARNING" in line]
    assert len(warnings) == 2


def test_a_folder_of_the_configuration_is_not_written_to_either(project: KedroProject) -> None:
    folder = project.folder / "data/03_primary"
    folder.mkdir(parents=True, exist_ok=True)
    (project.folder / "conf/local").mkdir(exist_ok=True)
    site = project.folder / "conf/local/parameters.yml"
    site.write_text("registry_folder: data/03_primary\n")
    try:
        done = run_here(project, "--pipeline=preprocessing")
    finally:
        site.unlink()
    assert "copy your own tables to a folder of their own" in said(done)


def test_tables_that_are_links_into_the_project_are_not_overwritten(
    project: KedroProject, tmp_path: Path
) -> None:
    inside = project.folder / "data/02_intermediate"
    inside.mkdir(parents=True, exist_ok=True)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "visits.parquet").symlink_to(inside / "visits.parquet")
    assert "copy your own tables to a folder of their own" in said(preprocess(project, folder))


def test_typo_in_a_parameter_stops_the_run(project: KedroProject, tmp_path: Path) -> None:
    done = preprocess(project, write(tmp_path / "own"), "cohort.rul=two_strata")
    assert "'cohort.rul' is unknown; did you mean 'rule'" in said(done)


def test_own_tables_in_a_folder_that_the_run_writes_to_are_refused(project: KedroProject) -> None:
    folder = project.folder / "data/02_intermediate"
    for name in OWN:
        (folder / f"{name}.parquet").unlink(missing_ok=True)
        (folder / f"{name}.csv").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.csv").write_text(OWN[name])
    before = digests(folder)
    done = preprocess(project, Path("data/02_intermediate"))
    assert "copy your own tables to a folder of their own" in said(done)
    assert digests(folder) == before


def test_an_empty_folder_name_is_not_the_synthetic_registry(project: KedroProject) -> None:
    done = run_here(project, "--pipeline=preprocessing", "--params=registry_folder=")
    assert "'registry_folder' is empty" in said(done)


@pytest.mark.timeout(1200)
def test_the_whole_job_runs_on_own_tables_and_leaves_them_alone(
    project: KedroProject, tmp_path: Path
) -> None:
    """The six largest countries of the synthetic registry, as somebody's own."""
    made = run_tiny(project, "--pipeline=synthetic_registry")
    assert made.exit_code == 0, made.output
    written = project.folder / "data/01_raw/synthetic_registry"
    country = pd.read_parquet(written / "patients.parquet").set_index("PATIENT_ID")["country"]
    largest = country.value_counts().index[:6]
    folder = tmp_path / "own"
    folder.mkdir()
    for path in written.glob("*.parquet"):
        table = pd.read_parquet(path)
        table = table[table["PATIENT_ID"].map(country).isin(largest)]
        table.to_csv(folder / f"{path.stem}.csv", index=False, date_format="%Y-%m-%d")
    before = digests(folder)
    done = run_tiny(project, "--pipeline=pfl", f"--params=registry_folder={folder}")
    assert done.exit_code == 0, done.output
    assert digests(folder) == before
    assert "Data: registry tables in" in done.output
    assert "in 6 countries" in " ".join(done.output.split())
    assert "Table 1" in done.output


def test_a_failed_run_is_failed_in_mlflow(project: KedroProject, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    folder = write(tmp_path / "own", patients="PATIENT_ID\nA\nB\n")
    done = run_here(project, "--pipeline=pfl", f"--params=registry_folder={folder}")
    assert done.exit_code == 1
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("ms_pfl")
    newest = client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert newest.info.status == "FAILED"
    assert newest.data.params["registry_folder"] == str(folder)
