"""The pipelines that `kedro run` knows by name."""

from __future__ import annotations

from kedro.pipeline import Pipeline

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
from ms_pfl.pipelines.training.pipeline import PARADIGMS
from ms_pfl.pipelines.training.pipeline import create_pipeline as create_training


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline; ``pfl``, the main job, is the default.

    Explicit, because Kedro's ``find_pipelines`` imports only the sub-package that was asked for,
    which breaks pipelines composed of others.
    """
    synthetic_registry = create_synthetic_registry()
    preprocessing = create_preprocessing()
    paradigms = {paradigm: create_training(paradigm) for paradigm in PARADIGMS}
    training = sum(paradigms.values(), Pipeline([]))
    evaluation = create_evaluation()
    attribution = create_attribution()
    reporting = create_reporting()
    predictor = create_predictor_pipeline()
    after_cohort = training + predictor + evaluation + attribution + reporting
    own_data = create_own_data() + create_partition_pipeline()
    modelling = own_data + after_cohort
    pfl = synthetic_registry + preprocessing + after_cohort
    return {
        "__default__": pfl,
        "pfl": pfl,
        "modelling": modelling,
        "synthetic_registry": synthetic_registry,
        "preprocessing": preprocessing,
        "own_data": own_data,
        "audit": synthetic_registry + preprocessing + create_audit(),
        "new_country": create_new_country(),
        "training": training,
        **paradigms,
        "predictor": predictor,
        "prediction": create_prediction(),
        "evaluation": evaluation,
        "attribution": attribution,
        "reporting": reporting,
        "recording": create_recording_pipeline(),
    }
