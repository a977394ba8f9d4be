"""The spread of models over sites."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.fairness import fairness
from ms_pfl.reporting.sites import fairness_table


def test_one_country_has_no_spread() -> None:
    rows = pd.DataFrame(
        {
            "paradigm": "local", "strategy": "none", "scope": "country", "country": ["A"],
            "metric": "roc_auc", "mean": [0.7],
        }
    )  # fmt: skip
    table = fairness_table(fairness(rows))
    assert table["ROC-AUC sd"].tolist() == ["–"]
    assert "nan" not in table.to_string()


def test_the_worst_site_and_the_spread() -> None:
    rows = pd.DataFrame(
        {
            "paradigm": ["local"] * 2 + ["federated"] * 2,
            "strategy": ["none"] * 2 + ["fedavg"] * 2,
            "scope": "country",
            "country": ["A", "B"] * 2,
            "metric": "roc_auc",
            "mean": [0.7, 0.5, 0.8, 0.4],
        }
    )
    table = fairness_table(fairness(rows)).set_index("Model")
    assert table.loc["Federated FedAvg"].tolist() == [
        "0.400 (B)", "0.440", "0.283", "50 %", "–", "–", "–", "–",
    ]  # fmt: skip
    assert table.loc["Local", "ROC-AUC worst"] == "0.500 (B)"
