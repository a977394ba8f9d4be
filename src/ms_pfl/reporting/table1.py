"""Table 1 in the study's layout, also on the console, and what it rests on in full sentences."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table as ConsoleRows
from rich.text import Text

from ms_pfl.evaluation.metrics import METRICS, SCOPES, ranking
from ms_pfl.log_text import line
from ms_pfl.names import listed
from ms_pfl.paradigms import is_trained, models_in_order
from ms_pfl.reporting.content import About, Content, Table, note
from ms_pfl.reporting.words import (
    format_value,
    model_rows,
    plural,
    published_choices,
    rows_by,
    site_words,
)

_SCOPES = ("pooled", "macro", "weighted")


def discrimination(
    about: About, summary: pd.DataFrame, table1: pd.DataFrame, table1_notes: list[str]
) -> Content:
    """Show Table 1, the best of each column in bold, and what it rests on."""
    return [
        Table(table1, bold=best_cells(summary)),
        *map(note, table1_notes),
        note(
            about.fill(
                "Bold: the highest mean of the column. Pooled: all test episodes together. Macro: "
                "mean over {sites}. Size-weighted: mean over {sites} weighted by their test "
                "episodes."
            )
        ),
    ]


def trained_models(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the models of Table 1 in its order: those that were trained, not the recalibrated."""
    return [model for model in models_in_order(table) if is_trained(model[0])]


def table1(summary: pd.DataFrame, metrics: Sequence[str] = (), digits: int = 3) -> pd.DataFrame:
    """Lay the summary out as the study's Table 1.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.scoring.summarize`.
        metrics: which metrics, all that are best where high if empty; ``("brier", "log_loss")``
            gives the companion table.
        digits: decimals.

    Returns:
        One row per trained model (Centralized, Local, then for each strategy Federated,
        Fine-tuned, Adaptive), text cells: ``Model``, then for each metric its pooled, macro and
        size-weighted value as mean ± sd over seeds.
    """
    found = rows_by(summary, "paradigm", "strategy", "metric", "scope")
    return model_rows(
        trained_models(summary),
        lambda model: {
            f"{METRICS[metric].label} {SCOPES[scope]}": format_value(row["mean"], row["sd"], digits)
            for metric in metrics or ranking()
            for scope in _SCOPES
            for row in [found[*model, metric, scope]]
        },
    )


def best_cells(summary: pd.DataFrame) -> list[tuple[int, int]]:
    """Return (row, column) of the best mean of each column of Table 1, ties all of them."""
    means = summary[summary["scope"].isin(_SCOPES)].pivot(
        index=["paradigm", "strategy"], columns=["metric", "scope"], values="mean"
    )
    means = means.reindex(
        index=trained_models(summary),
        columns=[(metric, scope) for metric in ranking() for scope in _SCOPES],
    )
    best = np.argwhere((means == means.max()).to_numpy())
    return [(int(row), int(column) + 1) for row, column in best]


def notes(
    coverage: pd.DataFrame,
    source: Mapping[str, str],
    split_counts: pd.DataFrame,
    protocol: Mapping[str, object],
) -> list[str]:
    """Say in full sentences what Table 1 rests on.

    Args:
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.
        source: ``kind`` (``synthetic``, ``folder`` or ``own``), ``description`` and, where a
            country is called something else, ``site``, as in :mod:`ms_pfl.cohort.provenance`.
        split_counts: a row per seed and country: country, train_episodes, train_positive,
            validation_patients, test_patients.
        protocol: the choices of ``ProtocolParameters``.

    Returns:
        A sentence or two an entry; the warnings about the protocol and about synthetic data come
        first.
    """
    site, _ = site_words(source)
    published = published_choices(protocol)
    seeds = ", ".join(str(seed) for seed in coverage["seed"])
    lines = [
        f"PUBLISHED PROTOCOL, not a sound comparison: {'; '.join(published)} (docs/audit.md)."
        if published
        else "",
        f"Synthetic data ({source['description']}): no figure is about real patients."
        if source.get("kind") == "synthetic"
        else f"Data: {source['description']}.",
        f"Test split: {_range(coverage['n_episodes'], 'episode')} "
        f"({_range(coverage['n_positive'], None)} with the outcome) of "
        f"{_range(coverage['n_patients'], 'patient')} in "
        f"{_range(coverage['n_countries'], site)} "
        f"for each seed; seeds {seeds}"
        f"{'.' if published else '; the same rows for every model.'}",
        f"Macro and size-weighted ROC-AUC and PR-AUC leave out "
        f"{_range(coverage['n_single_class'], site)} whose test episodes are all of one "
        f"class; pooled values keep them."
        if coverage["n_single_class"].max() > 0
        else "",
        *_small_countries(split_counts),
        f"± is the standard deviation over {len(coverage)} seeds (patient split and initial "
        f"weights), not a confidence interval."
        if len(coverage) > 1
        else "",
    ]
    return [line for line in lines if line]


def _small_countries(split_counts: pd.DataFrame) -> list[str]:
    """Name the countries that are too small for a split, or have one class to learn from."""
    positive, episodes = split_counts["train_positive"], split_counts["train_episodes"]
    small = {
        "Trained but not scored in some seed (no test patient)": split_counts["test_patients"] == 0,
        "Without a vote in selection in some seed (no validation patient)": split_counts[
            "validation_patients"
        ]
        == 0,
        "One class only to train on in some seed": (positive == 0) | (positive == episodes),
    }
    return [
        f"{text}: {listed(sorted(set(split_counts.loc[rows, 'country'])))}."
        for text, rows in small.items()
        if rows.any()
    ]


def _range(counts: pd.Series, noun: str | None) -> str:
    low, high = int(counts.min()), int(counts.max())
    number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    if noun is None:
        return number
    return f"{number} {noun if high == 1 else plural(noun)}"


class ConsoleTable:
    """Table 1 and its notes as something ``rich`` can print.

    Where the console is wide enough (100 characters for two metrics) the metrics stand side by
    side; a narrower one (80 without a terminal) gets one table per metric: no cell is ever cut.
    """

    def __init__(self, table: pd.DataFrame, notes: Sequence[str]) -> None:
        """Keep what is to be shown; nothing is laid out before the width is known.

        Args:
            table: the table of :func:`table1`.
            notes: the sentences of :func:`notes`.
        """
        self.table, self.notes = table, notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, table or tables, and notes."""
        yield Text()
        yield Text("Table 1. Test performance", style="bold")
        side_by_side = self._rich_table(list(self.table.columns[1:]))
        needed = Measurement.get(console, options.update(max_width=1000), side_by_side).maximum
        by_metric = groupby(self.table.columns[1:], key=lambda name: name.rsplit(" ", 1)[0])
        one_each = (self._rich_table(list(names)) for _, names in by_metric)
        for table in [side_by_side] if needed <= options.max_width else one_each:
            yield table
            yield Text()
        yield from (Text(line(note)) for note in self.notes)

    def _rich_table(self, names: list[str]) -> ConsoleRows:
        rich_table = ConsoleRows(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        rich_table.add_column("Model", no_wrap=True)
        for name in names:
            head = "\n".join(map(line, name.rsplit(" ", 1))).replace("size-", "size-\n")
            rich_table.add_column(Text(head), justify="right", no_wrap=True)
        for row in self.table[["Model", *names]].itertuples(index=False, name=None):
            # ".812" instead of "0.812": the six columns of the study fit 100 characters
            cells = (row[0], *(re.sub(r"\b0\.", ".", cell) for cell in row[1:]))
            rich_table.add_row(*(Text(line(cell)) for cell in cells))
        return rich_table
