"""The spread over countries by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.fairness import fairness


def test_fairness_by_hand() -> None:
    values = {
        ("federated", "fedavg"): {"A": 0.9, "B": 0.6, "C": 0.7, "D": np.nan},
        ("local", "none"): {"A": 0.8, "B": 0.6, "C": 0.75, "D": 0.5},
    }
    summary = pd.DataFrame(
        [
            (p, s, "country", country, metric, value if metric == "roc_auc" else 1 - value)
            for (p, s), own in values.items()
            for country, value in own.items()
            for metric in ("roc_auc", "brier")
        ],
        columns=["paradigm", "strategy", "scope", "country", "metric", "mean"],
    )
    table = fairness(summary).set_index(["paradigm", "metric"])
    own = table.loc[("federated", "roc_auc")]
    assert own["n_countries"] == 3
    assert (own["worst"], own["worst_country"]) == (0.6, "B")
    assert own["bottom_decile"] == pytest.approx(0.6 + 0.2 * 0.1)
    assert own["sd"] == pytest.approx(np.std([0.9, 0.6, 0.7], ddof=1))
    assert own["share_above_local"] == pytest.approx(1 / 3)
    loss = table.loc[("federated", "brier")]
    assert (loss["worst"], loss["worst_country"]) == (pytest.approx(0.4), "B")
    assert loss["bottom_decile"] == pytest.approx(0.4 - 0.2 * 0.1)
    assert loss["share_above_local"] == pytest.approx(1 / 3)
    assert np.isnan(table.loc[("local", "roc_auc"), "share_above_local"])
