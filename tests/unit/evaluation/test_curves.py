"""Curves over rounds by hand, and operating curves through points that are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ms_pfl.errors import InputError
from ms_pfl.evaluation.curves import (
    learning_curves,
    operating_curves,
    reliability_bins,
    risk_distribution,
)
from ms_pfl.evaluation.scoring import check_predictions


def rows(country: str, n: int, losses: list[float], used: int, auc: float = 0.7) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "paradigm": "local", "strategy": "none", "seed": 0, "country": country,
            "round": range(1, len(losses) + 1), "n_validation": n, "validation_loss": losses,
            "validation_roc_auc": auc,
            "selected": [r == used for r in range(1, len(losses) + 1)],
        }
    )  # fmt: skip


def test_rounds_are_weighted_by_validation_episodes() -> None:
    curve = learning_curves(
        pd.concat([rows("A", 30, [0.6, 0.5], 2, 0.8), rows("B", 10, [1.0, 0.7], 2, 0.6)])
    )
    assert curve["validation_log_loss"].tolist() == pytest.approx([0.7, 0.55])
    assert curve["validation_roc_auc"].tolist() == pytest.approx([0.75, 0.75])
    assert curve["n_validation"].tolist() == [40, 40]
    assert curve["selected"].tolist() == [False, True]


def test_a_country_that_stopped_counts_on_with_the_epoch_it_uses() -> None:
    curve = learning_curves(
        pd.concat([rows("A", 10, [0.6, 0.4, 0.9], 2), rows("B", 10, [0.5] * 5, 5)])
    )
    assert curve["validation_log_loss"].tolist() == pytest.approx([0.55, 0.45, 0.7, 0.45, 0.45])
    # each country has an epoch of its own: there is no round to mark
    assert not curve["selected"].any()


def test_a_country_without_validation_episodes_has_no_vote() -> None:
    curve = learning_curves(
        pd.concat([rows("A", 10, [0.6, 0.4], 2), rows("B", 0, [math.nan] * 2, 2, math.nan)])
    )
    assert curve["validation_log_loss"].tolist() == pytest.approx([0.6, 0.4])
    assert curve["n_validation"].tolist() == [10, 10]


def test_one_class_is_left_out_of_roc_auc_only() -> None:
    curve = learning_curves(
        pd.concat([rows("A", 10, [0.6], 1, 0.8), rows("B", 30, [0.2], 1, math.nan)])
    )
    assert curve["validation_log_loss"].tolist() == pytest.approx([0.3])
    assert curve["validation_roc_auc"].tolist() == pytest.approx([0.8])


def test_no_validation_at_all_is_undefined() -> None:
    curve = learning_curves(rows("A", 0, [math.nan], 1, math.nan))
    assert curve["validation_log_loss"].isna().all()


def test_one_curve_a_fit(history: pd.DataFrame) -> None:
    curves = learning_curves(history)
    assert curves.groupby(["paradigm", "strategy", "seed"]).ngroups == 24
    federated = curves[curves["paradigm"] == "federated"]
    assert federated.groupby(["strategy", "seed"])["selected"].sum().eq(1).all()


def test_malformed_history_is_refused(history: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="column 'validation_loss' is missing"):
        learning_curves(history.drop(columns="validation_loss"))
    with pytest.raises(InputError, match="Centralized, seed 0, round 1: all occurs more than once"):
        learning_curves(pd.concat([history, history.iloc[[0]]]))
    with pytest.raises(InputError, match="no row"):
        learning_curves(history.iloc[:0])


@pytest.fixture(scope="module")
def test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    return check_predictions(predictions[predictions.paradigm.isin(["local", "federated"])])


def test_curves_pass_through_what_is_known(test_rows: pd.DataFrame) -> None:
    curves = operating_curves(test_rows)
    own = curves[(curves.paradigm == "local") & (curves.curve == "roc")]
    rows = test_rows[test_rows.paradigm == "local"]
    area = np.trapezoid(own["y"], own["x"])
    expected = np.mean([roc_auc_score(t.label, t.probability) for _, t in rows.groupby("seed")])
    assert area == pytest.approx(expected, abs=0.005)
    pr = curves[(curves.paradigm == "local") & (curves.curve == "pr")]
    share = rows.groupby("seed")["label"].mean().mean()
    assert pr["y"].iloc[-1] == pytest.approx(share, abs=0.02), "at recall 1 all are called"
    perfect = rows.assign(probability=rows["label"].astype(float))
    curves = operating_curves(perfect)
    assert (curves.loc[curves.curve == "pr", "y"] == 1).all()
    one_class = rows.assign(label=0)
    assert operating_curves(one_class).empty


def test_reliability_counts_every_row(test_rows: pd.DataFrame) -> None:
    bins = reliability_bins(test_rows)
    own = bins[bins.paradigm == "local"]
    rows = test_rows[test_rows.paradigm == "local"]
    assert own["n"].sum() == len(rows)
    assert own["observed"] @ own["n"] == pytest.approx(rows["label"].sum())
    assert own["predicted"] @ own["n"] == pytest.approx(rows["probability"].sum())


def test_risks_by_outcome_are_counted_in_bins_of_equal_width() -> None:
    risks = [0.0, 0.1, 0.25, 0.9, 1.0]
    rows = pd.DataFrame(
        {"paradigm": "local", "strategy": "none", "label": [0, 0, 0, 1, 1], "probability": risks}
    )
    found = risk_distribution(rows, bins=4)
    assert found["low"].tolist() == [0, 0.25, 0.5, 0.75] * 2
    assert found["high"].tolist() == [0.25, 0.5, 0.75, 1] * 2
    assert found.loc[found["label"] == 0, "n"].tolist() == [2, 1, 0, 0]
    assert found.loc[found["label"] == 1, "n"].tolist() == [0, 0, 0, 2]


def test_risks_by_outcome_count_every_row(test_rows: pd.DataFrame) -> None:
    found = risk_distribution(test_rows)
    counted = found.groupby(["paradigm", "strategy", "label"])["n"].sum()
    pd.testing.assert_series_equal(
        counted,
        test_rows.groupby(["paradigm", "strategy", "label"]).size(),
        check_names=False,
        check_index_type=False,
    )
