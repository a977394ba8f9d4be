"""A row is all that a paradigm or a strategy takes: whatever lists them follows from the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

import fits_factory as factory
from ms_pfl import paradigms
from ms_pfl.deployment.server import training_between_sites
from ms_pfl.errors import InputError
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.paradigms import (
    PARADIGMS,
    STRATEGIES,
    Paradigm,
    Strategy,
    Training,
    color_of,
    in_order,
    model_name,
    planned_pairs,
    references_of,
    trainings,
)
from ms_pfl.pipeline_registry import register_pipelines
from ms_pfl.pipelines.evaluation.pipeline import create_pipeline as create_evaluation
from ms_pfl.prediction.parameters import PredictionParameters
from ms_pfl.studies.parameters import NewCountryParameters
from paradigm_examples import Study

NEAR = Paradigm(
    "near", "Near copy", "#123456", "personalized", ("fedavg", "fedmedian"),
    program="federated:federated", method="private_intercept:PrivateIntercept", rounds=True,
)  # fmt: skip
MEDIAN = Strategy("fedmedian", "FedMedian")


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> Paradigm:
    """A further personalized paradigm in the study."""
    monkeypatch.setitem(PARADIGMS, "near", NEAR)
    return NEAR


@pytest.fixture
def median(monkeypatch: pytest.MonkeyPatch) -> Strategy:
    """A further strategy, with which federated and recalibrated models are made."""
    monkeypatch.setitem(STRATEGIES, "fedmedian", MEDIAN)
    for name in ("federated", "recalibrated", "recalibrated_slope"):
        row = PARADIGMS[name]
        more = replace(row, strategies=(*row.strategies, "fedmedian"))
        monkeypatch.setitem(PARADIGMS, name, more)
    return MEDIAN


# -- what is compared with what --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paradigm", "references"),
    [
        ("centralized", []),
        ("local", ["centralized"]),
        ("federated", ["centralized", "local"]),
        ("recalibrated", ["federated"]),
        ("recalibrated_slope", ["federated"]),
        ("fine_tuned", ["centralized", "local", "federated", "recalibrated"]),
        ("adaptive", ["centralized", "local", "federated", "recalibrated"]),
        ("ensemble", ["centralized", "local", "federated", "recalibrated"]),
        ("served", ["centralized", "local"]),
        ("private_intercept", ["centralized", "local", "federated", "recalibrated"]),
        ("proximal_copy", ["centralized", "local", "federated", "recalibrated"]),
        ("scaffold", ["centralized", "local", "federated"]),
        ("without_a_row", ["centralized", "local", "federated", "recalibrated"]),
    ],
)
def test_what_each_paradigm_is_compared_with(paradigm: str, references: list[str]) -> None:
    assert references_of(paradigm) == references


def test_every_row_is_in_the_list_above() -> None:
    assert list(PARADIGMS) == [
        "centralized", "local", "federated", "recalibrated", "recalibrated_slope", "fine_tuned",
        "adaptive", "private_intercept", "proximal_copy", "scaffold", "ensemble", "served",
    ]  # fmt: skip


def with_recalibrated(models: Iterable[Training]) -> list[tuple[str, str]]:
    """All models that a comparison of some trainings has."""
    made = [tuple(model) for model in models]
    federated = [strategy for paradigm, strategy in made if paradigm == "federated"]
    return [*made, *((f"recalibrated{s}", f) for s in ("", "_slope") for f in federated)]


def test_the_pairs_of_the_study() -> None:
    """Whoever has a strategy is compared with the same one."""
    strategies = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad")
    by_reference = {
        "centralized": ("federated", "fine_tuned", "adaptive"),
        "local": ("federated", "fine_tuned", "adaptive"),
        "federated": ("recalibrated", "recalibrated_slope", "fine_tuned", "adaptive"),
        "recalibrated": ("fine_tuned", "adaptive"),
    }
    alone = {"centralized": "pooled", "local": "none"}
    expected = {("local.none", "centralized.pooled")} | {
        (f"{model}.{strategy}", f"{reference}.{alone.get(reference, strategy)}")
        for reference, models in by_reference.items()
        for model in models
        for strategy in strategies
    }
    found = planned_pairs(with_recalibrated(trainings("study")))
    assert {(model.name, other.name) for model, other in found} == expected
    assert len(found) == len(expected) == 1 + 5 * 12
    assert list(dict.fromkeys(other.paradigm for _, other in found)) == list(by_reference)


def test_the_pairs_of_the_further_methods() -> None:
    """Each learner is compared with itself, FedAvg's with FedAvg's."""
    found = planned_pairs(with_recalibrated(trainings()))
    study = planned_pairs(with_recalibrated(trainings("study")))
    assert set(study) <= set(found)
    assert {(model.name, other.name) for model, other in set(found) - set(study)} == {
        *(
            (f"{model}.{learner}", f"{reference}.{learner}")
            for learner in ("logistic", "trees")
            for model, references in {
                "local": ["centralized"],
                "federated": ["centralized", "local"],
                "recalibrated": ["federated"],
                "recalibrated_slope": ["federated"],
                "fine_tuned": ["centralized", "local", "federated", "recalibrated"],
                "adaptive": ["centralized", "local", "federated", "recalibrated"],
            }.items()
            for reference in references
        ),
        *(
            (f"{model}.fedavg", reference)
            for model in ("private_intercept", "proximal_copy")
            for reference in (
                "centralized.pooled", "local.none", "federated.fedavg", "recalibrated.fedavg",
            )
        ),
        ("scaffold.fedavg", "centralized.pooled"),
        ("scaffold.fedavg", "local.none"),
        ("scaffold.fedavg", "federated.fedavg"),
    }  # fmt: skip


# -- what follows from a row -----------------------------------------------------------------------


def test_a_paradigms_row_makes_nodes_and_datasets(near: Paradigm, median: Strategy) -> None:
    pipelines = register_pipelines()
    for name in ("pfl", "modelling", "training", "near", "further_methods"):
        nodes = {node.name for node in pipelines[name].nodes}
        own = {"training.near.train_fedavg", "training.near.train_fedmedian"}
        assert own <= nodes, name
        made = pipelines[name].all_outputs()
        for kind in ("predictions", "history", "models"):
            assert {f"near.fedavg.{kind}", f"near.fedmedian.{kind}"} <= made
    pfl = {node.name: set(node.inputs) for node in pipelines["pfl"].nodes}
    for kind in ("predictions", "history", "models"):
        assert pfl[f"training.near.gather_{kind}"] == {
            f"near.fedavg.{kind}", f"near.fedmedian.{kind}",
        }  # fmt: skip
        assert f"federated.fedmedian.{kind}" in pfl[f"training.federated.gather_{kind}"]
        assert f"near.{kind}" in pfl[f"training.gather_{kind}"]
    explained = pfl["training.gather_explained_models"]
    assert "near.fedavg.models" in explained, "the first strategy is asked"
    assert "near.fedmedian.models" not in explained
    assert "federated.fedmedian.models" in {
        name for node in pipelines["new_country"].nodes for name in node.inputs
    }


def test_a_further_methods_row_leaves_the_study_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = register_pipelines()
    monkeypatch.setitem(PARADIGMS, "near", replace(NEAR, family="further"))
    after = register_pipelines()
    assert after["pfl"].datasets() == before["pfl"].datasets()
    assert "near" not in after
    made = after["further_methods"].all_outputs()
    kinds = ("predictions", "history", "models")
    assert made - before["further_methods"].all_outputs() == {
        *(f"near.{strategy}.{kind}" for strategy in NEAR.strategies for kind in kinds),
        *(f"near.{kind}" for kind in kinds),
    }


def test_a_row_gives_names_a_color_and_a_place_in_tables(near: Paradigm, median: Strategy) -> None:
    assert color_of("near") == "#123456"
    assert color_of("far") == "#808080"
    assert model_name("near", "fedmedian") == "Near copy FedMedian"
    assert model_name("far", "fedmost") == "Far fedmost"
    models = [
        ("near", "fedmedian"), ("near", "fedavg"), ("federated", "fedmedian"),
        ("adaptive", "fedavg"), ("local", "none"),
    ]  # fmt: skip
    assert in_order(models) == [
        ("local", "none"), ("adaptive", "fedavg"), ("near", "fedavg"),
        ("federated", "fedmedian"), ("near", "fedmedian"),
    ]  # fmt: skip


def test_a_row_is_an_allowed_value(near: Paradigm, median: Strategy) -> None:
    chosen = PredictionParameters(paradigm="near", strategy="fedmedian", bootstrap_patients=0)
    assert (chosen.paradigm, chosen.strategy) == ("near", "fedmedian")
    assert training_between_sites("near", "fedavg") == Training("near", "fedavg")
    new = NewCountryParameters(strategy="fedmedian", countries=1, sizes=(5,))
    assert new.strategy == "fedmedian"
    with pytest.raises(ValueError, match="fine_tuned, adaptive, private_intercept, proximal_copy"):
        PredictionParameters(paradigm="far", strategy="fedavg", bootstrap_patients=0)
    with pytest.raises(ValueError, match="adaptive is not trained with it; there are: fedavg, "):
        PredictionParameters(paradigm="adaptive", strategy="fedmedian", bootstrap_patients=0)


def test_without_a_row_it_is_none() -> None:
    with pytest.raises(ValueError, match=r"prediction\.paradigm' = 'near'"):
        PredictionParameters(paradigm="near", strategy="fedavg", bootstrap_patients=0)
    with pytest.raises(InputError, match="'near' does not run between sites; there are: adaptive,"):
        training_between_sites("near", "fedavg")
    with pytest.raises(ValueError, match="no strategy 'fedmedian'"):
        NewCountryParameters(strategy="fedmedian", countries=1, sizes=(5,))


def test_a_row_between_no_sites_is_refused_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARADIGMS, "near", replace(NEAR, between_sites=False))
    for name in ("near", "centralized", "recalibrated"):
        with pytest.raises(InputError, match=f"'{name}' does not run between sites"):
            training_between_sites(name, "fedavg")


def test_a_row_is_trained(near: Paradigm) -> None:
    """As the paradigm whose method it names, under its own name."""
    study = Study()
    found = study.outcome("near", "fedavg")
    same = study.outcome("private_intercept", "fedavg")
    assert set(found.predictions["paradigm"]) == set(found.history["paradigm"]) == {"near"}
    pd.testing.assert_series_equal(
        found.predictions["probability"], same.predictions["probability"], check_exact=True
    )


# -- tables and figures ----------------------------------------------------------------------------

SIZES = {"Aland": 50, "Bland": 40, "Cland": 30}


def compared(models: list[tuple[str, str]], *families: paradigms.Family) -> dict[str, pd.DataFrame]:
    """The tables of an evaluation of models that were made up, by the project's own pipeline."""
    table = factory.make_predictions(factory.make_episodes(SIZES), (0, 1), models)
    protocol = ProtocolParameters(
        split_unit="patient", scaling="federated", selection="validation", personal_arrays="kept",
        proximal_term=True, fine_tuning_rows="same",
    )  # fmt: skip
    given: dict[str, object] = {
        "params:prediction": {"paradigm": "auto", "strategy": "auto"},
        "split_counts": pd.DataFrame({"train_patients": [60], "test_patients": [20]}),
        "params:training.protocol": protocol,
        "params:comparison": ComparisonParameters(replicates=100, seed=0, thresholds=(0.2,)),
    }
    for one in trainings(*families):
        own = (table["paradigm"] == one.paradigm) & (table["strategy"] == one.strategy)
        given[f"{one.name}.predictions"] = table[own].reset_index(drop=True)
    pipeline = create_evaluation(*families).filter(
        to_outputs=["differences", "estimates", "net_benefit"]
    )
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
    made = SequentialRunner().run(pipeline, catalog)
    return {name: made[name].load() for name in ("differences", "estimates", "net_benefit")}


STUDY = [
    ("centralized", "pooled"), ("local", "none"), ("federated", "fedavg"),
    ("fine_tuned", "fedavg"), ("adaptive", "fedavg"),
]  # fmt: skip
KEY = ["paradigm", "strategy", "reference", "reference_strategy", "scope", "country", "metric"]


@pytest.fixture(scope="module")
def alone() -> pd.DataFrame:
    """Differences of the study's family without a further model."""
    found = compared(STUDY, "study")["differences"].set_index(KEY).sort_index()
    return found.drop(index=["ensemble", "served"], level="paradigm")


def test_a_rows_models_stand_in_the_table_of_differences(
    near: Paradigm, monkeypatch: pytest.MonkeyPatch, alone: pd.DataFrame
) -> None:
    monkeypatch.setitem(factory.SKILL, "near", 1.5)
    tables = compared([*STUDY, ("near", "fedavg")], "study")
    differences = tables["differences"]
    own = differences[differences["paradigm"] == "near"]
    assert set(own["reference"]) == {"centralized", "local", "federated", "recalibrated"}
    assert (
        own.loc[own["scope"] == "pooled", ["low", "high", "p", "unadjusted_p"]]
        .notna()
        .all(axis=None)
    )
    for name in ("estimates", "net_benefit"):
        assert "near" in set(tables[name]["paradigm"]), name
    # one more model in the family: whatever was nearly sure before is less so now
    again = differences.set_index(KEY).sort_index().loc[alone.index]
    pd.testing.assert_series_equal(again["unadjusted_p"], alone["unadjusted_p"])
    assert (again["p"] >= alone["p"]).where(alone["p"].notna(), True).all()
    assert (again["p"] > alone["p"]).any()


def test_a_further_method_changes_no_p_of_the_study(
    monkeypatch: pytest.MonkeyPatch, alone: pd.DataFrame
) -> None:
    further = [("private_intercept", "fedavg"), ("scaffold", "fedavg"), ("federated", "logistic")]
    for name, _ in further[:2]:
        monkeypatch.setitem(factory.SKILL, name, 1.5)
    differences = compared([*STUDY, *further])["differences"].set_index(KEY).sort_index()
    assert {"private_intercept", "scaffold"} <= set(differences.index.get_level_values(0))
    pd.testing.assert_frame_equal(differences.loc[alone.index], alone)


def test_a_rows_models_are_drawn_in_its_color(near: Paradigm) -> None:
    from ms_pfl.evaluation.curves import learning_curves
    from ms_pfl.reporting.curves import draw_learning_curves

    models = [("local", "none"), ("near", "fedavg")]
    drawn = draw_learning_curves(learning_curves(factory.make_history(SIZES, (0,), models)))
    assert [axes.get_title() for axes in drawn.axes[:2]] == ["Local", "Near copy"]
    assert drawn.axes[3].get_xlabel() == "round"


def test_a_rows_gain_is_in_the_forest(near: Paradigm, monkeypatch: pytest.MonkeyPatch) -> None:
    from ms_pfl.reporting.gains import forest
    from ms_pfl.reporting.sites import country_table

    monkeypatch.setitem(factory.SKILL, "near", 1.5)
    differences = compared([*STUDY, ("near", "fedavg")], "study")["differences"]
    countries = country_table(factory.make_episodes(SIZES))
    drawn = forest(differences, countries)
    lines = {line.get_label(): line.get_color() for line in drawn.axes[0].lines}
    assert lines["Near copy"] == "#123456"
