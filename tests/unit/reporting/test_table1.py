"""Table 1 and what stands below it."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.scoring import summarize
from ms_pfl.reporting.table1 import best_cells, notes, table1

SYNTHETIC = {"kind": "synthetic", "description": "synthetic registry, seed 1, 207 patients"}
OWN = {"kind": "own", "description": "UCI heart disease, four hospitals"}


def test_table1_has_the_rows_and_columns_of_the_study(metrics: pd.DataFrame) -> None:
    table = table1(summarize(metrics))
    assert table["Model"].tolist() == [
        "Centralized", "Local",
        "Federated FedAvg", "Fine-tuned FedAvg", "Adaptive FedAvg",
        "Federated FedProx", "Fine-tuned FedProx", "Adaptive FedProx",
    ]  # fmt: skip
    assert list(table.columns) == [
        "Model", "ROC-AUC pooled", "ROC-AUC macro", "ROC-AUC size-weighted",
        "PR-AUC pooled", "PR-AUC macro", "PR-AUC size-weighted",
    ]  # fmt: skip


def test_table1_shows_the_mean_and_sd_of_the_seeds(metrics: pd.DataFrame) -> None:
    own = metrics[
        (metrics.paradigm == "adaptive") & (metrics.strategy == "fedprox")
        & (metrics.metric == "pr_auc") & (metrics.scope == "macro")
    ]["value"]  # fmt: skip
    table = table1(summarize(metrics)).set_index("Model")
    expected = f"{own.mean():.3f} ± {own.std(ddof=1):.3f}"
    assert table.loc["Adaptive FedProx", "PR-AUC macro"] == expected
    one = table1(summarize(metrics[metrics.seed == 0])).set_index("Model")
    assert one.loc["Adaptive FedProx", "PR-AUC macro"] == f"{own.iloc[0]:.3f}"


def test_the_best_cells_of_a_column_are_all_that_share_the_highest_mean() -> None:
    means = {"local": (0.7, 0.5), "federated": (0.8, 0.6), "adaptive": (0.8, 0.4)}
    rows = [
        (paradigm, "none" if paradigm == "local" else "fedavg", metric, scope, value)
        for paradigm, values in (means | {"recalibrated": (0.9, 0.9)}).items()
        for metric, value in zip(("roc_auc", "pr_auc"), values, strict=True)
        for scope in ("pooled", "macro", "weighted")
    ]
    summary = pd.DataFrame(rows, columns=["paradigm", "strategy", "metric", "scope", "mean"])
    # rows: local, federated, adaptive; column 0 holds the names
    assert sorted(best_cells(summary)) == [
        (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (2, 1), (2, 2), (2, 3),
    ]  # fmt: skip


def counts(**changes: list[int]) -> pd.DataFrame:
    base = {
        "seed": [0, 1], "n_patients": [1204, 1210], "n_episodes": [13012, 13100],
        "n_positive": [2000, 2000], "n_countries": [32, 32], "n_single_class": [0, 0],
    }  # fmt: skip
    return pd.DataFrame(base | changes)


def test_notes_say_what_the_table_rests_on(split_counts: pd.DataFrame) -> None:
    lines = notes(counts(n_single_class=[3, 5]), SYNTHETIC, split_counts, {})
    assert lines[0].startswith("Synthetic data (synthetic registry, seed 1, 207 patients)")
    assert (
        "13,012 to 13,100 episodes (2,000 with the outcome) of 1,204 to 1,210 patients in "
        "32 countries for each seed; seeds 0, 1;" in lines[1]
    )
    assert "leave out 3 to 5 countries whose test episodes are all of one class" in lines[2]
    assert lines[3:6] == [
        "Trained but not scored in some seed (no test patient): Fiji.",
        "Without a vote in selection in some seed (no validation patient): Fiji.",
        "One class only to train on in some seed: Malta.",
    ]
    assert "standard deviation over 2 seeds" in lines[6]


def test_notes_do_not_call_real_data_synthetic_nor_warn_of_nothing(
    split_counts: pd.DataFrame,
) -> None:
    lines = notes(counts().iloc[:1], OWN, split_counts.iloc[:1], {})
    assert lines[0] == "Data: UCI heart disease, four hospitals."
    assert len(lines) == 2
    assert "ynthetic" not in " ".join(lines)
