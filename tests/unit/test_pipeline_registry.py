"""The pipelines that people name on the command line are there and fit together."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from kedro_project import PROJECT
from ms_pfl import cli
from ms_pfl.paradigms import trainings
from ms_pfl.pipeline_registry import register_pipelines
from ms_pfl.pipelines.training.pipeline import KINDS


@pytest.fixture(scope="module")
def pipelines() -> dict:
    return register_pipelines()


def test_pfl_is_the_default_and_needs_only_parameters_and_a_folder(pipelines: dict) -> None:
    assert pipelines["pfl"] == pipelines["__default__"]
    assert {n for n in pipelines["pfl"].inputs() if not n.startswith("params:")} == {
        "parameters",
        "unfinished",
    }


def test_modelling_starts_from_a_table_of_ones_own_or_earlier_episodes(pipelines: dict) -> None:
    free = {n for n in pipelines["modelling"].inputs() if not n.startswith("params:")}
    assert free == {"earlier_episodes", "earlier_provenance", "parameters", "unfinished"}
    # alone it only reads and splits the table, as preprocessing does with a registry
    assert {"episodes", "splits", "vocabulary"} <= pipelines["own_data"].all_outputs()


def test_five_namespaces_hold_seventeen_trainings(pipelines: dict) -> None:
    study = trainings("study")
    nodes = [node for node in pipelines["training"].nodes if node.tags]
    assert {node.namespace for node in nodes} == {f"training.{paradigm}" for paradigm, _ in study}
    assert {node.name for node in nodes} == {f"training.{p}.train_{s}" for p, s in study}
    assert len(nodes) == len(study) == 17
    assert pipelines["training"].outputs() == set(KINDS)


def test_further_methods_stand_beside_the_study_in_a_pipeline_of_their_own(
    pipelines: dict,
) -> None:
    further = {training.name for training in trainings("further")}
    assert further == {
        *(
            f"{name}.{strategy}"
            for name in dict.fromkeys(one.paradigm for one in trainings("study"))
            for strategy in ("logistic", "trees")
        ),
        "private_intercept.fedavg", "proximal_copy.fedavg", "scaffold.fedavg",
    }  # fmt: skip
    made = pipelines["further_methods"].all_outputs()
    for name in ("predictions", "history", "models"):
        assert {f"{training.name}.{name}" for training in trainings()} <= made
        assert not {f"{training}.{name}" for training in further} & pipelines["pfl"].all_outputs()
    assert pipelines["pfl"].all_outputs() <= made


def test_a_tag_selects_a_strategy(pipelines: dict) -> None:
    chosen = pipelines["pfl"].only_nodes_with_tags("fedprox").nodes
    assert [node.name for node in chosen] == [
        f"training.{paradigm}.train_fedprox" for paradigm in ("adaptive", "federated", "fine_tuned")
    ]


def test_a_paradigms_name_is_enough_for_its_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(cli.run, "callback", lambda **given: asked.update(given))
    done = CliRunner().invoke(cli.run, ["--pipeline=pfl", "--namespaces=adaptive,cohort"])
    assert done.exit_code == 0, done.output
    assert asked["namespaces"] == ["training.adaptive", "cohort"]


def test_a_namespace_holds_a_paradigm(pipelines: dict) -> None:
    chosen = pipelines["pfl"].only_nodes_with_namespaces(["training.adaptive"]).nodes
    assert {node.name.removeprefix("training.adaptive.") for node in chosen} == {
        *(f"train_{one.strategy}" for one in trainings("study", paradigm="adaptive")),
        *(f"gather_{kind}" for kind in KINDS),
    }


def test_the_flowchart_opens_on_few_shapes(pipelines: dict) -> None:
    """As Kedro-Viz counts them: namespaces, other nodes, and what passes between these."""
    nodes = pipelines["pfl"].nodes
    stages = {node.name: (node.namespace or node.name).partition(".")[0] for node in nodes}
    made = {name: stages[node.name] for node in nodes for name in node.outputs}
    read: dict[str, set[str]] = {}
    for node in nodes:
        for name in node.inputs:
            read.setdefault(name, set()).add(stages[node.name])
    seen = {
        name
        for name in pipelines["pfl"].datasets()
        if not name.startswith("params:") and name != "parameters"
        and read.get(name, set()) != {made.get(name)}
    }  # fmt: skip
    shapes = len(seen | set(stages.values()))
    assert shapes == 25
    said = {
        path.name: re.findall(r"(\d+) shapes", path.read_text(encoding="utf-8"))
        for path in (PROJECT / "docs").glob("*.md")
    }
    assert {name: counts for name, counts in said.items() if counts} == {
        name: [str(shapes)] for name in ("running.md", "design.md")
    }


def test_fine_tuning_waits_for_its_federated_model(pipelines: dict) -> None:
    node = next(n for n in pipelines["fine_tuned"].nodes if n.name.endswith("fedprox"))
    assert "federated.fedprox.models" in node.inputs
    assert "federated.fedavg.models" not in node.inputs


def test_a_run_leaves_a_predictor_and_scores_nobody(pipelines: dict) -> None:
    for name in ("pfl", "modelling"):
        assert "predictor" in pipelines[name].all_outputs()
        assert "new_patients" not in pipelines[name].all_outputs()
    assert pipelines["prediction"].inputs() == {
        "predictor", "params:registry_folder", "params:ingest",
    }  # fmt: skip
