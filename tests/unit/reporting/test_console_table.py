"""Table 1 fits a console, narrow or wide."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from ms_pfl.evaluation.scoring import coverage, summarize
from ms_pfl.reporting.table1 import ConsoleTable, notes, table1

SYNTHETIC = {"kind": "synthetic", "description": "synthetic registry, seed 1, 207 patients"}


def printed(
    metrics: pd.DataFrame, predictions: pd.DataFrame, split_counts: pd.DataFrame, width: int
) -> list[str]:
    lines = notes(coverage(predictions), SYNTHETIC, split_counts, {})
    console = Console(file=io.StringIO(), width=width)
    console.print(ConsoleTable(table1(summarize(metrics)), lines))
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
    console.print(ConsoleTable(table1(summarize(pd.concat([metrics, longest]))), []))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    row = next(line for line in lines if line.startswith("Fine-tuned FedAdagrad"))
    assert row.count("±") == 6
    assert max(map(len, lines)) <= 100
