"""Predictions of all trainings -> metrics -> their summary over seeds."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.evaluation.nodes import score_predictions, summarize_metrics
from ms_pfl.pipelines.training.pipeline import outputs_of


def create_pipeline() -> Pipeline:
    """``*.predictions`` -> ``metrics``, ``coverage``, ``summary``."""
    return Pipeline(
        [
            Node(
                func=score_predictions,
                inputs={"protocol": "params:protocol", **outputs_of("predictions")},
                outputs=["metrics", "coverage"],
                name="score_predictions",
            ),
            Node(
                func=summarize_metrics,
                inputs="metrics",
                outputs="summary",
                name="summarize_metrics",
            ),
        ]
    )
