"""The pipelines that `kedro run` knows by name."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from ms_pfl.paradigms import Family, trainings
from ms_pfl.pipelines.attribution.pipeline import create_pipeline as create_attribution
from ms_pfl.pipelines.audit.pipeline import create_pipeline as create_audit
from ms_pfl.pipelines.evaluation.pipeline import create_pipeline as create_evaluation
from ms_pfl.pipelines.new_country.pipeline import create_pipeline as create_new_country
from ms_pfl.pipelines.own_data.pipeline import create_pipeline as create_own_data
from ms_pfl.pipelines.prediction.pipeline import create_pipeline as create_prediction
from ms_pfl.pipelines.prediction.pipeline import create_predictor_pipeline
from ms_pfl.pipelines.preprocessing.pipeline import (
    create_partition_pipeline,
)
from ms_pfl.pipelines.preprocessing.pipeline import (
    create_pipeline as create_preprocessing,
)
from ms_pfl.pipelines.reporting.pipeline import create_pipeline as create_reporting
from ms_pfl.pipelines.reporting.pipeline import create_recording_pipeline
from ms_pfl.pipelines.synthetic_registry.pipeline import (
    create_pipeline as create_synthetic_registry,
)
from ms_pfl.pipelines.training.pipeline import create_paradigm_pipeline
from ms_pfl.pipelines.training.pipeline import create_pipeline as create_training


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline; ``pfl``, the main job, is the default.

    Explicit, because Kedro's ``find_pipelines`` imports only the sub-package that was asked for,
    which breaks pipelines composed of others.
    """
    synthetic_registry = create_synthetic_registry()
    preprocessing = create_preprocessing()
    registry = synthetic_registry + preprocessing
    pfl = registry + _after_cohort("study")
    paradigms = dict.fromkeys(training.paradigm for training in trainings("study"))
    return {
        "__default__": pfl,
        "pfl": pfl,
        "further_methods": registry + _after_cohort("study", "further"),
        "modelling": create_own_data() + create_partition_pipeline() + _after_cohort("study"),
        "synthetic_registry": synthetic_registry,
        "preprocessing": preprocessing,
        "own_data": create_own_data() + create_partition_pipeline(),
        "audit": registry + create_audit(),
        "new_country": create_new_country(),
        "training": create_training("study"),
        **{paradigm: create_paradigm_pipeline(paradigm, "study") for paradigm in paradigms},
        "predictor": create_predictor_pipeline("study"),
        "prediction": create_prediction(),
        "evaluation": create_evaluation("study"),
        "attribution": create_attribution(),
        "reporting": create_reporting("study"),
        "recording": create_recording_pipeline("study"),
    }


def _after_cohort(*families: Family) -> Pipeline:
    """From episodes and splits to the report."""
    return (
        create_training(*families)
        + create_predictor_pipeline(*families)
        + create_evaluation(*families)
        + create_attribution()
        + create_reporting(*families)
    )
