"""Predictions of all models -> metrics, how sure they are, and what tells models apart.

::

    *.predictions ──► recalibrate ──► recalibrated ─┐
          └────────────────────────────────────────┴► score ──► metrics ──► summary, fairness
                                                         └► test_predictions
    test_predictions, summary ──► estimates, differences, net_benefit
    test_predictions, episodes ──► subgroup_metrics
    test_predictions ──► operating_curves, reliability
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family, paradigms_with, trainings
from ms_pfl.pipelines.evaluation.nodes import (
    compare_models,
    compare_subgroups,
    recalibrate_federated,
    score_predictions,
    summarize_metrics,
    trace_curves,
)
from ms_pfl.pipelines.training.pipeline import outputs_of


def create_pipeline(*families: Family) -> Pipeline:
    """From ``*.predictions`` and ``episodes`` to the tables that the report is made from.

    Args:
        families: of the trainings that are compared.
    """
    predictions = outputs_of("predictions", trainings(*families))
    recalibrated = trainings(*families, paradigm=paradigms_with("global")[0].name)
    settings = ["params:comparison", "params:training.protocol"]
    return Pipeline(
        [
            Node(
                func=recalibrate_federated,
                inputs=outputs_of("predictions", recalibrated),
                outputs="recalibrated",
                name="recalibrate_federated",
            ),
            Node(
                func=score_predictions,
                inputs={
                    "protocol": "params:training.protocol",
                    "recalibrated": "recalibrated",
                    **predictions,
                },
                outputs=["metrics", "coverage", "test_predictions"],
                name="score_predictions",
            ),
            Node(
                func=summarize_metrics,
                inputs="metrics",
                outputs=["summary", "fairness"],
                name="summarize_metrics",
            ),
            Node(
                func=compare_models,
                inputs=["test_predictions", "summary", *settings],
                outputs=["estimates", "differences", "net_benefit"],
                name="compare_models",
            ),
            Node(
                func=compare_subgroups,
                inputs=["test_predictions", "episodes", *settings],
                outputs="subgroup_metrics",
                name="compare_subgroups",
            ),
            Node(
                func=trace_curves,
                inputs="test_predictions",
                outputs=["operating_curves", "reliability"],
                name="trace_curves",
            ),
        ]
    )
