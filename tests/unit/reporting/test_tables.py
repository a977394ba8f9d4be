"""Table 1 and what stands below it."""

from __future__ import annotations

import io
import math

import pandas as pd
import pytest
from rich.console import Console

from ms_pfl.evaluation.comparison import summarize
from ms_pfl.evaluation.fairness import fairness
from ms_pfl.evaluation.inference import DIFFERENCES_COLUMNS
from ms_pfl.evaluation.scoring import coverage
from ms_pfl.reporting.comparison_tables import choice_table, fairness_table
from ms_pfl.reporting.markdown import to_markdown
from ms_pfl.reporting.tables import (
    country_table,
    format_value,
    notes,
    per_country_table,
    render_console,
    table1,
    traffic_table,
)

SYNTHETIC = {"kind": "synthetic", "description": "synthetic registry, seed 1, 207 patients"}
OWN = {"kind": "own", "description": "UCI heart disease, four hospitals"}


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (0.81234, 0.00251, "0.812 ± 0.003"),
        (0.81234, math.nan, "0.812"),
        (math.nan, math.nan, "–"),
        (1.0, 0.0, "1.000 ± 0.000"),
    ],
)
def test_cells(mean: float, sd: float, text: str) -> None:
    assert format_value(mean, sd) == text


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


def test_country_table() -> None:
    episodes = pd.DataFrame(
        {"country": ["B", "A", "A", "A"], "patient_id": ["b", "a", "a", "c"], "label": [1, 0, 1, 0]}
    )
    table = country_table(episodes)
    assert table["country"].tolist() == ["A", "B"]
    assert table[["n_patients", "n_episodes", "n_positive"]].to_numpy().tolist() == [
        [2, 3, 1],
        [1, 1, 1],
    ]
    assert table["positive_share"].tolist() == pytest.approx([1 / 3, 1])


def test_per_country_table_keeps_every_country(
    metrics: pd.DataFrame, episodes: pd.DataFrame
) -> None:
    countries = country_table(episodes)
    table = per_country_table(summarize(metrics), countries).set_index("Country")
    assert set(table.index) == set(episodes["country"])
    assert table.loc["Fiji", "Fine-tuned FedAvg"] == "–"
    own = metrics[
        (metrics.country == "Belgium") & (metrics.metric == "roc_auc")
        & (metrics.paradigm == "local")
    ]["value"]  # fmt: skip
    assert table.loc["Belgium", "Local"] == f"{own.mean():.3f}"


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


def printed(
    metrics: pd.DataFrame, predictions: pd.DataFrame, split_counts: pd.DataFrame, width: int
) -> list[str]:
    lines = notes(coverage(predictions), SYNTHETIC, split_counts, {})
    console = Console(file=io.StringIO(), width=width)
    console.print(render_console(table1(summarize(metrics)), lines))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "tables"), [(120, 1), (100, 1), (90, 2), (80, 2), (70, 2)])
def test_console_table_cuts_no_cell(
    metrics: pd.DataFrame,
    predictions: pd.DataFrame,
    split_counts: pd.DataFrame,
    width: int,
    tables: int,
) -> None:
    lines = printed(metrics, predictions, split_counts, width)
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    assert "…" not in text
    assert sum(line.startswith("Fine-tuned FedProx") for line in lines) == tables
    # 8 models, 6 cells each
    assert text.count(" ± .") == 48
    assert "\x1b" not in text


def test_five_strategies_fit_100_characters(metrics: pd.DataFrame) -> None:
    longest = metrics[metrics.strategy == "fedavg"].assign(strategy="fedadagrad")
    console = Console(file=io.StringIO(), width=100)
    console.print(render_console(table1(summarize(pd.concat([metrics, longest]))), []))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    row = next(line for line in lines if line.startswith("Fine-tuned FedAdagrad"))
    assert row.count("±") == 6
    assert max(map(len, lines)) <= 100


def test_markdown_is_aligned_and_escapes_bars() -> None:
    table = pd.DataFrame({"Model": ["a|b", "c"], "X": ["1", "22.5"]})
    assert to_markdown(table).splitlines() == [
        "| Model |    X |",
        "|:------|-----:|",
        "| a\\|b  |    1 |",
        "| c     | 22.5 |",
    ]


def test_traffic_is_a_mean_a_message_and_a_sum_a_seed(history: pd.DataFrame) -> None:
    """Seven countries, 12 rounds, 4 kB each way a round: 7 x 12 x 8 kB = 0.672 MB a seed."""
    found = traffic_table(history, "hospital").set_index("Model")
    assert list(found.columns) == [
        "Rounds", "kB up a hospital and round", "kB down a hospital and round", "MB in all, a seed",
    ]  # fmt: skip
    assert found.loc["Federated FedAvg"].tolist() == ["12", "4.0", "4.0", "0.7"]
    assert found.loc["Local"].tolist()[:2] == ["–", "–"]
    longer = history.copy()
    one = (longer["paradigm"] == "federated") & (longer["seed"] == 1) & (longer["round"] > 9)
    shown = traffic_table(longer[~one]).set_index("Model")
    assert shown.loc["Federated FedProx", "Rounds"] == "9 to 12"


def test_a_country_without_a_value_is_not_said_to_have_one_class() -> None:
    known = {
        "paradigm": "adaptive", "strategy": "fedavg", "reference": "federated",
        "reference_strategy": "fedavg", "scope": "country", "metric": "roc_auc",
    }  # fmt: skip
    gains = [
        known | {"country": "A", "difference": 0.1, "low": 0.05, "high": 0.15},
        known | {"country": "B", "difference": 0.1, "low": math.nan, "high": math.nan},
    ]
    countries = pd.DataFrame({"country": ["A", "B", "C"], "n_patients": 9, "n_episodes": 20})
    table = choice_table(
        pd.DataFrame(gains, columns=DIFFERENCES_COLUMNS), countries, "country", "fedavg"
    )
    assert table["Than federated"].tolist() == [
        "Adaptive better",
        "fewer than 10 test patients",
        "not both classes in the test split of any seed",  # or nobody in it
    ]


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
