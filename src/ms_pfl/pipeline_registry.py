"""The pipelines that `kedro run` knows by name."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from ms_pfl.paradigms import Family, trainings
from ms_pfl.pipelines import (
    attribution,
    audit,
    evaluation,
    new_country,
    own_data,
    prediction,
    preprocessing,
    reporting,
    synthetic_registry,
    training,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline; ``pfl``, the main job, is the default.

    Explicit, because Kedro's ``find_pipelines`` imports only the sub-package that was asked for,
    which breaks pipelines composed of others.
    """
    registry = synthetic_registry.create_pipeline() + preprocessing.create_pipeline()
    own_episodes = own_data.create_pipeline() + preprocessing.create_partition_pipeline()
    pfl = registry + _after_cohort("study")
    return {
        "__default__": pfl,
        "pfl": pfl,
        "further_methods": registry + _after_cohort("study", "further"),
        "modelling": own_episodes + _after_cohort("study"),
        "synthetic_registry": synthetic_registry.create_pipeline(),
        "preprocessing": preprocessing.create_pipeline(),
        "own_data": own_episodes,
        "audit": registry + audit.create_pipeline(),
        "new_country": new_country.create_pipeline(),
        "training": _trainings("study"),
        **{name: training.create_pipeline(name, "study") for name in _paradigms("study")},
        "predictor": prediction.create_predictor_pipeline("study"),
        "prediction": prediction.create_pipeline(),
        "evaluation": evaluation.create_pipeline("study"),
        "attribution": attribution.create_pipeline(),
        "reporting": reporting.create_pipeline("study"),
        "recording": reporting.create_recording_pipeline(),
    }


def _paradigms(*families: Family) -> list[str]:
    """The paradigms that are trained in some families."""
    return list(dict.fromkeys(one.paradigm for one in trainings(*families)))


def _trainings(*families: Family) -> Pipeline:
    """All trainings of some families."""
    return sum(
        (training.create_pipeline(name, *families) for name in _paradigms(*families)), Pipeline([])
    )


def _after_cohort(*families: Family) -> Pipeline:
    """From episodes and splits to the report."""
    return (
        _trainings(*families)
        + prediction.create_predictor_pipeline(*families)
        + evaluation.create_pipeline(*families)
        + attribution.create_pipeline()
        + reporting.create_pipeline(*families)
    )
