"""Curves draw the numbers of their tables."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from ms_pfl.reporting import curves


def test_curves_reliability_and_net_benefit_draw_their_tables(findings: SimpleNamespace) -> None:
    roc, pr = curves.roc_and_pr(findings.operating_curves, 0.2, "fedavg").axes
    own = findings.operating_curves
    for axes, curve in ((roc, "roc"), (pr, "pr")):
        line = next(x for x in axes.lines if x.get_label() == "Local")
        table = own[(own.paradigm == "local") & (own.curve == curve)]
        np.testing.assert_array_equal(line.get_ydata(), table["y"])
    bins = findings.reliability
    panels = curves.reliability_diagrams(bins, "fedprox").axes
    shown = {axes.get_title(): axes for axes in panels}
    assert set(shown) >= {"Local", "Federated", "Recalibrated", "Adaptive"}
    table = bins[(bins.paradigm == "adaptive") & (bins.strategy == "fedprox")]
    np.testing.assert_array_equal(shown["Adaptive"].lines[1].get_ydata(), table["observed"])
    (axes,) = curves.decision_curve(findings.net_benefit, "fedavg").axes
    names = [line.get_label() for line in axes.lines]
    assert {"Act on everybody", "Act on nobody", "Federated", "Recalibrated"} <= set(names)
