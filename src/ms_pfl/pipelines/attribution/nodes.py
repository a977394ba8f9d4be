"""Nodes of the attribution."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.learning.parameters import ModelParameters
from ms_pfl.paradigms.parameters import AttributionParameters


def measure_importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    attribution: AttributionParameters,
    model: ModelParameters,
    protocol: ProtocolParameters,
    federated: dict[str, Any],
    fine_tuned: dict[str, Any],
    adaptive: dict[str, Any],
) -> pd.DataFrame:
    """Permute groups of features, country by country, for the global and the personal models."""
    from ms_pfl.cohort.features import feature_groups
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.paradigms.attribution import importance
    from ms_pfl.paradigms.saved_models import SavedModels
    from ms_pfl.pipelines.attribution.pipeline import STRATEGY

    arrays = {"federated": federated, "fine_tuned": fine_tuned, "adaptive": adaptive}
    return importance(
        {
            (paradigm, STRATEGY): SavedModels(own, model, protocol.scaling)
            for paradigm, own in arrays.items()
        },
        episodes,
        splits,
        feature_groups(feature_columns(episodes)),
        attribution.repeats,
        attribution.seed,
    )


def compare_profiles(importance: pd.DataFrame) -> pd.DataFrame:
    """Set each country's personal models beside the global one."""
    from ms_pfl.evaluation.attribution import compare_profiles as compare

    return compare(importance)
