"""No step combines files of different runs, and every refusal names the step that helps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ms_pfl.errors import InputError
from token_runs import TokenProject, check_unmixed

TWO = {"cohort": {"rule": "two_strata"}}
_PIPELINES = (
    "pfl", "modelling", "synthetic_registry", "preprocessing", "own_data", "training", "federated",
    "fine_tuned", "predictor", "evaluation", "attribution", "reporting", "new_country", "audit",
    "prediction",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> TokenProject:
    return TokenProject(tmp_path)


def refusal(project: TokenProject, *arguments: Any, **given: Any) -> str:
    with pytest.raises(InputError) as refused:
        project.run(*arguments, **given)
    return str(refused.value)


def test_another_rule_after_a_whole_run_does_not_reach_its_report(project: TokenProject) -> None:
    project.run("pfl")
    project.run("preprocessing", **TWO)
    said = refusal(project, "reporting")
    assert said.endswith("run `kedro run --pipeline=pfl` first")
    assert "different versions of data/episodes.json" in said
    assert refusal(project, "evaluation").startswith(
        "data/adaptive.fedadagrad.predictions.json was made from another version of "
        "data/episodes.json than the one that is there"
    )
    project.run_as_told("reporting", **TWO)


def test_a_setting_that_files_were_not_made_with_is_refused(project: TokenProject) -> None:
    project.run("pfl")
    said = refusal(project, "reporting", **TWO)
    assert "was made with cohort.rule = 'three_strata', and this run has 'two_strata'" in said
    assert said.endswith("or run `kedro run --pipeline=pfl` and the same --params first")


def test_one_training_with_other_settings_does_not_stand_beside_the_others(
    project: TokenProject,
) -> None:
    project.run("pfl")
    project.run("adaptive", training={"federation": {"rounds": 2}})
    said = refusal(project, "evaluation")
    assert "was made with training.federation.rounds = 2 and" in said
    assert said.endswith("run `kedro run --pipeline=adaptive` first")
    project.run_as_told("evaluation")


def test_settings_of_one_training_are_settings_of_the_run(project: TokenProject) -> None:
    own = {"only": {"local.none": {"local": {"epochs": 3}}}}
    project.run("pfl", training=own)
    said = refusal(project, "evaluation", training={"only": {}})
    assert (
        "was made with training.only.local.none = {'local': {'epochs': 3}}, and this run has None"
        in said
    )
    project.run("reporting", training=own)


@pytest.mark.parametrize(
    ("pipeline", "given"),
    [
        ("preprocessing", {"training": {"federation": {"rounds": 2}}}),
        ("synthetic_registry", {"cohort": {"rule": "two_strata"}}),
        ("training", {"comparison": {"replicates": 700}}),
        ("evaluation", {"audit": {"replicates": 700}}),
        ("prediction", {"new_country": {"countries": 1}}),
    ],
)
def test_a_setting_without_effect_is_refused(
    project: TokenProject, pipeline: str, given: dict[str, Any]
) -> None:
    project.run("pfl")
    (name,) = given
    place = f"training.{next(iter(given[name]))}" if name == "training" else name
    tables = {"registry_folder": str(project.folder)} if pipeline == "prediction" else {}
    assert refusal(project, pipeline, **given, **tables) == (
        f"Parameter '{place}' has no effect in this run: no step of it reads it; leave it out, or "
        "run a pipeline that reads it"
    )


def test_settings_of_the_files_that_a_run_goes_on_from_may_be_given(project: TokenProject) -> None:
    """No step of `reporting` reads them as they are; its files were made with them."""
    given = {"training": {"network": {"width": 5}}, **TWO}
    project.run("pfl", **given)
    for pipeline in ("evaluation", "reporting"):
        project.run(pipeline, **given)
    other = {"training": {"network": {"width": 7}}, **TWO}
    assert "training.network.width = 5, and this run has 7" in refusal(
        project, "evaluation", **other
    )


def test_a_step_that_is_skipped_is_named(project: TokenProject) -> None:
    project.run("pfl")
    project.run("evaluation", comparison={"replicates": 700})
    said = refusal(project, "reporting")
    assert "comparison.replicates = 700, and this run has 1000" in said
    assert "`kedro run --pipeline=evaluation`" in said
    project.run("reporting", comparison={"replicates": 700})


def test_only_missing_outputs_on_another_table(project: TokenProject, tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("A")
    other.write_text("B")
    project.run("modelling", episodes_file=str(one))
    project.run("modelling", only_missing=True, episodes_file=str(one))
    said = refusal(project, "modelling", True, episodes_file=str(other))
    assert said.endswith("run the same command without --only-missing-outputs")
    one.write_text("C")
    said = refusal(project, "modelling", True, episodes_file=str(one))
    assert "another content of episodes_file" in said


def test_a_report_says_of_the_source_what_the_episodes_were_made_from(
    project: TokenProject, tmp_path: Path
) -> None:
    table = tmp_path / "registry"
    table.write_text("A")
    project.run("pfl", registry_folder=str(table))
    made = project.run("reporting")
    assert f"source={table}" in made["report"]
    said = refusal(project, "reporting", registry_folder=str(tmp_path))
    assert f"registry_folder = '{table}', and this run has '{tmp_path}'" in said


def test_a_predictor_serves_after_the_data_have_gone_on(project: TokenProject) -> None:
    project.run("pfl")
    project.run("preprocessing", **TWO)
    project.run("prediction", registry_folder=str(project.folder))


def test_modelling_goes_on_from_episodes_that_a_user_has_put_there(project: TokenProject) -> None:
    folder = project.folder / "data"
    folder.mkdir()
    (folder / "episodes.json").write_text('["table=mine"]')
    assert "table=mine" in project.run("modelling")["report"]


def test_a_file_that_was_changed_by_hand_is_refused(project: TokenProject) -> None:
    project.run("pfl")
    (project.folder / "data/summary.json").write_text('["cohort=mine"]')
    said = refusal(project, "reporting")
    assert said.startswith("data/summary.json has no record of what it was made from")
    assert said.endswith("run `kedro run --pipeline=evaluation` first")
    project.run_as_told("reporting")


def test_the_step_that_is_named_is_given_what_it_reads_alone(project: TokenProject) -> None:
    project.run("pfl")
    project.run("preprocessing", splits={"train": 0.5, "validation": 0.3})
    given = {"splits": {"train": 0.5, "validation": 0.3}, "comparison": {"replicates": 700}}
    said = refusal(project, "evaluation", **given)
    assert said.endswith("run `kedro run --pipeline=training` first")
    project.run_as_told("evaluation", **given)


def test_what_has_no_effect_is_refused_before_anything_is_to_be_run(project: TokenProject) -> None:
    project.run("pfl")
    project.run("preprocessing", seeds=[5])
    said = refusal(project, "attribution", prediction={"strategy": "fedprox"})
    assert said.startswith("Parameter 'prediction' has no effect in this run")


def test_a_copied_project_goes_on(project: TokenProject, tmp_path: Path) -> None:
    project.run("pfl")
    for file in (project.folder / "data").glob("*.json"):
        content = file.read_text()
        file.unlink()
        file.write_text(content)  # other times of change
    project.run("reporting")


def test_a_missing_file_is_named_with_its_step(project: TokenProject) -> None:
    project.run("pfl")
    (project.folder / "data/splits.json").unlink()
    said = refusal(project, "training")
    assert said == "data/splits.json does not exist; run `kedro run --pipeline=preprocessing` first"


def test_strategies_that_are_missing_are_named(project: TokenProject) -> None:
    project.run("pfl")
    for training in ("federated.fedprox", "adaptive.fedavg"):
        (project.folder / f"data/{training}.predictions.json").unlink()
    assert refusal(project, "evaluation") == (
        "data/adaptive.fedavg.predictions.json does not exist (missing: adaptive.fedavg, "
        "federated.fedprox); run `kedro run --pipeline=training` first"
    )


def test_a_run_that_was_killed_between_two_files(project: TokenProject) -> None:
    project.run("pfl")
    ledger = project.folder / "data/provenance.jsonl"
    ledger.write_text(ledger.read_text()[:-40])  # the last line was cut short
    project.run_as_told("reporting")


_VARIATIONS: tuple[dict[str, Any], ...] = (
    {},
    TWO,
    {"splits": {"train": 0.5, "validation": 0.3}},
    {"seeds": [5]},
    {"training": {"federation": {"rounds": 2}}},
    {"training": {"only": {"local.none": {"local": {"epochs": 3}}}}},
    {"comparison": {"replicates": 700}},
    {"synthetic_registry": {"seed": 7}},
    {"prediction": {"strategy": "fedprox"}},
    {"registry_folder": "A"},
    {"registry_folder": "B"},
    {"episodes_file": "C"},
)


@settings(max_examples=examples(10), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(_PIPELINES), st.sampled_from(_VARIATIONS), st.booleans(), st.booleans()
        ),
        min_size=2,
        max_size=5,
    )
)
def test_no_order_of_steps_mixes_runs(
    steps: list[tuple[str, dict[str, Any], bool, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = TokenProject(Path(folder))
        for place, (pipeline, variation, only_missing, changed) in enumerate(steps):
            given = dict(variation)
            for name in ("registry_folder", "episodes_file"):
                if name in given:
                    table = Path(folder) / given[name]
                    if changed or not table.exists():
                        table.write_text(f"version {place}")
                    given[name] = str(table)
            if pipeline == "prediction":
                given["registry_folder"] = folder
                if not (Path(folder) / "data/predictor.json").exists():
                    continue  # refused by the node
            if "episodes_file" in given and pipeline not in ("modelling", "own_data"):
                continue  # refused by the check of parameters
            if place == 0 and pipeline != "modelling":
                check_unmixed(project.run("pfl"))
            try:
                project.run_as_told(pipeline, only_missing, **given)
            except FileNotFoundError:
                assert pipeline in ("modelling", "own_data")  # nothing is there to go on from
