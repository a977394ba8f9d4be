"""The metrics against numbers worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ms_pfl.evaluation.calibration import brier, log_loss
from ms_pfl.evaluation.discrimination import pr_auc, roc_auc


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
    assert all(np.isnan(metric(*nothing)) for metric in (roc_auc, pr_auc, brier, log_loss))


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
