"""Nodes of the evaluation."""

from typing import Any

import pandas as pd

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters


def recalibrate_federated(predictions: pd.DataFrame) -> pd.DataFrame:
    """Correct the federated risks country by country, on validation predictions."""
    from ms_pfl.evaluation.recalibration import recalibrate

    return recalibrate(predictions)


def combine_candidates(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average each country's candidates, weighted by its validation predictions."""
    from ms_pfl.evaluation import ensemble

    return ensemble.combine_candidates(predictions)


def choose_model(
    predictions: pd.DataFrame,
    recalibrated: pd.DataFrame,
    ensemble: pd.DataFrame,
    prediction: Any,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Choose what serves new patients, on validation predictions.

    Args:
        predictions: of all models that were trained.
        recalibrated: of the federated models, recalibrated.
        ensemble: of each country's candidates together.
        prediction: the section ``prediction``: paradigm and strategy, or auto.

    Returns:
        ``prediction_choice``, a :class:`ms_pfl.evaluation.choice.Choice`, and ``served``: the
        predictions of what was chosen.
    """
    from ms_pfl.evaluation.choice import choose, serve
    from ms_pfl.parameters import plain

    told = plain(prediction)
    choice = choose(predictions, told["paradigm"], told["strategy"])
    return choice.model_dump(mode="json"), serve(choice, recalibrated, ensemble, predictions)


def score_predictions(
    predictions: pd.DataFrame,
    recalibrated: pd.DataFrame,
    ensemble: pd.DataFrame,
    served: pd.DataFrame,
    protocol: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score all models on the held-out test patients.

    Args:
        predictions: of all models that were trained.
        recalibrated: of the federated models, recalibrated.
        ensemble: of each country's candidates together.
        served: of what serves new patients.
        protocol: the section ``training.protocol``, which says whether all were to be tested on the
            same patients.

    Returns:
        ``metrics`` (a row per fit, scope, country and metric), ``coverage`` (a row per seed) and
        ``test_predictions``: the rows that were scored.
    """
    from ms_pfl.evaluation.evaluate import evaluate
    from ms_pfl.evaluation.scoring import check_predictions, coverage

    same = ProtocolParameters.of(protocol).same_test_rows
    together = pd.concat([recalibrated, ensemble, served, predictions], ignore_index=True)
    test = check_predictions(together, same)
    metrics = evaluate(test, ("pooled", "country")).observed()
    # all fits have the same rows, or together those that are counted
    return metrics, coverage(test.drop_duplicates(["seed", "episode_id"]), same), test


def summarize_metrics(metrics: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and standard deviation of every metric over the seeds, and its spread over countries."""
    from ms_pfl.evaluation.fairness import fairness
    from ms_pfl.evaluation.scoring import summarize

    summary = summarize(metrics)
    return summary, fairness(summary)


def compare_models(
    test: pd.DataFrame,
    summary: pd.DataFrame,
    split_counts: pd.DataFrame,
    comparison: ComparisonParameters,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Bootstrap patients: intervals, differences with verdicts, a further country, net benefit."""
    from ms_pfl.evaluation.bootstrap import draw_patients
    from ms_pfl.evaluation.curves import decision_curves
    from ms_pfl.evaluation.differences import add_intervals, planned_differences
    from ms_pfl.evaluation.evaluate import evaluate
    from ms_pfl.evaluation.further_country import further_country

    draws = draw_patients(test, comparison.replicates, comparison.seed)
    estimates = evaluate(test, ("pooled", "country"), draws)
    return (
        add_intervals(summary, estimates),
        planned_differences(
            estimates,
            comparison.primary,
            comparison.margin,
            split_counts["test_patients"].sum() / split_counts["train_patients"].sum(),
        ),
        further_country(estimates, comparison.margin, comparison.good),
        decision_curves(test, comparison.thresholds, draws),
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
    from ms_pfl.evaluation.bootstrap import draw_patients
    from ms_pfl.evaluation.fairness import score_subgroups
    from ms_pfl.paradigms import PARADIGMS

    first = {(row.name, row.strategies[0]) for row in PARADIGMS.values()}
    models = pd.MultiIndex.from_frame(test[["paradigm", "strategy"]])
    chosen = test[models.isin(first)]
    draws = draw_patients(chosen, comparison.replicates, comparison.seed)
    return score_subgroups(chosen, assign_subgroups(episodes), draws)


def trace_curves(test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return ROC and precision-recall curves, predicted against observed risk, risks by outcome."""
    from ms_pfl.evaluation.curves import operating_curves, reliability_bins, risk_distribution

    return operating_curves(test), reliability_bins(test), risk_distribution(test)


def gather_findings(**tables: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of the evaluation by name."""
    return tables
