"""The calibration section draws the numbers of its tables."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ms_pfl.reporting.calibration import highest_risk, reliability_diagrams, risk_histograms
from ms_pfl.reporting.figures import to_svg


def test_calibration_curves_draw_their_table(findings: SimpleNamespace) -> None:
    bins = findings.reliability
    panels = reliability_diagrams(bins, "fedprox").axes
    shown = {axes.get_title(): axes for axes in panels}
    assert set(shown) >= {"Local", "Federated", "Recalibrated", "Adaptive"}
    table = bins[(bins.paradigm == "adaptive") & (bins.strategy == "fedprox")]
    np.testing.assert_array_equal(shown["Adaptive"].lines[1].get_ydata(), table["observed"])


def test_a_panel_per_paradigm_shows_the_share_of_each_outcomes_episodes() -> None:
    table = pd.DataFrame(
        [
            (paradigm, strategy, label, low, low + 0.25, n)
            for paradigm, strategy in (("local", "none"), ("adaptive", "fedavg"))
            for label, counts in ((0, (60, 30, 10, 0)), (1, (1, 2, 1, 0)))
            for low, n in zip((0.0, 0.25, 0.5, 0.75), counts, strict=True)
        ],
        columns=["paradigm", "strategy", "label", "low", "high", "n"],
    )
    figure = risk_histograms(pd.concat([table, table.assign(strategy="fedprox")]), "fedavg")
    assert [axes.get_title() for axes in figure.axes] == ["Local", "Adaptive"]
    for axes in figure.axes:
        area, without, with_outcome = (patch.get_data() for patch in axes.patches)
        np.testing.assert_array_equal(area.values, without.values)
        np.testing.assert_allclose(without.values, [0.6, 0.3, 0.1, 0.0])
        np.testing.assert_allclose(with_outcome.values, [0.25, 0.5, 0.25, 0.0])
        np.testing.assert_allclose(with_outcome.edges, [0, 0.25, 0.5, 0.75, 1])
        assert axes.get_xlim() == (0, 0.75)


def test_the_axis_ends_where_nearly_all_episodes_do() -> None:
    rows = [("local", high, n) for high, n in ((0.1, 990), (0.2, 4), (0.3, 1), (1.0, 5))] + [
        ("adaptive", high, n) for high, n in ((0.1, 10), (0.2, 0), (0.3, 0), (1.0, 0))
    ]
    table = pd.DataFrame(rows, columns=["paradigm", "high", "n"])
    assert highest_risk(table) == pytest.approx(0.3)
    assert highest_risk(table.iloc[:0]) == 1


def test_an_outcome_without_an_episode_draws_nothing_of_it(findings: SimpleNamespace) -> None:
    table = findings.risk_distribution
    none = table.assign(n=table["n"].where(table["label"] == 0, 0))
    svg = to_svg(risk_histograms(none, "fedavg"), "risks")
    assert not re.search("nan|inf", svg)
