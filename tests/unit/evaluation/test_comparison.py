"""Means and spreads over seeds."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ms_pfl.evaluation.scoring import summarize


def metric_rows(values: dict[tuple[str, str], list[float]], **more: object) -> pd.DataFrame:
    rows = [
        {"paradigm": p, "strategy": s, "seed": seed, "scope": "pooled", "country": "",
         "metric": "roc_auc", "value": value, "n_episodes": 10 + seed, "n_positive": 4,
         "n_countries": 3, "n_left_out": seed} | more
        for (p, s), own in values.items()
        for seed, value in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_mean_and_sd_by_hand() -> None:
    row = summarize(metric_rows({("local", "none"): [0.70, 0.76, 0.79]})).iloc[0]
    assert row["mean"] == pytest.approx(0.75)
    assert row["sd"] == pytest.approx(math.sqrt((0.05**2 + 0.01**2 + 0.04**2) / 2))
    assert row["n_seeds"] == 3
    assert row["n_episodes"] == 11
    assert (row["n_left_out_min"], row["n_left_out_max"]) == (0, 2)


def test_one_seed_has_no_sd() -> None:
    row = summarize(metric_rows({("local", "none"): [0.7]})).iloc[0]
    assert row["mean"] == 0.7
    assert math.isnan(row["sd"])


def test_undefined_seeds_are_left_out_and_counted() -> None:
    row = summarize(metric_rows({("local", "none"): [0.7, math.nan, 0.8]})).iloc[0]
    assert row["mean"] == pytest.approx(0.75)
    assert row["n_seeds"] == 2
    nothing = summarize(metric_rows({("local", "none"): [math.nan, math.nan]})).iloc[0]
    assert math.isnan(nothing["mean"])
    assert nothing["n_seeds"] == 0


def test_models_come_in_the_order_of_table_1(metrics: pd.DataFrame) -> None:
    summary = summarize(metrics.sample(frac=1, random_state=3))
    models = list(dict.fromkeys(zip(summary.paradigm, summary.strategy, strict=True)))
    assert models == [
        ("centralized", "pooled"), ("local", "none"),
        ("federated", "fedavg"), ("fine_tuned", "fedavg"), ("adaptive", "fedavg"),
        ("federated", "fedprox"), ("fine_tuned", "fedprox"), ("adaptive", "fedprox"),
    ]  # fmt: skip
    pd.testing.assert_frame_equal(summary, summarize(metrics))
