"""Nodes of the new country."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import (
    CheckpointParameters,
    ProtocolParameters,
    RayParameters,
    RoundsParameters,
    StrategiesParameters,
)
from ms_pfl.learning.parameters import Device, ModelParameters, TrainingParameters
from ms_pfl.training.parameters import (
    CentralizedParameters,
    FineTunedParameters,
    LocalParameters,
    NewCountryParameters,
    ParadigmParameters,
)

_log = logging.getLogger(__name__)


def leave_countries_out(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    unfinished: Any,
    new_country: NewCountryParameters,
    device: Device,
    ray: RayParameters,
    checkpoints: CheckpointParameters,
    model: ModelParameters,
    training: TrainingParameters,
    protocol: ProtocolParameters,
    strategies: StrategiesParameters,
    centralized: CentralizedParameters,
    local: LocalParameters,
    federated: RoundsParameters,
    fine_tuned: FineTunedParameters,
    **federated_models: dict[str, Any],
) -> pd.DataFrame:
    """Train without each country in turn, with progress on the console.

    ``federated_models``: those of the run in which all took part, by ``federated_<strategy>``.
    """
    from ms_pfl.console import TrainingProgress
    from ms_pfl.evaluation.names import model_name
    from ms_pfl.studies.unseen_site.train import leave_one_out

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
    title = model_name("federated", new_country.strategy)
    return leave_one_out(
        episodes,
        splits,
        parameters,
        new_country,
        ray,
        federated_models[f"federated_{new_country.strategy}"],
        lambda country: TrainingProgress(f"Without {country}: {title}"),
        unfinished,
        checkpoints.every_rounds,
    )


def measure_new_countries(
    predictions: pd.DataFrame, test_predictions: pd.DataFrame, comparison: ComparisonParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every model and size, and their differences."""
    from ms_pfl.studies.unseen_site.compare import measure

    return measure(predictions, test_predictions, comparison.replicates, comparison.seed)


def show_new_countries(
    estimates: pd.DataFrame, differences: pd.DataFrame, cohort: dict[str, Any]
) -> pd.DataFrame:
    """Lay out the table, and say what it came to."""
    from ms_pfl.reporting.words import site_words
    from ms_pfl.studies.unseen_site.show import new_country_sentences, new_country_table

    for line in new_country_sentences(estimates, differences, site_words(cohort["source"])):
        _log.info("%s", line)
    return new_country_table(estimates, differences)
