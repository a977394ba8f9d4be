"""Sites: their sizes, and what is called by their name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.scoring import coverage, summarize
from ms_pfl.reporting.sites import country_sizes, country_table, per_country_table
from ms_pfl.reporting.table1 import notes


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


def test_country_sizes(episodes: pd.DataFrame) -> None:
    countries = country_table(episodes)
    sizes, shares = country_sizes(countries).axes
    assert sizes.lines[0].get_xdata().tolist() == countries["n_episodes"].tolist()
    positive = sizes.lines[1].get_xdata()
    np.testing.assert_array_equal(np.nan_to_num(positive), countries["n_positive"])
    assert sizes.get_xscale() == "log"
    assert [t.get_text() for t in sizes.get_yticklabels()] == countries["country"].tolist()
    drawn = shares.lines[0].get_xdata()
    np.testing.assert_allclose(drawn, 100 * countries["positive_share"])


def test_notes_tables_and_figures_use_the_word(
    predictions: pd.DataFrame,
    metrics: pd.DataFrame,
    episodes: pd.DataFrame,
    split_counts: pd.DataFrame,
) -> None:
    source = {"kind": "own", "description": "d", "site": "hospital"}
    said = " ".join(notes(coverage(predictions), source, split_counts, {}))
    assert "hospital" in said
    assert "countr" not in said
    countries = country_table(episodes)
    table = per_country_table(summarize(metrics), countries, site="hospital")
    assert table.columns[0] == "Hospital"
    titles = [axes.get_title() for axes in country_sizes(countries, ("hospital", "hospitals")).axes]
    assert titles[0] == "Size of each hospital"
    assert titles[1].startswith("Class balance (all hospitals ")
