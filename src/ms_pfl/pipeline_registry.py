"""The pipelines that `kedro run` knows by name."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from ms_pfl.paradigms import Family, trainings
from ms_pfl.pipelines import cohort, evaluation, prediction, reporting, studies, training


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline; ``pfl``, the main job, is the default.

    Explicit, because Kedro's ``find_pipelines`` imports only the sub-package that was asked for,
    which breaks pipelines composed of others.
    """
    synthetic_registry = cohort.create_synthetic_registry_pipeline()
    preprocessing = cohort.create_preprocessing_pipeline()
    registry = synthetic_registry + preprocessing
    own_episodes = cohort.create_own_data_pipeline() + cohort.create_partition_pipeline()
    pfl = registry + _after_cohort("study")
    return {
        "__default__": pfl,
        "pfl": pfl,
        "further_methods": registry + _after_cohort("study", "further"),
        "modelling": own_episodes + _after_cohort("study"),
        "synthetic_registry": synthetic_registry,
        "preprocessing": preprocessing,
        "own_data": own_episodes,
        "audit": registry + studies.create_audit_pipeline(),
        "new_country": studies.create_new_country_pipeline(),
        "training": _trainings("study"),
        **{name: training.create_pipeline(name, "study") for name in _paradigms("study")},
        "predictor": prediction.create_predictor_pipeline("study"),
        "prediction": prediction.create_pipeline(),
        "evaluation": evaluation.create_pipeline("study"),
        "attribution": studies.create_attribution_pipeline(),
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
        + studies.create_attribution_pipeline()
        + reporting.create_pipeline(*families)
    )
