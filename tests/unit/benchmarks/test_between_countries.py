"""How much countries differ to one model, against independent formulas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from realism.between_countries import Between, clustered_roc_auc


def scores(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(np.int64)
    return label, np.round(rng.normal(label, 1.0), 1)  # with ties


def test_it_is_roc_auc_with_the_standard_error_of_delong() -> None:
    label, risk = scores()
    auc, error = clustered_roc_auc(label, risk, np.arange(len(label)))
    assert auc == pytest.approx(roc_auc_score(label, risk))
    positive, negative = risk[label == 1], risk[label == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    delong = wins.mean(axis=1).var() / len(positive) + wins.mean(axis=0).var() / len(negative)
    n = len(label)
    assert error == pytest.approx(np.sqrt(delong * n / (n - 1)))


def test_an_episode_that_is_there_twice_tells_nothing_more() -> None:
    label, risk = scores()
    patient = np.arange(len(label))
    once = clustered_roc_auc(label, risk, patient)
    twice = clustered_roc_auc(*(np.tile(column, 2) for column in (label, risk, patient)))
    assert twice == pytest.approx(once)


def test_sampling_error_is_subtracted() -> None:
    countries = pd.DataFrame({"roc_auc": [0.60, 0.70, 0.80], "se_roc_auc": [0.06, 0.06, 0.06]})
    found = Between(countries, 0.7)
    assert found.sd("roc_auc") == pytest.approx(np.sqrt(0.01 - 0.0036))
    assert found.p_homogeneous("roc_auc") == pytest.approx(stats.chi2.sf(0.02 / 0.0036, 2))
    alike = Between(countries.assign(se_roc_auc=0.2), 0.7)
    assert alike.sd("roc_auc") == 0.0
