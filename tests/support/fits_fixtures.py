"""Fixtures that the tests of evaluation, reporting and tracking share: realistic fits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import fits_factory as factory
from ms_pfl.evaluation.parameters import PrimaryParameters

PRIMARY = PrimaryParameters(
    strategy="fedavg",
    pairs=(("fine_tuned", "federated"), ("adaptive", "federated"), ("federated", "local")),
    metrics=("roc_auc", "log_loss"),
)
MARGINS = {"roc_auc": 0.01, "log_loss": 0.002, "brier": 0.001}


@pytest.fixture(scope="session")
def episodes() -> pd.DataFrame:
    return factory.make_episodes()


@pytest.fixture(scope="session")
def predictions(episodes: pd.DataFrame) -> pd.DataFrame:
    return factory.make_predictions(episodes)


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    return factory.make_history()


@pytest.fixture(scope="session")
def metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    from ms_pfl.evaluation.scoring import score

    return score(predictions)


@pytest.fixture(scope="session")
def findings(predictions: pd.DataFrame, history: pd.DataFrame) -> SimpleNamespace:
    """All tables of the comparison, with a short bootstrap."""
    from ms_pfl.evaluation.bootstrap import draw_patients
    from ms_pfl.evaluation.choice import choose, serve
    from ms_pfl.evaluation.curves import (
        decision_curves,
        operating_curves,
        reliability_bins,
        risk_distribution,
    )
    from ms_pfl.evaluation.differences import add_intervals, planned_differences
    from ms_pfl.evaluation.ensemble import combine_candidates
    from ms_pfl.evaluation.evaluate import evaluate
    from ms_pfl.evaluation.fairness import fairness, score_subgroups
    from ms_pfl.evaluation.further_country import further_country
    from ms_pfl.evaluation.recalibration import recalibrate
    from ms_pfl.evaluation.scoring import check_predictions, coverage, score, summarize
    from ms_pfl.reporting.headline import headline
    from ms_pfl.studies.attribution.compare import compare_by_country

    made = recalibrate(predictions), combine_candidates(predictions)
    choice = choose(predictions)
    together = pd.concat([predictions, *made, serve(choice, predictions, *made)], ignore_index=True)
    test = check_predictions(together)
    summary = summarize(score(test))
    draws = draw_patients(test, 100, 0)
    found = evaluate(test, ("pooled", "country"), draws)
    estimates = add_intervals(summary, found)
    table = planned_differences(found, PRIMARY, MARGINS)
    further = further_country(found, MARGINS, {"roc_auc": (0.7, 1.0)})
    episodes = test["episode_id"].drop_duplicates()
    groups = pd.DataFrame(
        {"episode_id": episodes, "Sex": np.where(np.arange(len(episodes)) % 2, "Women", "Men")}
    )
    importance = factory.make_importance()
    return SimpleNamespace(
        headline=headline(
            estimates, table, ("country", "countries"), 3, MARGINS, further, choice.model_dump()
        ),
        summary=summary,
        coverage=coverage(test),
        estimates=estimates,
        differences=table,
        further_country=further,
        fairness=fairness(summary),
        net_benefit=decision_curves(test, [0.1, 0.2, 0.3], draws),
        subgroup_metrics=score_subgroups(test[test["strategy"] != "fedprox"], groups, draws),
        operating_curves=operating_curves(test),
        reliability=reliability_bins(test),
        risk_distribution=risk_distribution(test),
        importance=importance,
        attribution_by_country=compare_by_country(importance),
        history=history,
    )
