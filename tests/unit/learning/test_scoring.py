"""Log-loss, ROC-AUC and probabilities against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from ms_pfl.learning import scoring
from ms_pfl.learning.seeds import derive_seed

labelled = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=1, max_size=40)


@given(labelled)
def test_roc_auc_and_log_loss_agree_with_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    z = np.array([score / 7 for score, _ in pairs])
    y = np.array([label for _, label in pairs], dtype=np.float32)
    probabilities = 1 / (1 + np.exp(-z))
    expected = log_loss(y, probabilities, labels=[0, 1]) * len(y)
    assert scoring.log_loss_sum(z, y) == pytest.approx(expected)
    if 0 < y.sum() < len(y):
        assert scoring.roc_auc(z, y) == pytest.approx(roc_auc_score(y, z))
    else:
        assert math.isnan(scoring.roc_auc(z, y))


def test_roc_auc_counts_ties_half() -> None:
    """Pairs: (.4, .1) and (.8, .1) and (.8, .4) won, (.4, .4) tied: 3.5 of 4."""
    scores, y = np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1], dtype=np.float32)
    assert scoring.roc_auc(scores, y) == 3.5 / 4


class Line(scoring.Network):
    """Logit = the first feature."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0]


def test_probabilities_are_sigmoids_also_far_out() -> None:
    x = torch.tensor([[0.0], [1000.0], [-1000.0], [math.log(3)]])
    np.testing.assert_allclose(
        scoring.probabilities(scoring.logits(Line(), x)), [0.5, 1, 0, 0.75], rtol=1e-7
    )
    assert scoring.probabilities(scoring.logits(Line(), x)).dtype == np.float64
    assert scoring.probabilities(scoring.logits(Line(), torch.empty(0, 1))).shape == (0,)


def test_batches_do_not_change_the_rows() -> None:
    x = torch.arange(9000.0)[:, None]
    np.testing.assert_array_equal(scoring.logits(Line(), x), np.arange(9000.0))


def test_a_score_without_rows_is_undefined() -> None:
    empty = scoring.score(Line(), scoring.Rows(torch.empty(0, 1), torch.empty(0)))
    assert (empty.n, empty.loss_sum) == (0, 0.0)
    assert math.isnan(empty.loss)
    assert math.isnan(empty.roc_auc)


def test_seeds_are_fixed_and_tell_their_parts_apart() -> None:
    assert derive_seed(0, "BE", 3) == 376426351694459267
    parts = [(0, "BE", 3), (0, "BE3"), ("0", "BE", 3), (0, "B", "E", 3), (3, "BE", 0)]
    assert len({derive_seed(*part) for part in parts}) == len(parts)
    assert all(0 <= derive_seed(*part) < 2**63 for part in parts)
