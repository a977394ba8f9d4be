"""Two pipelines: one leaves a predictor after the training, the other asks it.

::

    episodes, splits, *.models, *.predictions ──► make_predictor ──► predictor
    predictor, params:registry_folder ──► predict_new_patients ──► new_patients

Which models become the predictor is a parameter, and Kedro's inputs are known before: so all that
may are inputs.
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family
from ms_pfl.pipelines.prediction.nodes import make_predictor, predict_new_patients
from ms_pfl.pipelines.training.pipeline import outputs_of
from ms_pfl.prediction.parameters import may_be_asked


def create_predictor_pipeline(*families: Family) -> Pipeline:
    """The trained models -> ``predictor``.

    Args:
        families: of the trainings that it may be made of.
    """
    return Pipeline(
        [
            Node(
                func=make_predictor,
                inputs={"episodes": "episodes", "splits": "splits"}
                | {name: f"params:{name}" for name in ("prediction", "cohort")}
                | {"settings": "params:training", "description": "cohort_description"}
                | {
                    f"{name}_{kind}": dataset
                    for kind in ("models", "predictions")
                    for name, dataset in outputs_of(kind, may_be_asked(*families)).items()
                },
                outputs="predictor",
                name="make_predictor",
            )
        ]
    )


def create_pipeline() -> Pipeline:
    """``predictor`` and the tables of new patients -> ``new_patients``."""
    return Pipeline(
        [
            Node(
                func=predict_new_patients,
                inputs=["params:registry_folder", "predictor", "params:ingest"],
                outputs=["new_patients", "new_patients_notes", "ingest_report"],
                name="predict_new_patients",
            )
        ]
    )
