"""The pipeline of the logistic regressions' coefficients, through Kedro on a small table."""

from __future__ import annotations

from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from federation_examples import tables
from ms_pfl.pipeline_registry import register_pipelines
from ms_pfl.pipelines.studies.pipeline import create_coefficients_pipeline
from paradigm_examples import Study

_OWN = (
    "training.gather_shared_regressions",
    "training.gather_mixed_regressions",
    "evaluation.tabulate_coefficients",
    "evaluation.tabulate_odds_ratios",
    "evaluation.tabulate_intercepts",
)
_TABLES = ("coefficients", "odds_ratios", "shape_curves", "site_intercepts")


def test_from_models_to_tables() -> None:
    study = Study(tables=tables({"AU": 300, "BE": 240, "CZ": 15}))
    given: dict[str, object] = {
        "episodes": study.tables[0],
        "splits": study.tables[1],
        "params:training": study.told,
        **{
            f"{paradigm}.logistic.models": study.outcome(paradigm, "logistic").models
            for paradigm in ("centralized", "federated", "adaptive")
        },
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
    pipeline = create_coefficients_pipeline().filter(node_names=list(_OWN))
    made = {name: data.load() for name, data in SequentialRunner().run(pipeline, catalog).items()}
    assert set(made) == set(_TABLES)
    for name in _TABLES[:3]:
        assert set(made[name]["paradigm"]) == {"centralized", "federated"}, name
        assert set(made[name]["feature"]) - {""} == {"age", "edss", "relapses"}
    assert made["site_intercepts"]["country"].tolist() == ["AU", "BE"]
    assert set(made["site_intercepts"]["paradigm"]) == {"adaptive"}


def test_the_further_methods_show_the_section_and_the_study_does_not() -> None:
    pipelines = register_pipelines()
    own = {*_TABLES, "figure_odds_ratios", "figure_shape_curves"}
    assert own <= pipelines["further_methods"].all_outputs()
    assert own <= pipelines["coefficients"].all_outputs()
    assert not own & pipelines["pfl"].datasets()
    writing = [
        next(node for node in pipelines[name].nodes if node.name == "reporting.write_report")
        for name in ("further_methods", "coefficients")
    ]
    assert writing[0].inputs == writing[1].inputs
