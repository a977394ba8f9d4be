"""Where `modelling` takes its episodes from, and what stops before anything is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from kedro.io import DataCatalog

from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.schemas import Episodes
from ms_pfl.cohort.splits import count_splits, split_patients
from ms_pfl.errors import InputError
from ms_pfl.hooks.parameters import ParameterCheck
from ms_pfl.parameters import Parameters
from ms_pfl.pipeline_registry import register_pipelines
from ms_pfl.pipelines.cohort.nodes import read_own_episodes
from parameter_examples import load

OWN = "country,label,age,sex\nA,0,50,f\nA,1,60,\nB,1,70,m\n"


def read(
    env: str, earlier: Path, runtime: dict[str, Any] | None = None
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """What the node makes of the configuration of an environment."""
    if env == "base":  # three patients
        runtime = {"own_episodes": {"minimum_patients": 1}} | (runtime or {})
    given = Parameters.model_validate(load(env, runtime))
    return read_own_episodes(
        given.episodes_file, given.own_episodes, given.heart_folder, given.heart_rows, earlier,
        earlier.with_suffix(".json"),
    )  # fmt: skip


def test_a_file_comes_before_what_an_earlier_run_left(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(OWN)
    before = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns
    earlier = tmp_path / "episodes.parquet"
    earlier.write_text("never read")
    provenance, episodes, vocabulary, _ = read("base", earlier, {"episodes_file": str(file)})
    assert list(episodes.columns)[4:] == ["age", "sex=f", "sex=m"]
    assert vocabulary["levels"] == {"sex": ["f", "m"]}
    assert provenance["source"]["description"] == "own episodes table own.csv"
    assert (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns) == before


def test_without_a_file_it_goes_on_with_the_same_episodes_and_vocabulary(tmp_path: Path) -> None:
    file, earlier = tmp_path / "own.csv", tmp_path / "episodes.parquet"
    file.write_text(OWN)
    first = read("base", earlier, {"episodes_file": str(file)})
    first[1].to_parquet(earlier)
    earlier.with_suffix(".json").write_text(json.dumps(first[0]))
    again = read("base", earlier)
    pd.testing.assert_frame_equal(again[1], first[1])
    assert (again[0], again[2]) == (first[0], first[2])
    pd.testing.assert_frame_equal(again[3], first[3])


def test_the_report_of_how_a_table_was_read_goes_with_its_episodes(tmp_path: Path) -> None:
    file, earlier = tmp_path / "own.csv", tmp_path / "episodes.parquet"
    file.write_text(OWN.replace("A,0,50,f", "A,0,> 79,f") + "A,,40,f\n")
    runtime = {
        "episodes_file": str(file),
        "own_episodes": {
            "unlabelled": "drop", "values": {"age": {"> 79": None}}, "minimum_patients": 1,
        },
    }  # fmt: skip
    first = read("base", earlier, runtime)
    assert first[3]["rule"].tolist() == ["value_mapped", "unlabelled_row"]
    first[1].to_parquet(earlier)
    earlier.with_suffix(".json").write_text(json.dumps(first[0]))
    pd.testing.assert_frame_equal(read("base", earlier)[3], first[3])


def test_episodes_of_a_registry_have_a_vocabulary_of_numbers(tmp_path: Path) -> None:
    earlier = tmp_path / "episodes.parquet"
    table = pd.DataFrame({"episode_id": ["e"], "patient_id": ["p"], "country": ["A"], "label": [1],
                          "t0": [pd.Timestamp(0)], "EDSS_at_0": [2.0], "AGE": [40.0]})  # fmt: skip
    table.to_parquet(earlier)
    provenance, episodes, vocabulary, _ = read("base", earlier)
    pd.testing.assert_frame_equal(episodes, Episodes.validate(table))
    assert provenance["source"] == {"kind": "own", "description": "own episodes table"}
    assert provenance["vocabulary"] is None
    assert vocabulary == {"columns": ["EDSS_at_0", "AGE"], "levels": {}, "missing": [],
                          "numbers": ["AGE", "EDSS_at_0"]}  # fmt: skip


def test_with_nothing_to_go_on_from_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There are no episodes in .*--params=episodes_file=FILE"):
        read("base", tmp_path / "episodes.parquet")


@pytest.mark.parametrize(("rows", "n", "n_features"), [("complete", 740, 13), ("all", 920, 32)])
def test_the_four_hospitals_go_the_way_of_any_table(
    rows: str, n: int, n_features: int, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    runtime = {"heart_folder": str(shared_data("heart_disease")), "heart_rows": rows}
    provenance, episodes, vocabulary, _ = read("heart", tmp_path, runtime)
    assert Episodes.validate(episodes).shape == (n, 4 + n_features)
    features = list(episodes.columns)[4:]
    assert provenance["source"]["site"] == "hospital"
    if rows == "complete":
        assert not episodes.isna().to_numpy().any()
        assert features[-5:] == ["cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2"]
        return
    gaps = ["trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca",
            "thal"]  # fmt: skip
    assert Vocabulary.model_validate(vocabulary).missing == tuple(sorted(gaps))
    assert [name for name in features if name.endswith(" missing")] == [
        f"{g} missing" for g in gaps
    ]
    swiss = episodes[episodes["country"] == "Switzerland"]
    assert swiss["chol"].isna().all()
    assert (swiss["chol missing"] == 1).all()
    fixed = episodes["thal=fixed defect"]
    assert fixed.isna().sum() == (episodes["thal missing"] == 1).sum() == 486


def test_the_single_class_of_switzerland_is_counted(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    runtime = {"heart_folder": str(shared_data("heart_disease"))}
    given = Parameters.model_validate(load("heart", runtime))
    episodes = read("heart", tmp_path, runtime)[1]
    counts = count_splits(episodes, split_patients(episodes, given.seeds, given.splits))
    swiss = counts[counts["country"] == "Switzerland"].set_index("seed")
    assert swiss["train_episodes"].tolist() == [28, 28, 28]
    assert swiss["train_positive"].tolist() == [28, 28, 27]


def check(env: str, pipeline: str, runtime: dict[str, Any]) -> None:
    """What the hooks do before the first node of `kedro run`."""

    class Context:
        config_loader = {"parameters": load(env, runtime)}  # noqa: RUF012

    hook = ParameterCheck()
    hook.after_context_created(Context())
    pipelines = register_pipelines()
    catalog = DataCatalog.from_config(
        {
            "episodes": {
                "type": "pandas.ParquetDataset",
                "filepath": "data/03_primary/episodes.parquet",
            }
        }
    )
    hook.before_pipeline_run({"runtime_params": runtime}, pipelines[pipeline], catalog)


@pytest.mark.parametrize(
    ("env", "pipeline", "runtime", "said"),
    [
        ("base", "pfl", {"episodes_file": "own.csv"}, "'episodes_file' = own.csv: this run does "
         "not read it; an episodes table of your own is read by `kedro run --pipeline=modelling`"),
        ("base", "training", {"episodes_file": "own.csv"}, "this run does not read it"),
        ("heart", "pfl", {}, "'heart_folder' = data/01_raw/heart_disease: this run does not read"),
        ("base", "modelling", {"episodes_file": None}, "'episodes_file' is empty; name the file"),
        ("base", "modelling", {"episodes_file": "data/03_primary/episodes.parquet"},
         "this run writes that file; leave the parameter out"),
        ("base", "modelling", {"own_episodes": {"positive": "x"}}, "'own_episodes' has no effect"),
        ("base", "modelling", {"heart_rows": "all"}, "'heart_rows' has no effect in this run"),
        ("heart", "modelling", {"heart_rows": "all", "episodes_file": "own.csv"},
         "'heart_rows' has no effect in this run"),
        ("heart", "modelling", {"episodes_file": "own.csv", "heart_folder": "heart"},
         "name two tables; give one of them"),
    ],
)  # fmt: skip
def test_a_table_that_would_be_passed_over_or_written_to_stops_the_run(
    env: str, pipeline: str, runtime: dict[str, Any], said: str
) -> None:
    with pytest.raises(click.ClickException) as caught:
        check(env, pipeline, runtime)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("env", "pipeline", "runtime"),
    [
        ("base", "modelling", {"episodes_file": "own.csv"}),
        ("heart", "modelling", {"episodes_file": "own.csv"}),
        ("heart", "modelling", {"heart_folder": "heart", "heart_rows": "all"}),
        ("heart", "training", {}),
        ("base", "pfl", {}),
    ],
)
def test_what_is_read_or_not_needed_does_not_stop_it(
    env: str, pipeline: str, runtime: dict[str, Any]
) -> None:
    check(env, pipeline, runtime)


def test_the_encoded_vocabulary_belongs_to_modelling_alone() -> None:
    pipelines = register_pipelines()
    assert "vocabulary" in pipelines["modelling"].all_outputs()
    assert "vocabulary" not in pipelines["pfl"].all_outputs()
