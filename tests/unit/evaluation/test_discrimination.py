"""Ranking metrics against rows that are repeated as often as they weigh."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ms_pfl.evaluation.metrics import rank_metrics


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_weighted_metrics_are_those_of_repeated_rows(
    rows: list[tuple[bool, int]], seed: int
) -> None:
    labels = np.array([int(label) for label, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    weights = np.random.default_rng(seed).integers(0, 4, size=(len(rows), 5))
    roc, pr = rank_metrics(labels, scores, weights, np.arange(len(rows)))
    for column, times in enumerate(weights.T):
        y, s = np.repeat(labels, times), np.repeat(scores, times)
        both = len(set(y)) == 2
        expected = roc_auc_score(y, s) if both else np.nan
        np.testing.assert_allclose(roc[column], expected, rtol=1e-12)
        expected = average_precision_score(y, s) if both else np.nan
        np.testing.assert_allclose(pr[column], expected, rtol=1e-12)


def test_weights_may_be_given_by_cluster() -> None:
    random = np.random.default_rng(0)
    clusters = np.repeat(np.arange(12), 3)
    labels, scores = random.integers(0, 2, 36), random.random(36).round(1)
    weights = random.random((12, 7))
    found = rank_metrics(labels, scores, weights, clusters)
    expected = rank_metrics(labels, scores, weights[clusters], np.arange(36))
    np.testing.assert_array_equal(found, expected)
    for column, own in enumerate(weights[clusters].T):
        roc = roc_auc_score(labels, scores, sample_weight=own)
        pr = average_precision_score(labels, scores, sample_weight=own)
        np.testing.assert_allclose([found[0][column], found[1][column]], [roc, pr], rtol=1e-12)
