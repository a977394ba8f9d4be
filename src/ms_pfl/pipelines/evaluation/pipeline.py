"""Predictions of all models -> metrics with their uncertainty, and differences between models.

::

    predictions ──► recalibrate ──► recalibrated ─┐
          ├───────► combine ──────► ensemble ─────┤
          └──────────────────────────────────────┴► score ──► metrics ──► summary, fairness
                                                       └► test_predictions
    test_predictions, summary, split_counts ──► estimates, differences, further_country, net_benefit
    test_predictions, episodes ──► subgroup_metrics
    test_predictions ──► operating_curves, reliability, risk_distribution
"""

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family
from ms_pfl.pipelines.evaluation.nodes import (
    choose_model,
    combine_candidates,
    compare_models,
    compare_subgroups,
    gather_findings,
    recalibrate_federated,
    score_predictions,
    summarize_metrics,
    trace_curves,
)
from ms_pfl.pipelines.training.pipeline import gathering

NAMESPACE = "evaluation"
TABLES = (
    "metrics",
    "coverage",
    "summary",
    "fairness",
    "estimates",
    "differences",
    "further_country",
    "net_benefit",
    "subgroup_metrics",
    "operating_curves",
    "reliability",
    "risk_distribution",
)


def create_pipeline(*families: Family) -> Pipeline:
    """From all predictions and ``episodes`` to the tables that the report is made from.

    Args:
        families: of the trainings that are compared.
    """
    return create_choice_pipeline(*families) + Pipeline(
        [
            Node(
                func=score_predictions,
                inputs=[
                    "predictions",
                    "recalibrated",
                    "ensemble",
                    "served",
                    "params:training.protocol",
                ],
                outputs=["metrics", "coverage", "test_predictions"],
                name="score_predictions",
                namespace=NAMESPACE,
            ),
            Node(
                func=summarize_metrics,
                inputs="metrics",
                outputs=["summary", "fairness"],
                name="summarize_metrics",
                namespace=NAMESPACE,
            ),
            Node(
                func=compare_models,
                inputs=["test_predictions", "summary", "split_counts", "params:comparison"],
                outputs=["estimates", "differences", "further_country", "net_benefit"],
                name="compare_models",
                namespace=NAMESPACE,
            ),
            Node(
                func=compare_subgroups,
                inputs=["test_predictions", "episodes", "params:comparison"],
                outputs="subgroup_metrics",
                name="compare_subgroups",
                namespace=NAMESPACE,
            ),
            Node(
                func=trace_curves,
                inputs="test_predictions",
                outputs=["operating_curves", "reliability", "risk_distribution"],
                name="trace_curves",
                namespace=NAMESPACE,
            ),
        ]
    )


def create_choice_pipeline(*families: Family) -> Pipeline:
    """Return the predictions of all trainings -> those made of them, and what serves new patients.

    Args:
        families: of the trainings.
    """
    return gathering(("predictions",), *families) + Pipeline(
        [
            Node(
                func=recalibrate_federated,
                inputs="predictions",
                outputs="recalibrated",
                name="recalibrate_federated",
                namespace=NAMESPACE,
            ),
            Node(
                func=combine_candidates,
                inputs="predictions",
                outputs="ensemble",
                name="combine_candidates",
                namespace=NAMESPACE,
            ),
            Node(
                func=choose_model,
                inputs=["predictions", "recalibrated", "ensemble", "params:prediction"],
                outputs=["prediction_choice", "served"],
                name="choose_model",
                namespace=NAMESPACE,
            ),
        ]
    )


def create_findings_pipeline(*tables: str) -> Pipeline:
    """Return the tables of the evaluation -> ``findings``: for pipelines that go on from it.

    Args:
        tables: further ones that belong to the findings.
    """
    names = (*TABLES, *tables)
    return Pipeline(
        [
            Node(
                func=gather_findings,
                inputs={name: name for name in names},
                outputs="findings",
                name="gather_findings",
                namespace=NAMESPACE,
            )
        ]
    )
