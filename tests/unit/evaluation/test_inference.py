"""Differences, tests and intervals on fits whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, wilcoxon
from sklearn.metrics import roc_auc_score

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS, draw_patients
from ms_pfl.evaluation.differences import add_intervals, planned_differences
from ms_pfl.evaluation.evaluate import Estimates, evaluate
from ms_pfl.evaluation.inference import holm
from ms_pfl.evaluation.recalibration import recalibrate
from ms_pfl.evaluation.scoring import check_predictions, score, summarize

REPLICATES = 200


@pytest.fixture(scope="module")
def test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    together = pd.concat([predictions, recalibrate(predictions)], ignore_index=True)
    return check_predictions(together)


def resampled(test_rows: pd.DataFrame) -> Estimates:
    return evaluate(test_rows, ("pooled", "country"), draw_patients(test_rows, REPLICATES, 0))


@pytest.fixture(scope="module")
def bootstrap(test_rows: pd.DataFrame) -> Estimates:
    return resampled(test_rows)


@pytest.fixture(scope="module")
def table(bootstrap: Estimates) -> pd.DataFrame:
    return planned_differences(bootstrap)


def of(table: pd.DataFrame, paradigm: str, reference: str, **more: str) -> pd.DataFrame:
    wanted = {"paradigm": paradigm, "reference": reference, "strategy": "fedavg", **more}
    mask = np.logical_and.reduce([table[name] == value for name, value in wanted.items()])
    return table[mask]


def test_what_was_observed_is_the_mean_over_seeds(
    test_rows: pd.DataFrame, bootstrap: Estimates
) -> None:
    summary = summarize(score(test_rows))
    estimates = add_intervals(summary, bootstrap)
    assert estimates["value"].equals(summary["mean"])
    for row in estimates.itertuples():
        columns = bootstrap.values[row.paradigm, row.strategy].get(
            (row.metric, row.scope, row.country)
        )
        if columns is None or np.isnan(columns[0]):
            assert np.isnan(row.low)
            unknown = row.metric == "calibration_error" or np.isnan(row.value)
            assert unknown or row.scope == "country", row
            continue
        assert columns[0] == pytest.approx(row.value, rel=1e-9)
        few = row.scope == "country" and bootstrap.patients["country", row.country] < MIN_PATIENTS
        assert np.isnan(row.low) == few, row
        if row.scope == "pooled":
            assert row.low <= row.value <= row.high, row


def test_countries_with_few_test_patients_get_no_interval(bootstrap: Estimates) -> None:
    fiji, belgium = (bootstrap.patients["country", name] for name in ("Fiji", "Belgium"))
    assert fiji < MIN_PATIENTS <= belgium


def test_one_test_patient_gives_no_interval_and_no_p(test_rows: pd.DataFrame) -> None:
    country, patient = test_rows.loc[0, ["country", "patient_id"]]
    alone = test_rows[(test_rows.country == country) & (test_rows.patient_id == patient)]
    found = resampled(alone)
    assert add_intervals(summarize(score(alone)), found)[["low", "high"]].isna().all(axis=None)
    assert planned_differences(found)[["se", "low", "high", "p"]].isna().all(axis=None)


def test_differences_are_paired_by_strategy_and_seed(
    test_rows: pd.DataFrame, table: pd.DataFrame
) -> None:
    (row,) = of(table, "adaptive", "federated", metric="roc_auc", scope="pooled").itertuples()
    means = {}
    for paradigm in ("adaptive", "federated"):
        own = test_rows[(test_rows.paradigm == paradigm) & (test_rows.strategy == "fedavg")]
        means[paradigm] = np.mean(
            [roc_auc_score(t.label, t.probability) for _, t in own.groupby("seed")]
        )
    assert row.difference == pytest.approx(means["adaptive"] - means["federated"])
    assert row.reference_strategy == "fedavg"
    local = of(table, "federated", "local", metric="roc_auc", scope="pooled")
    assert local["reference_strategy"].tolist() == ["none"]
    pairs = table[["paradigm", "reference"]].drop_duplicates()
    assert {("local", "centralized"), ("fine_tuned", "recalibrated")} <= set(
        pairs.itertuples(index=False, name=None)
    )
    assert ("recalibrated", "local") not in set(pairs.itertuples(index=False, name=None))


def test_a_difference_is_narrower_than_its_parts(bootstrap: Estimates, table: pd.DataFrame) -> None:
    """Both models on the same drawn patients: what they share cancels."""
    key = ("brier", "pooled", "")
    parts = [bootstrap.values[p, "fedavg"][key] for p in ("fine_tuned", "federated")]
    (row,) = of(table, "fine_tuned", "federated", metric="brier", scope="pooled").itertuples()
    apart = np.percentile(parts[0][1:], 97.5) - np.percentile(parts[0][1:], 2.5)
    assert 0 < row.unadjusted_high - row.unadjusted_low < 1.5 * apart
    drawn = parts[0] - parts[1]
    assert row.se == pytest.approx(np.std(drawn[1:], ddof=1))
    # 200 draws tell quantiles to about a tenth of the width
    np.testing.assert_allclose(
        [row.unadjusted_low, row.unadjusted_high], np.percentile(drawn[1:], [2.5, 97.5]),
        atol=0.1 * (row.unadjusted_high - row.unadjusted_low),
    )  # fmt: skip


def test_wilcoxon_is_scipys_over_countries(table: pd.DataFrame) -> None:
    rows = of(table, "fine_tuned", "federated", metric="roc_auc")
    (macro,) = rows[rows["scope"] == "macro"].itertuples()
    gained = rows.loc[rows["scope"] == "country", "difference"].dropna()
    assert macro.n_countries == len(gained) == 6  # Fiji has no positive episode
    assert macro.n_better == (gained > 0).sum()
    assert macro.wilcoxon_p == pytest.approx(wilcoxon(gained).pvalue)
    losses = of(table, "fine_tuned", "federated", metric="brier")
    (macro,) = losses[losses["scope"] == "macro"].itertuples()
    gained = losses.loc[losses["scope"] == "country", "difference"]
    assert macro.n_better == (gained < 0).sum()


def test_a_country_without_a_difference_gains_nothing(table: pd.DataFrame) -> None:
    """An intercept per country leaves the ranking within each country as it is."""
    rows = of(table, "recalibrated", "federated", metric="roc_auc", scope="macro")
    assert rows[["n_countries", "n_better"]].to_numpy().tolist() == [[6, 0]]


def test_interval_and_p_by_hand(bootstrap: Estimates, table: pd.DataFrame) -> None:
    key = ("roc_auc", "pooled", "")
    ours, theirs = (bootstrap.values[p, "fedavg"][key] for p in ("adaptive", "federated"))
    drawn = ours - theirs
    sizes = [n for (scope, _), n in bootstrap.patients.items() if scope == "country" and n > 1]
    freedom = sum(sizes) - len(sizes)  # one mean a country
    se = np.std(drawn[1:], ddof=1)
    half = t.ppf(0.975, freedom) * se
    (row,) = of(table, "adaptive", "federated", metric="roc_auc", scope="pooled").itertuples()
    np.testing.assert_allclose(
        [row.unadjusted_low, row.unadjusted_high], [drawn[0] - half, drawn[0] + half]
    )
    assert row.unadjusted_p == pytest.approx(2 * t.sf(abs(drawn[0]) / se, freedom), rel=1e-9)


def test_holm_over_one_question(table: pd.DataFrame) -> None:
    rows = table[(table.reference == "federated") & (table.metric == "pr_auc")]
    rows = rows[rows.scope == "pooled"]
    for recalibrated in (True, False):
        own = rows[rows.paradigm.str.startswith("recalibrated") == recalibrated]
        assert len(own) == 4
        assert set(own["adjusted"]) == {"Holm"}
        order = own["unadjusted_p"].sort_values(kind="stable").index
        by_hand = np.maximum.accumulate(
            [min(1, own["unadjusted_p"][i] * (4 - k)) for k, i in enumerate(order)]
        )
        np.testing.assert_allclose(own["p"][order], by_hand)
        assert ((own["low"] > 0) | (own["high"] < 0)).eq(own["p"] < 0.05).all()
        assert (own["low"] <= own["unadjusted_low"]).all()


def test_identical_predictions_differ_by_nothing(predictions: pd.DataFrame) -> None:
    federated = predictions[predictions.paradigm == "federated"]
    same = pd.concat([federated, federated.assign(paradigm="adaptive")], ignore_index=True)
    table = planned_differences(resampled(check_predictions(same)))
    assert len(table) > 0
    assert (table["difference"] == 0).all()
    assert (table[["low", "high"]].dropna() == 0).all(axis=None)
    tested = table[table["scope"] != "country"]
    assert (tested[["p", "unadjusted_p"]] == 1).all(axis=None)
    assert (tested.loc[tested["scope"] == "macro", ["wilcoxon_p", "wilcoxon_p_holm"]] == 1).all(
        axis=None
    )


def test_a_ranking_that_is_the_same_differs_by_nothing(predictions: pd.DataFrame) -> None:
    """A monotone change of the probabilities leaves ROC-AUC as it is, in every replicate."""
    federated = predictions[predictions.paradigm == "federated"]
    squared = federated.assign(paradigm="adaptive", probability=federated["probability"] ** 2)
    both = check_predictions(pd.concat([federated, squared], ignore_index=True))
    table = planned_differences(resampled(both))
    rows = table[(table["metric"] == "roc_auc") & (table["scope"] != "country")]
    assert (rows[["difference", "low", "high"]] == 0).all(axis=None)
    assert (rows["p"] == 1).all()
    assert (table.loc[table["metric"] == "brier", "difference"] != 0).all()


def test_rounding_makes_no_difference(predictions: pd.DataFrame) -> None:
    """Both models are without error, by other rankings within each class: sums round otherwise."""
    federated = predictions[predictions.paradigm == "federated"]
    random = np.random.default_rng(0)
    one, other = (
        federated.assign(
            paradigm=name,
            probability=0.5 * federated["label"] + 0.4 * random.random(len(federated)),
        )
        for name in ("federated", "adaptive")
    )
    both = check_predictions(pd.concat([one, other], ignore_index=True))
    table = planned_differences(resampled(both))
    rows = table[(table["metric"] == "roc_auc") & (table["scope"] != "country")]
    assert (rows[["difference", "low", "high"]] == 0).all(axis=None)
    assert (rows["p"] == 1).all()


def test_the_order_of_models_and_rows_changes_no_bit(
    test_rows: pd.DataFrame, table: pd.DataFrame
) -> None:
    shuffled = check_predictions(test_rows.sample(frac=1, random_state=1))
    again = planned_differences(resampled(shuffled))
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_one_model_alone_is_the_same_as_among_others(
    test_rows: pd.DataFrame, bootstrap: Estimates
) -> None:
    own = test_rows[test_rows["paradigm"] == "local"].reset_index(drop=True)
    alone = resampled(own).values["local", "none"]
    for key, columns in bootstrap.values["local", "none"].items():
        np.testing.assert_array_equal(alone[key], columns)


def test_holm_leaves_missing_values_missing() -> None:
    assert holm(pd.Series([np.nan, np.nan])).isna().all()
    assert holm(pd.Series([0.01, np.nan, 0.02])).tolist() == pytest.approx(
        [0.02, np.nan, 0.02], nan_ok=True
    )
