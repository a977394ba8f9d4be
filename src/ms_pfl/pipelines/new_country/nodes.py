"""Nodes of the new country."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.studies.parameters import NewCountryParameters
from ms_pfl.training.settings import TrainingSettings

_log = logging.getLogger(__name__)


def leave_countries_out(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    unfinished: Any,
    new_country: NewCountryParameters,
    settings: TrainingSettings,
    device: Device,
    ray: RayParameters,
    checkpoints: CheckpointParameters,
    **federated_models: dict[str, Any],
) -> pd.DataFrame:
    """Train without each country in turn, with progress on the console.

    ``federated_models``: those of the run in which all took part, by ``federated_<strategy>``.
    """
    from ms_pfl.console import TrainingProgress
    from ms_pfl.paradigms import model_name
    from ms_pfl.studies.unseen_site.train import leave_one_out
    from ms_pfl.training.simulation import Compute

    title = model_name("federated", new_country.strategy)
    return leave_one_out(
        episodes,
        splits,
        settings,
        new_country,
        Compute(ray, device, unfinished, checkpoints.every_rounds),
        federated_models[f"federated_{new_country.strategy}"],
        lambda country: TrainingProgress(f"Without {country}: {title}"),
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
