"""Figures show the numbers of their tables, and fit a light and a dark page."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.comparison import gains
from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.reporting import figures
from ms_pfl.reporting.tables import country_table


@pytest.fixture(scope="module")
def countries(episodes: pd.DataFrame) -> pd.DataFrame:
    return country_table(episodes)


def test_country_sizes(countries: pd.DataFrame) -> None:
    sizes, shares = figures.country_sizes(countries).axes
    assert sizes.lines[0].get_xdata().tolist() == countries["n_episodes"].tolist()
    positive = sizes.lines[1].get_xdata()
    np.testing.assert_array_equal(np.nan_to_num(positive), countries["n_positive"])
    assert sizes.get_xscale() == "log"
    assert [t.get_text() for t in sizes.get_yticklabels()] == countries["country"].tolist()
    drawn = shares.lines[0].get_xdata()
    np.testing.assert_allclose(drawn, 100 * countries["positive_share"])


def test_learning_curves_have_a_line_a_seed(history: pd.DataFrame) -> None:
    curves = learning_curves(history)
    figure = figures.learning_curves(curves)
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles == ["Centralized", "Local", "Federated", "Fine-tuned", "Adaptive"]
    federated = figure.axes[2]
    # 2 strategies x 3 seeds, each a line and its dot
    assert len(federated.lines) == 12
    own = curves[(curves.paradigm == "federated") & (curves.strategy == "fedavg")]
    first = own[own.seed == 0]
    np.testing.assert_allclose(federated.lines[0].get_ydata(), first["validation_log_loss"])
    assert federated.lines[1].get_xdata().tolist() == first["round"][first["selected"]].tolist()


def test_gain_is_the_mean_over_seeds(metrics: pd.DataFrame, countries: pd.DataFrame) -> None:
    table = gains(metrics, "federated", "roc_auc", "country")
    figure = figures.gain_by_country(table, countries)
    assert [axes.get_title() for axes in figure.axes] == ["FedAvg", "FedProx"]
    points = figure.axes[0].lines[1]  # the first line is the zero
    assert points.get_label() == "Fine-tuned"
    own = table[(table.paradigm == "fine_tuned") & (table.strategy == "fedavg")].dropna()
    expected = own.groupby("country")["gain"].mean()
    np.testing.assert_allclose(points.get_xdata(), expected)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert not any("Fiji" in label for label in labels)
    assert labels[0].startswith(countries["country"].iloc[0])


def test_svg_takes_the_color_of_the_page_and_repeats(countries: pd.DataFrame) -> None:
    odd = countries.assign(country=["$x$ & <b>", *countries["country"][1:]])
    svg = figures.to_svg(figures.country_sizes(odd), "sizes")
    assert svg == figures.to_svg(figures.country_sizes(odd), "sizes")
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "$x$ & <b>" in texts
    assert "currentColor" in svg
    assert "#010203" not in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("sizes-") for name in ids)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert used <= set(ids)


def test_pyplot_is_never_needed(countries: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert figures.to_svg(figures.country_sizes(countries), "a").startswith("<svg")
