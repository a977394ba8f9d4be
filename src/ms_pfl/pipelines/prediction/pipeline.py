"""Two pipelines: one leaves a predictor after the training, the other asks it.

::

    predictions ──► choose_model ──► prediction_choice
    episodes, splits, models, predictions, prediction_choice ──► make_predictor ──► predictor
    predictor, params:registry_folder ──► predict_new_patients ──► new_patients
"""

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family
from ms_pfl.pipelines.evaluation.pipeline import create_choice_pipeline
from ms_pfl.pipelines.prediction.nodes import make_predictor, predict_new_patients
from ms_pfl.pipelines.training.pipeline import gathering


def create_predictor_pipeline(*families: Family) -> Pipeline:
    """Return the trained models -> ``predictor``.

    Args:
        families: of the trainings that it may be made of.
    """
    gathered = gathering(("models", "predictions"), *families)
    return (
        gathered
        + create_choice_pipeline(*families)
        + Pipeline(
            [
                Node(
                    func=make_predictor,
                    inputs=[
                        "episodes",
                        "splits",
                        "cohort_description",
                        "models",
                        "predictions",
                        "prediction_choice",
                        "params:cohort",
                        "params:training",
                        "params:prediction",
                    ],
                    outputs="predictor",
                    name="make_predictor",
                )
            ]
        )
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
