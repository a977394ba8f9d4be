"""Saved models and the test episodes -> which features they use, country by country."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.attribution.nodes import compare_profiles, measure_importance

#: One strategy is enough to see what personal layers do; it is the first of Table 1.
STRATEGY = "fedavg"


def create_pipeline() -> Pipeline:
    """``*.fedavg.models``, ``episodes``, ``splits`` -> ``importance``, ``feature_profiles``."""
    return Pipeline(
        [
            Node(
                func=measure_importance,
                inputs={
                    "episodes": "episodes",
                    "splits": "splits",
                    **{name: f"params:{name}" for name in ("attribution", "model", "protocol")},
                    **{
                        paradigm: f"{paradigm}.{STRATEGY}.models"
                        for paradigm in ("federated", "fine_tuned", "adaptive")
                    },
                },
                outputs="importance",
                name="measure_importance",
            ),
            Node(
                func=compare_profiles,
                inputs="importance",
                outputs="feature_profiles",
                name="compare_profiles",
            ),
        ]
    )
