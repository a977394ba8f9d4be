"""The attribution's nodes between the saved models and what is written."""

from __future__ import annotations

import pandas as pd
import pytest

from federation_examples import tables
from ms_pfl.pipeline_registry import register_pipelines
from ms_pfl.pipelines.studies.nodes import compare_countries, measure_importance
from ms_pfl.pipelines.studies.pipeline import create_attribution_pipeline
from ms_pfl.studies.attribution.compare import asked
from ms_pfl.studies.parameters import AttributionParameters
from paradigm_examples import Study


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def measured(
    study: Study, episodes: pd.DataFrame, vocabulary: dict[str, object] | None = None
) -> pd.DataFrame:
    return measure_importance(
        episodes,
        study.tables[1],
        {"vocabulary": vocabulary},
        {training: study.outcome(*training).models for training in asked()},
        AttributionParameters(repeats=2, seed=0),
        study.told,
        "cpu",
    )


def test_from_models_to_the_comparison_of_countries(study: Study) -> None:
    importance = measured(study, study.tables[0])
    models = importance[["paradigm", "strategy"]].drop_duplicates().to_numpy().tolist()
    assert models == [["federated", "fedavg"], ["fine_tuned", "fedavg"], ["adaptive", "fedavg"]]
    assert importance["group"].unique().tolist() == ["age", "edss", "relapses"]
    by_country = compare_countries(importance)
    assert len(by_country) == 2 * 3


def test_the_columns_of_ones_own_table_are_the_groups() -> None:
    """As its vocabulary says: two features are the levels of one column."""
    episodes, splits = tables()
    episodes = episodes.rename(columns={"edss": "center=a", "relapses": "center=b"})
    study = Study(tables=(episodes, splits))
    vocabulary = {
        "columns": ["age", "center"],
        "levels": {"center": ["a", "b"]},
        "numbers": ["age"],
        "missing": [],
    }
    assert measured(study, episodes, vocabulary)["group"].unique().tolist() == ["age", "center"]


def test_it_runs_after_the_trainings_and_needs_fedavg_alone() -> None:
    needed = create_attribution_pipeline().inputs()
    assert {n for n in needed if not n.startswith("params:")} == {
        "episodes", "splits", "cohort_description",
        "federated.fedavg.models", "fine_tuned.fedavg.models", "adaptive.fedavg.models",
    }  # fmt: skip
    pipelines = register_pipelines()
    for name in ("pfl", "modelling"):
        assert {"importance", "attribution_by_country", "figure_importance"} <= pipelines[
            name
        ].all_outputs()
