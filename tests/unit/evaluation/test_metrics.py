"""The metrics against numbers worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.calibration import quantile_bins
from ms_pfl.evaluation.differences import add_intervals, planned_differences
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.metrics import METRICS, Group, Metric, Weights, ranking
from ms_pfl.evaluation.scoring import check_predictions, score, summarize
from ms_pfl.reporting.calibration import calibration_table
from ms_pfl.reporting.table1 import table1
from ms_pfl.tracking.points import country_points, parent_points

roc_auc, pr_auc, brier, log_loss = (
    METRICS[name].plain for name in ("roc_auc", "pr_auc", "brier", "log_loss")
)


def test_roc_auc_by_hand() -> None:
    # positives .8 .4; negatives .4 .3 .1: of 6 pairs 5 are won and 1 is tied
    labels = np.array([1, 1, 0, 0, 0])
    assert roc_auc(labels, np.array([0.8, 0.4, 0.4, 0.3, 0.1])) == pytest.approx(5.5 / 6)


def test_pr_auc_by_hand() -> None:
    # from the top: 1 (recall 1/2, precision 1), 0, 1 (recall 1, precision 2/3)
    labels = np.array([1, 0, 1, 0])
    assert pr_auc(labels, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_proper_scores_by_hand() -> None:
    labels, probabilities = np.array([1, 0, 0]), np.array([0.9, 0.2, 0.5])
    assert brier(labels, probabilities) == pytest.approx((0.01 + 0.04 + 0.25) / 3)
    expected = -(np.log(0.9) + np.log(0.8) + np.log(0.5)) / 3
    assert log_loss(labels, probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_ranking_but_has_proper_scores(label: int) -> None:
    labels, probabilities = np.full(3, label), np.array([0.2, 0.2, 0.2])
    assert np.isnan(roc_auc(labels, probabilities))
    assert np.isnan(pr_auc(labels, probabilities))
    assert brier(labels, probabilities) == pytest.approx((label - 0.2) ** 2)
    assert log_loss(labels, probabilities) == pytest.approx(-np.log(0.2 if label else 0.8))


def test_no_episode_has_no_value() -> None:
    nothing = np.array([], dtype=int), np.array([])
    assert all(np.isnan(metric.plain(*nothing)) for metric in METRICS.values())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])),
        min_size=1,
        max_size=30,
    )
)
def test_agrees_with_scikit_learn_and_pair_counting(rows: list[tuple[int, float]]) -> None:
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([p for _, p in rows])
    assert brier(labels, probabilities) == pytest.approx(np.mean([(p - y) ** 2 for y, p in rows]))
    expected = sk.log_loss(labels, probabilities, labels=[0, 1])
    assert log_loss(labels, probabilities) == pytest.approx(expected)
    positive, negative = probabilities[labels == 1], probabilities[labels == 0]
    if len(positive) and len(negative):
        won = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
        assert roc_auc(labels, probabilities) == pytest.approx(won)


def test_weighted_values_are_those_of_repeated_rows() -> None:
    random = np.random.default_rng(4)
    labels, risks = random.integers(0, 2, 60), random.random(60)
    values = np.column_stack([np.ones(20), random.integers(0, 4, size=(20, 8))])
    patients = np.repeat(np.arange(20), 3)
    group = Group(labels, risks, Weights(values, patients))
    for metric in METRICS.values():
        found = metric.value(group)
        for column, own in enumerate(values.T):
            times = own[patients].astype(int)
            y, p = np.repeat(labels, times), np.repeat(risks, times)
            if metric.name == "calibration_error":  # bins stay those of the rows as observed
                bins = quantile_bins(risks)
                sums = np.bincount(np.repeat(bins, times), y - p)
                expected = np.abs(sums).sum() / len(y)
            else:
                expected = metric.plain(y, p)
            tolerance = 2e-4 if column and "calibration" in metric.name else 1e-12
            assert found[column] == pytest.approx(expected, abs=tolerance), metric.name


def test_directions() -> None:
    assert ranking() == ("roc_auc", "pr_auc")
    assert [metric.sign for metric in METRICS.values()] == pytest.approx(
        [1, 1, -1, -1, np.nan, np.nan, np.nan, np.nan], nan_ok=True
    )


def test_a_row_appears_in_tables_intervals_differences_report_and_mlflow(
    predictions: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric is one row: nothing else names it."""
    accuracy = Metric(
        "accuracy", "Accuracy", lambda group: group.mean((group.risks >= 0.3) == group.labels),
        digits=1,
    )  # fmt: skip
    monkeypatch.setitem(METRICS, "accuracy", accuracy)
    absolute = Metric(
        "absolute", "Absolute error", lambda group: group.mean(abs(group.labels - group.risks)),
        digits=1, best="low", over_sites=False,
    )  # fmt: skip
    monkeypatch.setitem(METRICS, "absolute", absolute)
    chosen = predictions[(predictions["strategy"].isin(["none", "fedavg"]))]
    test = check_predictions(chosen)
    metrics = score(test)
    summary = summarize(metrics)
    own = test[test["paradigm"] == "local"]
    expected = np.mean([((t.probability >= 0.3) == t.label).mean() for _, t in own.groupby("seed")])
    row = summary[(summary["metric"] == "accuracy") & (summary["paradigm"] == "local")].iloc[0]
    assert (row["scope"], row["mean"]) == ("pooled", pytest.approx(expected, abs=1e-12))
    found = evaluate(test, ("pooled", "country"), draw_patients(test, 50, 0))
    estimates = add_intervals(summary, found)
    of_both = estimates[estimates["metric"].isin(["accuracy", "absolute"])]
    assert of_both.loc[of_both["scope"] == "pooled", "low"].notna().all()
    differences = planned_differences(found)
    macro = differences[(differences["metric"] == "accuracy") & (differences["scope"] == "macro")]
    gains = differences[(differences["metric"] == "accuracy") & (differences["scope"] == "country")]
    for item in macro.itertuples():
        of_pair = gains[(gains.paradigm == item.paradigm) & (gains.reference == item.reference)]
        assert item.n_better == (of_pair["difference"] > 0).sum()
    assert set(differences["metric"]) >= {"accuracy", "absolute"}
    assert "Accuracy pooled" in table1(summary).columns
    assert (
        calibration_table(estimates)["Absolute error"].str.match(r"^0\.\d \[0\.\d, 0\.\d\]$").all()
    )
    points = parent_points(metrics)
    assert {f"accuracy_{scope}/local.none" for scope in ("pooled", "macro", "weighted")} <= {
        name for name, _, _ in points
    }
    one_fit = metrics[(metrics["paradigm"] == "local") & (metrics["seed"] == 0)]
    names = {name for name, _, _ in country_points(one_fit, {c: c for c in set(test["country"])})}
    assert "accuracy_by_country/Belgium" in names
    assert "absolute_by_country/Belgium" not in names
