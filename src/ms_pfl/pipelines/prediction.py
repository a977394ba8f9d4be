"""Two pipelines: one leaves a predictor after the training, the other asks it.

::

    episodes, splits, *.models, *.predictions ──► make_predictor ──► predictor
    predictor, params:registry_folder ──► predict_new_patients ──► new_patients

Which models become the predictor is a parameter, and Kedro's inputs are known before: so all that
may are inputs.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.errors import InputError
from ms_pfl.paradigms import Family
from ms_pfl.pipelines.training import outputs_of
from ms_pfl.prediction.parameters import PredictionParameters, may_be_asked
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.training.settings import TrainingSettings

_KINDS = ("models", "predictions")
_log = logging.getLogger(__name__)


def make_predictor(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    description: dict[str, Any],
    prediction: PredictionParameters,
    cohort: CohortParameters,
    settings: TrainingSettings,
    **trained: Any,
) -> Any:
    """Put the models that ``prediction`` names together with what they need.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        description: ``source`` and ``vocabulary`` of the episodes.
        prediction: paradigm and strategy.
        cohort: how features are built.
        settings: of the trainings.
        trained: ``<paradigm>_<strategy>_models`` and ``<paradigm>_<strategy>_predictions``.

    Returns:
        A :class:`ms_pfl.prediction.making.Made`; without a predictor where the protocol scales by
        country, which needs the country's training rows.

    Raises:
        InputError: the training that ``prediction`` names is not among those of this run.
    """
    from ms_pfl.prediction import making

    if settings.protocol.scaling == "country":
        _log.warning(
            "training.protocol.scaling: country leaves no predictor: it would need training rows"
        )
        return making.Made(None)
    parts = []
    for training in (prediction.personal, prediction.shared):
        if f"{training.argument}_models" not in trained:
            raise InputError(
                f"Parameter 'prediction': {training.name} is not trained in this run; run "
                "`kedro run --pipeline=further_methods`, or name a training of the study"
            )
        parts.append(tuple(trained[f"{training.argument}_{kind}"] for kind in _KINDS))
    personal, shared = parts
    return making.Made(
        making.make_predictor(
            episodes,
            splits,
            personal,
            shared,
            prediction,
            settings,
            cohort,
            description["source"],
            description["vocabulary"],
        )
    )


def predict_new_patients(
    registry_folder: str | None, predictor_folder: Path, ingest: IngestParameters
) -> tuple[pd.DataFrame, list[str], pd.DataFrame]:
    """Score the latest visit of each patient of a folder.

    Args:
        registry_folder: of the new patients' tables.
        predictor_folder: of an earlier run.
        ingest: how the tables are spelled.

    Returns:
        ``new_patients``, sentences on them, and the ingest report.

    Raises:
        InputError: no folder is named; predictor or tables cannot be used.
    """
    from ms_pfl.prediction import new_patients, predictor

    known = predictor.read_predictor(predictor_folder)
    tables, report = new_patients.read_new_patients(registry_folder, known, ingest)
    table = new_patients.score_patients(tables, known)
    return table, new_patients.notes(table, known), report


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
