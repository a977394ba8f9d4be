"""Gains over the federated model, and their uncertainty, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ms_pfl.errors import InputError
from ms_pfl.studies.heterogeneity.compare import measure
from ms_pfl.studies.heterogeneity.show import (
    draw_heterogeneity,
    heterogeneity_sentences,
    heterogeneity_table,
)

GAINS = {
    "fine_tuned": (0.01, 0.02, 0.03),
    "adaptive": (0.0, 0.0, 0.0),
    "local": (-0.1, -0.11, -0.12),
}


def scores() -> pd.DataFrame:
    rows = []
    for way, knob in (("common", 0.0), ("common", 1.0), ("slopes_only", 1.0)):
        for scope in ("pooled", "macro"):
            for k, seed in enumerate((5, 6, 7)):
                federated = 0.7 + 0.01 * k
                values = {"federated": federated} | {
                    name: federated + own[k] * (knob if name != "local" else 1.0)
                    for name, own in GAINS.items()
                }
                rows += [
                    (way, knob, seed, name, "none" if name == "local" else "fedavg", scope, auc, 9)
                    for name, auc in values.items()
                ]
    columns = [
        "way",
        "knob",
        "data_seed",
        "paradigm",
        "strategy",
        "scope",
        "roc_auc",
        "n_countries",
    ]
    return pd.DataFrame(rows, columns=columns)


def test_gains_are_means_over_data_seeds_with_simultaneous_intervals() -> None:
    gains = measure(scores())
    assert len(gains) == 3 * 2 * 3
    row = gains.set_index(["way", "knob", "scope", "paradigm"]).loc[
        ("slopes_only", 1.0, "macro", "fine_tuned")
    ]
    assert row["federated"] == pytest.approx(0.71)
    assert row["gain"] == pytest.approx(0.02)
    assert row["sd"] == pytest.approx(0.01)
    # Bonferroni over three models: t of 2 degrees of freedom at 1 - .05 / 6
    half = stats.t.ppf(1 - 0.05 / 6, 2) * 0.01 / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((0.02 - half, 0.02 + half))
    assert row["n_seeds"] == 3


def test_one_data_seed_has_no_interval_and_an_undefined_score_does_not_count() -> None:
    table = scores()
    one = measure(table[table["data_seed"] == 5])
    assert one["gain"].notna().all()
    assert one[["low", "high", "sd"]].isna().all(axis=None)
    table.loc[(table["data_seed"] == 7) & (table["scope"] == "macro"), "roc_auc"] = np.nan
    gains = measure(table).set_index("scope")
    assert set(gains.loc["macro", "n_seeds"]) == {2}
    assert set(gains.loc["pooled", "n_seeds"]) == {3}


def test_a_registry_without_a_federated_model_is_refused() -> None:
    table = scores()
    drop = (table["paradigm"] == "federated") & (table["knob"] == 0.0)
    with pytest.raises(InputError, match="no federated model"):
        measure(table[~drop])


def test_table_sentences_and_figure_show_every_registry() -> None:
    gains = measure(scores())
    table = heterogeneity_table(gains)
    assert table["Countries differ by"].drop_duplicates().tolist() == [
        "Knobs x 0", "Knobs x 1", "Slopes only",
    ]  # fmt: skip
    assert table["Federated FedAvg"].tolist() == ["0.710"] * 6
    assert table.loc[0, "Adaptive FedAvg"] == "+0.000 [+0.000, +0.000]"
    assert table.loc[0, "Local"].startswith("-0.110 [-0.1")
    sentences = heterogeneity_sentences(gains)
    assert sentences[0] == ("Knobs x 0, pooled ROC-AUC against the federated model: worse: Local.")
    figure = draw_heterogeneity(gains)
    assert [axes.get_title() for axes in figure.axes] == ["pooled ROC-AUC", "macro ROC-AUC"]
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["Knobs x 0", "Knobs x 1", "Slopes only"]
