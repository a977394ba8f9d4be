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

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.paradigms import PARADIGMS, Family, paradigms_with, trainings
from ms_pfl.pipelines.training import outputs_of


def recalibrate_federated(**predictions: pd.DataFrame) -> pd.DataFrame:
    """Correct the federated risks country by country, on validation predictions.

    Args:
        predictions: the predictions table of each federated training, by any name.
    """
    from ms_pfl.evaluation.recalibration import recalibrate

    return recalibrate(pd.concat(predictions.values(), ignore_index=True))


def score_predictions(
    protocol: Any, **predictions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score all models on the held-out test patients.

    Args:
        protocol: the section ``training.protocol``, which says whether all were to be tested on the
            same patients.
        predictions: the predictions table of each model, by any name.

    Returns:
        ``metrics`` (a row a fit, scope, country and metric), ``coverage`` (a row a seed) and
        ``test_predictions``: the rows that were scored.
    """
    from ms_pfl.evaluation import checks, scoring

    same = ProtocolParameters.of(protocol).same_test_rows
    test = checks.check_predictions(pd.concat(predictions.values(), ignore_index=True), same)
    return scoring.score(test, same), scoring.coverage(test, same), test


def summarize_metrics(metrics: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and standard deviation of every metric over the seeds, and its spread over countries."""
    from ms_pfl.evaluation import comparison, fairness

    summary = comparison.summarize(metrics)
    return summary, fairness.fairness(summary)


def compare_models(
    test: pd.DataFrame,
    summary: pd.DataFrame,
    comparison: ComparisonParameters,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Bootstrap patients: intervals of every metric, differences with tests, decision curves."""
    from ms_pfl.evaluation import bootstrap, decision, evaluate, inference

    draws = bootstrap.draw_patients(test, comparison.replicates, comparison.seed)
    estimates = evaluate.evaluate(test, ("pooled", "country"), draws)
    return (
        inference.add_intervals(summary, estimates),
        inference.planned_differences(estimates),
        decision.decision_curves(test, comparison.thresholds, draws),
    )


def compare_subgroups(
    test: pd.DataFrame,
    episodes: pd.DataFrame,
    comparison: ComparisonParameters,
) -> pd.DataFrame:
    """Score each paradigm's first strategy by sex, age band, course and treatment.

    Five strategies would be five times the same picture.
    """
    from ms_pfl.cohort.subgroups import assign_subgroups
    from ms_pfl.evaluation import bootstrap, subgroups

    first = {(row.name, row.strategies[0]) for row in PARADIGMS.values()}
    models = pd.MultiIndex.from_frame(test[["paradigm", "strategy"]])
    chosen = test[models.isin(first)]
    draws = bootstrap.draw_patients(chosen, comparison.replicates, comparison.seed)
    return subgroups.score_subgroups(chosen, assign_subgroups(episodes), draws)


def trace_curves(test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ROC and precision-recall curves, and predicted against observed risk."""
    from ms_pfl.evaluation.curves import operating_curves, reliability_bins

    return operating_curves(test), reliability_bins(test)


def create_pipeline(*families: Family) -> Pipeline:
    """From ``*.predictions`` and ``episodes`` to the tables that the report is made from.

    Args:
        families: of the trainings that are compared.
    """
    predictions = outputs_of("predictions", trainings(*families))
    recalibrated = trainings(*families, paradigm=paradigms_with("global")[0].name)
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
                inputs=["test_predictions", "summary", "params:comparison"],
                outputs=["estimates", "differences", "net_benefit"],
                name="compare_models",
            ),
            Node(
                func=compare_subgroups,
                inputs=["test_predictions", "episodes", "params:comparison"],
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
