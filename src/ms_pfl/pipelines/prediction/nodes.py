"""Nodes of the prediction: make a predictor, and ask it about new patients."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.paradigms import Training
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.training.settings import TrainingSettings

_log = logging.getLogger(__name__)


def make_predictor(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    description: dict[str, Any],
    models: dict[Training, dict[str, Any]],
    predictions: pd.DataFrame,
    choice: dict[str, Any],
    cohort: CohortParameters,
    settings: TrainingSettings,
    prediction: Any,
) -> Any:
    """Put the models that serve new patients together with what they need.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        description: ``source`` and ``vocabulary`` of the episodes.
        models: of all trainings.
        predictions: of all trainings.
        choice: what serves which country, a :class:`ms_pfl.evaluation.choice.Choice`.
        cohort: how features are built.
        settings: of the trainings.
        prediction: the section ``prediction``: how many draws of patients give the range of a risk.

    Returns:
        A :class:`ms_pfl.prediction.making.Made`; without a predictor where the protocol scales by
        country, which needs the country's training rows.

    Raises:
        InputError: a training that ``choice`` names is not among those of this run.
    """
    from ms_pfl.errors import InputError
    from ms_pfl.evaluation.choice import Choice
    from ms_pfl.parameters import plain
    from ms_pfl.prediction import making
    from ms_pfl.prediction.description import training_of

    if settings.protocol.scaling == "country":
        _log.warning(
            "training.protocol.scaling: country leaves no predictor: it would need training rows"
        )
        return making.Made(None)
    chosen = Choice.model_validate(choice)
    for name in (*chosen.members, chosen.shared):
        if training_of(name) not in models:
            raise InputError(
                f"Parameter 'prediction': {name} is not trained in this run; run "
                "`kedro run --pipeline=further_methods`, or name a training of the study"
            )
    return making.Made(
        making.make_predictor(
            episodes,
            splits,
            models,
            predictions,
            chosen,
            settings,
            cohort,
            description["source"],
            description["vocabulary"],
            plain(prediction)["bootstrap_patients"],
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
    from ms_pfl.prediction.new_patients import notes, read_new_patients, score_patients
    from ms_pfl.prediction.predictor import read_predictor

    predictor = read_predictor(predictor_folder)
    tables, report = read_new_patients(registry_folder, predictor, ingest)
    table = score_patients(tables, predictor)
    return table, notes(table, predictor), report
