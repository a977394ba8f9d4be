"""Nodes of the attribution."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import (
    ProtocolParameters,
    RoundsParameters,
    StrategiesParameters,
)
from ms_pfl.learning.parameters import Device, ModelParameters, TrainingParameters
from ms_pfl.training.parameters import (
    AttributionParameters,
    CentralizedParameters,
    FineTunedParameters,
    LocalParameters,
    ParadigmParameters,
)


def measure_importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    cohort: dict[str, Any],
    attribution: AttributionParameters,
    device: Device,
    model: ModelParameters,
    training: TrainingParameters,
    protocol: ProtocolParameters,
    strategies: StrategiesParameters,
    centralized: CentralizedParameters,
    local: LocalParameters,
    federated: RoundsParameters,
    fine_tuned: FineTunedParameters,
    **models: dict[str, Any],
) -> pd.DataFrame:
    """Shuffle each group of features among the test episodes of each country.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        cohort: its ``vocabulary`` of a custom table sets the groups; None: the registry cohort's.
        attribution: permutations.
        device: as in the training, like all that follows but the last.
        model: the network.
        training: of one client.
        protocol: splits, scaling and so on.
        strategies: of the federations.
        centralized: of its paradigm, as the next three.
        local: see above.
        federated: see above.
        fine_tuned: see above.
        models: saved models by ``<paradigm>_<strategy>_models``.

    Returns:
        ``importance``: a row a model, seed, country, group and permutation.
    """
    from ms_pfl.cohort.feature_groups import feature_groups
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.studies.attribution.importance import importance

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
    by_key = {}
    for name, arrays in models.items():
        paradigm, strategy = name.removesuffix("_models").rsplit("_", 1)
        by_key[paradigm, strategy] = arrays
    groups = feature_groups(feature_columns(episodes), cohort["vocabulary"])
    return importance(episodes, splits, by_key, groups, parameters, attribution)


def compare_countries(importance: pd.DataFrame) -> pd.DataFrame:
    """How far each country's personal model is from the federated one in what it uses."""
    from ms_pfl.studies.attribution.compare import compare_by_country

    return compare_by_country(importance)
