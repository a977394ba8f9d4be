"""Pooled, macro and size-weighted values, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_pfl.evaluation.scoring import coverage, score

# Austria: positives .9 .3, negatives .5 .1 -> 3 of 4 pairs; Belgium: 1 of 1; Chile: one class
ROWS = [
    ("Austria", "a1", 1, 0.9), ("Austria", "a2", 0, 0.5), ("Austria", "a3", 1, 0.3),
    ("Austria", "a4", 0, 0.1),
    ("Belgium", "b1", 1, 0.6), ("Belgium", "b2", 0, 0.2),
    ("Chile", "c1", 0, 0.4),
]  # fmt: skip


def by_hand(seed: int = 0, paradigm: str = "local", strategy: str = "none") -> pd.DataFrame:
    table = pd.DataFrame(ROWS, columns=["country", "episode_id", "label", "probability"])
    return table.assign(
        paradigm=paradigm, strategy=strategy, seed=seed, patient_id=table.episode_id, split="test"
    )


def value(metrics: pd.DataFrame, metric: str, scope: str, country: str = "") -> pd.Series:
    rows = metrics[
        (metrics.metric == metric) & (metrics.scope == scope) & (metrics.country == country)
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_scope_by_hand() -> None:
    metrics = score(by_hand())
    assert list(metrics.columns) == [
        "paradigm", "strategy", "seed", "scope", "country", "metric", "value", "n_episodes",
        "n_positive", "n_countries", "n_left_out",
    ]  # fmt: skip
    # pooled: positives .9 .3 .6 against .5 .1 .2 .4 -> .9: 4, .3: 2, .6: 4, of 12
    assert value(metrics, "roc_auc", "pooled")["value"] == pytest.approx(10 / 12)
    assert value(metrics, "roc_auc", "macro")["value"] == pytest.approx((0.75 + 1) / 2)
    assert value(metrics, "roc_auc", "weighted")["value"] == pytest.approx((4 * 0.75 + 2 * 1) / 6)
    assert value(metrics, "roc_auc", "country", "Austria")["value"] == pytest.approx(0.75)
    assert np.isnan(value(metrics, "roc_auc", "country", "Chile")["value"])
    # Austria's PR curve: recall 1/2 at precision 1, recall 1 at precision 2/3
    assert value(metrics, "pr_auc", "macro")["value"] == pytest.approx((5 / 6 + 1) / 2)


def test_brier_keeps_the_country_with_one_class() -> None:
    metrics = score(by_hand())
    austria = (0.01 + 0.25 + 0.49 + 0.01) / 4
    belgium = (0.16 + 0.04) / 2
    macro = value(metrics, "brier", "macro")
    assert macro["value"] == pytest.approx((austria + belgium + 0.16) / 3)
    assert (macro["n_countries"], macro["n_left_out"]) == (3, 0)
    pooled = value(metrics, "brier", "pooled")["value"]
    assert value(metrics, "brier", "weighted")["value"] == pytest.approx(pooled)


def test_counts_behind_the_values() -> None:
    metrics = score(by_hand())
    counts = ["n_episodes", "n_positive", "n_countries", "n_left_out"]
    assert value(metrics, "roc_auc", "pooled")[counts].tolist() == [7, 3, 3, 0]
    assert value(metrics, "roc_auc", "macro")[counts].tolist() == [6, 3, 2, 1]
    assert value(metrics, "roc_auc", "weighted")[counts].tolist() == [6, 3, 2, 1]
    assert value(metrics, "roc_auc", "country", "Chile")[counts].tolist() == [1, 0, 0, 1]


def test_one_class_everywhere_is_undefined_and_not_minus_one() -> None:
    metrics = score(by_hand().assign(label=0))
    undefined = metrics[metrics.metric.isin(["roc_auc", "pr_auc"])]
    assert undefined["value"].isna().all()
    assert value(metrics, "roc_auc", "pooled")["n_left_out"] == 3
    assert value(metrics, "brier", "pooled")["value"] > 0


def test_validation_rows_never_count() -> None:
    test = by_hand()
    validation = test.assign(
        episode_id=test.episode_id + "v",
        patient_id=test.patient_id + "v",
        split="validation",
        probability=0.123,
    )
    pd.testing.assert_frame_equal(score(pd.concat([validation, test])), score(test))


def test_rows_come_in_the_order_of_table_1(metrics: pd.DataFrame) -> None:
    models = list(dict.fromkeys(zip(metrics.paradigm, metrics.strategy, strict=True)))
    assert models[:3] == [("centralized", "pooled"), ("local", "none"), ("federated", "fedavg")]
    assert models[-1] == ("adaptive", "fedprox")
    # four metrics have means over countries, four more have none
    whole = 8 * 3 * (4 * (3 + 7) + 4 * (1 + 7))
    assert len(metrics) == whole - 8 * 8 * missing_countries(metrics)


def missing_countries(metrics: pd.DataFrame) -> int:
    """Countries without a test episode, summed over seeds."""
    own = metrics[metrics.scope == "country"].groupby("seed")["country"].nunique()
    return int((7 - own).sum())


@settings(deadline=None, max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(random: object) -> None:
    table = pd.concat([by_hand(0), by_hand(1), by_hand(0, "federated", "fedavg"),
                       by_hand(1, "federated", "fedavg")], ignore_index=True)  # fmt: skip
    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(score(table.iloc[order]), score(table), check_exact=True)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_weighted_lies_between_the_countries_and_monotone_maps_change_no_rank(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = by_hand().assign(probability=rng.random(7).round(2))
    metrics = score(table)
    own = metrics[(metrics.scope == "country") & (metrics.metric == "roc_auc")]["value"].dropna()
    for scope in ("macro", "weighted"):
        assert own.min() - 1e-12 <= value(metrics, "roc_auc", scope)["value"] <= own.max() + 1e-12
    squared = score(table.assign(probability=table.probability**2))
    for metric in ("roc_auc", "pr_auc"):
        one = metrics[metrics.metric == metric]["value"]
        np.testing.assert_allclose(one, squared[squared.metric == metric]["value"])


def test_coverage_counts_each_seed_once() -> None:
    table = pd.concat([by_hand(3), by_hand(3, "federated", "fedavg")])
    counts = coverage(table)
    assert counts.to_dict("records") == [
        {
            "seed": 3,
            "n_patients": 7,
            "n_episodes": 7,
            "n_positive": 3,
            "n_countries": 3,
            "n_single_class": 1,
        }
    ]
