"""A site is called what the data call it."""

from __future__ import annotations

import pandas as pd
import pytest

from ms_pfl.evaluation.comparison import summarize
from ms_pfl.evaluation.scoring import coverage
from ms_pfl.reporting.figures import country_sizes
from ms_pfl.reporting.tables import country_table, notes, per_country_table, site_words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, ("country", "countries")),
        ({"site": "hospital"}, ("hospital", "hospitals")),
        ({"site": "bay"}, ("bay", "bays")),
        ({"site": "practice"}, ("practice", "practices")),
        ({"site": "branch"}, ("branch", "branches")),
        ({"site": "MS center"}, ("MS center", "MS centers")),
    ],
)
def test_one_and_several(source: dict[str, str], words: tuple[str, str]) -> None:
    assert site_words(source) == words


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
