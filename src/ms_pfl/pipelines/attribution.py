"""What the global and the personal models use.

::

    episodes, splits, <paradigm>.<strategy>.models ──► measure_importance ──► importance
                                            attribution_by_country ◄── compare_countries ◄┘
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.learning.parameters import Device
from ms_pfl.pipelines.training import outputs_of
from ms_pfl.studies.attribution.compare import compare_by_country
from ms_pfl.studies.attribution.models import asked
from ms_pfl.studies.attribution.parameters import AttributionParameters
from ms_pfl.training.settings import TrainingSettings


def measure_importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    cohort: dict[str, Any],
    attribution: AttributionParameters,
    settings: TrainingSettings,
    device: Device,
    **models: dict[str, Any],
) -> pd.DataFrame:
    """Shuffle each group of features among the test episodes of each country.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        cohort: its ``vocabulary`` of a custom table sets the groups; None: the registry cohort's.
        attribution: permutations.
        settings: of the trainings.
        device: to compute on.
        models: saved models by paradigm and strategy, ``<paradigm>_<strategy>``.

    Returns:
        ``importance``: a row a model, seed, country, group and permutation.
    """
    from ms_pfl.cohort.feature_groups import feature_groups
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.studies.attribution.importance import importance

    groups = feature_groups(feature_columns(episodes), cohort["vocabulary"])
    by_training = {training: models[training.argument] for training in asked()}
    return importance(episodes, splits, by_training, groups, settings, attribution, device)


def create_pipeline() -> Pipeline:
    """``*.models`` -> ``importance``, ``attribution_by_country``."""
    return Pipeline(
        [
            Node(
                func=measure_importance,
                inputs={
                    "episodes": "episodes",
                    "splits": "splits",
                    "cohort": "cohort_description",
                    "attribution": "params:attribution",
                    "settings": "params:training",
                    "device": "params:device",
                    **outputs_of("models", asked()),
                },
                outputs="importance",
                name="measure_importance",
            ),
            Node(
                func=compare_by_country,
                inputs="importance",
                outputs="attribution_by_country",
                name="compare_countries",
            ),
        ]
    )
