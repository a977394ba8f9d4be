"""`kedro run --pipeline=modelling` on the table that docs/own-data.md shows, as it says to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import Result

from kedro_project import PROJECT, KedroProject, make_project, run_here, said

PAGE = (PROJECT / "docs/own-data.md").read_text()
FEATURES = [
    "sex=f", "sex=m", "age", "age missing", "smoker", "ward=cardiology", "ward=medicine",
    "ward=surgery", "ward missing", "lactate", "lactate missing",
]  # fmt: skip


def block(language: str) -> str:
    """The only block of the page in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    made = make_project(tmp_path_factory.mktemp("project"))
    (made.folder / "ward.csv").write_text(block("csv"))
    told = yaml.safe_load(block("yaml"))
    told["training"]["network"]["width"] = 8
    told["training"] |= {
        "federation": {"rounds": 2},
        "centralized": {"epochs": 2},
        "local": {"epochs": 2},
        "fine_tuned": {"epochs": 1},
    }
    told |= {
        "ray": {"num_workers": 0},
        "seeds": [0],
        "comparison": {"replicates": 100},
        "attribution": {"repeats": 1},
    }
    (made.folder / "conf/local").mkdir(exist_ok=True)
    (made.folder / "conf/local/parameters.yml").write_text(yaml.safe_dump(told))
    return made


def state(file: Path) -> tuple[str, int]:
    return hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns


@pytest.fixture(scope="module")
def run(project: KedroProject) -> Result:
    before = state(project.folder / "ward.csv")
    done = run_here(project, "--pipeline=modelling")
    assert done.exit_code == 0, done.output
    assert state(project.folder / "ward.csv") == before
    return done


def test_it_ends_with_a_table_in_the_words_of_the_data(run: Result, project: KedroProject) -> None:
    assert "Traceback" not in run.output
    for word in ("Table 1", "Data: own episodes table ward.csv.", "in 3 hospitals"):
        assert word in run.output
    report = (project.folder / "data/08_reporting/report.html").read_text()
    assert "Outcome: worse by the next day." in report
    assert "ROC-AUC of every model by hospital" in report
    assert "Which paradigm serves which hospital" in report
    shown = re.sub(r"<pre>.*?</pre>", "", report, flags=re.DOTALL)
    assert "countr" not in re.sub(r"<[^>]*>", "", shown).lower()


def test_no_other_account_reads_what_the_run_wrote(run: Result, project: KedroProject) -> None:
    places = [project.folder / "data", project.folder / "mlflow.db", project.folder / "mlruns"]
    written = [
        path
        for place in places
        for path in (place, *place.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".py"  # our code
    ]
    assert {path.suffix for path in written} >= {".parquet", ".csv", ".db", ".safetensors", ".html"}
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_the_features_are_those_of_the_page(
    run: Result, project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = pd.read_parquet(project.folder / "data/03_primary/episodes.parquet")
    assert list(episodes.columns) == ["episode_id", "patient_id", "country", "label", *FEATURES]
    assert episodes["episode_id"].tolist()[12] == "Oslo 000001"
    monkeypatch.chdir(project.folder)
    names: dict[str, pd.DataFrame] = {}
    exec(block("python"), names)
    assert list(names["features"].columns) == FEATURES
    new = names["features"].iloc[0]
    assert new[["ward=cardiology", "ward=medicine", "ward=surgery"]].tolist() == [0, 0, 0]
    assert new["lactate missing"] == 1


def test_modelling_goes_on_from_the_episodes_that_are_there(
    run: Result, project: KedroProject
) -> None:
    path = project.folder / "data/03_primary/episodes.parquet"
    before = pd.read_parquet(path)
    local = project.folder / "conf/local/parameters.yml"
    given = local.read_text()
    local.write_text(given.replace("episodes_file: ward.csv\n", ""))
    try:
        done = run_here(project, "--pipeline=modelling", "--to-nodes=cohort.split_patients")
    finally:
        local.write_text(given)
    assert done.exit_code == 0, done.output
    pd.testing.assert_frame_equal(pd.read_parquet(path), before)


def test_the_main_job_does_not_pass_over_a_table(project: KedroProject) -> None:
    done = run_here(project, "--pipeline=pfl", "--params=episodes_file=ward.csv")
    assert "'episodes_file' = ward.csv: this run does not read it" in said(done)


def test_a_wrong_table_stops_with_one_line(project: KedroProject) -> None:
    (project.folder / "wrong.csv").write_text(block("csv").replace("O07,worse", "O07,dead"))
    done = run_here(project, "--pipeline=modelling", "--params=episodes_file=wrong.csv")
    assert said(done) == (
        "wrong.csv, line 20, column outcome: 'dead' is a third label beside 'worse' and "
        "'stable'; make the labels two values"
    )


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["complete", "all"])
def test_four_real_hospitals_end_with_a_table(
    rows: str, project: KedroProject, shared_data: Callable[[str], Path]
) -> None:
    folder = shared_data("heart_disease")
    done = project.kedro(
        "run", "--pipeline=modelling", "--env=heart",
        f"--params=heart_folder={folder},heart_rows={rows},ray.num_workers=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in 4 hospitals for each seed" in " ".join(done.stdout.split())
    one_class = "One class only to train on in some seed: Switzerland." in done.stdout
    assert one_class == (rows == "complete")
