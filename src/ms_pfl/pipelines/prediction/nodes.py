"""Nodes of the prediction: make a predictor, and ask it about new patients."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.federation.parameters import (
    ProtocolParameters,
    RoundsParameters,
    StrategiesParameters,
)
from ms_pfl.learning.parameters import Device, ModelParameters, TrainingParameters
from ms_pfl.prediction.parameters import PredictionParameters
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.training.parameters import (
    CentralizedParameters,
    FineTunedParameters,
    LocalParameters,
    ParadigmParameters,
)

_log = logging.getLogger(__name__)


def make_predictor(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    description: dict[str, Any],
    prediction: PredictionParameters,
    cohort: CohortParameters,
    device: Device,
    model: ModelParameters,
    training: TrainingParameters,
    protocol: ProtocolParameters,
    strategies: StrategiesParameters,
    centralized: CentralizedParameters,
    local: LocalParameters,
    federated: RoundsParameters,
    fine_tuned: FineTunedParameters,
    **trained: Any,
) -> Any:
    """Put the models that ``prediction`` names together with what they need.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        description: ``source`` and ``vocabulary`` of the episodes.
        prediction: paradigm and strategy.
        cohort: how features are built.
        device: as in the training, like all that follows but the last.
        model: the network.
        training: of one client.
        protocol: splits, scaling and so on.
        strategies: of the federations.
        centralized: of its paradigm, as the next three.
        local: see above.
        federated: see above.
        fine_tuned: see above.
        trained: ``<paradigm>_<strategy>_models`` and ``<paradigm>_<strategy>_predictions``.

    Returns:
        A :class:`ms_pfl.prediction.making.Made`; without a predictor where the protocol scales by
        country, which needs the country's training rows.
    """
    from ms_pfl.prediction import making

    if protocol.scaling == "country":
        _log.warning("protocol.scaling: country leaves no predictor: it would need training rows")
        return making.Made(None)
    parameters = ParadigmParameters(
        device=device,
        model=model,
        training=training,
        protocol=protocol,
        strategies=strategies,
        centralized=centralized,
        local=local,
        federated=federated,
        fine_tuned=fine_tuned,
    )
    personal, shared = (
        tuple(trained[f"{'_'.join(name)}_{kind}"] for kind in ("models", "predictions"))
        for name in (prediction.personal, prediction.shared)
    )
    return making.Made(
        making.make_predictor(
            episodes,
            splits,
            personal,
            shared,
            prediction,
            parameters,
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
    from ms_pfl.prediction.new_patients import notes, read_new_patients, score_patients
    from ms_pfl.prediction.predictor import read_predictor

    predictor = read_predictor(predictor_folder)
    tables, report = read_new_patients(registry_folder, predictor, ingest)
    table = score_patients(tables, predictor)
    return table, notes(table, predictor), report
