"""Curves draw the numbers of their tables."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from ms_pfl.reporting import curves


def test_curves_and_net_benefit_draw_their_tables(findings: SimpleNamespace) -> None:
    roc, pr = curves.roc_and_pr(findings.operating_curves, 0.2, "fedavg").axes
    own = findings.operating_curves
    for axes, curve in ((roc, "roc"), (pr, "pr")):
        line = next(x for x in axes.lines if x.get_label() == "Local")
        table = own[(own.paradigm == "local") & (own.curve == curve)]
        np.testing.assert_array_equal(line.get_ydata(), table["y"])
    (axes,) = curves.decision_curve(findings.net_benefit, "fedavg").axes
    names = [line.get_label() for line in axes.lines]
    assert {"Act on everybody", "Act on nobody", "Federated", "Recalibrated"} <= set(names)


def test_net_benefit_is_laid_out_with_its_intervals(findings: SimpleNamespace) -> None:
    table = curves.net_benefit_table(findings.net_benefit, "fedavg").set_index("Paradigm")
    assert list(table.columns) == ["at 0.1", "at 0.2", "at 0.3"]
    assert list(table.index[:3]) == ["Centralized", "Local", "Federated"]
    row = findings.net_benefit.query("paradigm == 'local' and threshold == 0.2").iloc[0]
    expected = f"{row['net_benefit']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert table.loc["Local", "at 0.2"] == expected
    assert table.index[-1] == "Act on everybody"
    many = pd.concat(
        [findings.net_benefit.assign(threshold=t / 20) for t in range(1, 20)], ignore_index=True
    )
    assert len(curves.net_benefit_table(many, "fedavg").columns) == 1 + 5
