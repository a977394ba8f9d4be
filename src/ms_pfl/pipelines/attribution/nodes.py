"""Nodes of the attribution."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training
from ms_pfl.studies.parameters import AttributionParameters
from ms_pfl.training.settings import TrainingSettings


def measure_importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    cohort: dict[str, Any],
    models: dict[Training, dict[str, Any]],
    attribution: AttributionParameters,
    settings: TrainingSettings,
    device: Device,
) -> pd.DataFrame:
    """Shuffle each group of features among the test episodes of each country.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        cohort: its ``vocabulary`` of a custom table sets the groups; None: the registry cohort's.
        models: of the trainings that are asked.
        attribution: permutations.
        settings: of the trainings.
        device: to compute on.

    Returns:
        ``importance``: a row a model, seed, country, group and permutation.
    """
    from ms_pfl.cohort.feature_groups import feature_groups
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.studies.attribution.importance import importance

    groups = feature_groups(feature_columns(episodes), cohort["vocabulary"])
    return importance(episodes, splits, models, groups, settings, attribution, device)


def compare_countries(importance: pd.DataFrame) -> pd.DataFrame:
    """How far each country's personal model is from the federated one in what it uses."""
    from ms_pfl.studies.attribution.compare import compare_by_country

    return compare_by_country(importance)
