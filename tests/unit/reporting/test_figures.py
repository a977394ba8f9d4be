"""Figures show the numbers of their tables, and fit a light and a dark page."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.curves import learning_curves
from ms_pfl.reporting import curve_figures, figures
from ms_pfl.reporting.report import Findings
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


def test_names_that_look_like_svg_stay_as_they_are(countries: pd.DataFrame) -> None:
    names = ["#010203", 'id="a"', "url(#b)", 'href="#c"', "<metadata>", "$x_1$", "_y", "a < b > c"]
    named = pd.concat([countries.head(1)] * len(names)).assign(country=names)
    page = ElementTree.fromstring(figures.to_svg(figures.country_sizes(named), "sizes"))
    drawn = {element.text for element in page.iter() if element.tag.endswith("text")}
    assert set(named["country"]) <= drawn


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


def test_forest_shows_differences_and_their_intervals(
    findings: Findings, countries: pd.DataFrame
) -> None:
    figure = curve_figures.forest(findings.differences, countries)
    assert [axes.get_title() for axes in figure.axes] == ["FedAvg", "FedProx"]
    axes = figure.axes[0]
    own = findings.differences.query(
        "reference == 'federated' and metric == 'roc_auc' and scope == 'country' and "
        "strategy == 'fedavg' and paradigm == 'fine_tuned'"
    ).dropna(subset=["difference"])
    sure, unsure = axes.lines[1], axes.lines[2]  # the first line is the zero
    assert sure.get_label() == "Fine-tuned"
    limit = axes.get_xlim()[1]
    with_interval = own.dropna(subset=["low"])
    np.testing.assert_allclose(sure.get_xdata(), with_interval["difference"].clip(-limit, limit))
    assert len(sure.get_xdata()) + len(unsure.get_xdata()) == len(own) == 6
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert not any("Fiji" in label for label in labels)
    assert labels[0].startswith(countries["country"].iloc[0])
    assert axes.get_legend_handles_labels()[1] == ["Fine-tuned", "Adaptive"]


def test_curves_reliability_and_net_benefit_draw_their_tables(findings: Findings) -> None:
    roc, pr = curve_figures.roc_and_pr(findings.operating_curves, 0.2, "fedavg").axes
    own = findings.operating_curves
    for axes, curve in ((roc, "roc"), (pr, "pr")):
        line = next(x for x in axes.lines if x.get_label() == "Local")
        table = own[(own.paradigm == "local") & (own.curve == curve)]
        np.testing.assert_array_equal(line.get_ydata(), table["y"])
    bins = findings.reliability
    panels = curve_figures.reliability_diagrams(bins, "fedprox").axes
    shown = {axes.get_title(): axes for axes in panels}
    assert set(shown) >= {"Local", "Federated", "Recalibrated", "Adaptive"}
    table = bins[(bins.paradigm == "adaptive") & (bins.strategy == "fedprox")]
    np.testing.assert_array_equal(shown["Adaptive"].lines[1].get_ydata(), table["observed"])
    (axes,) = curve_figures.decision_curve(findings.net_benefit, "fedavg").axes
    names = [line.get_label() for line in axes.lines]
    assert {"Act on everybody", "Act on nobody", "Federated", "Recalibrated"} <= set(names)


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
