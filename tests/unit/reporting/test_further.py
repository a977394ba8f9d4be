"""What to expect in a further site: the figure of planned differences."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ms_pfl.evaluation.further_country import COLUMNS
from ms_pfl.reporting.further import draw_differences, shown_pairs


def rows() -> pd.DataFrame:
    pairs = [
        ("federated", "fedavg", "local", "none"),
        ("adaptive", "fedavg", "federated", "fedavg"),
        ("adaptive", "fedprox", "federated", "fedprox"),
        ("federated", "logistic", "local", "logistic"),
        ("ensemble", "fedavg", "federated", "fedavg"),
        ("adaptive", "fedavg", "recalibrated", "fedavg"),
    ]
    numbers = {"mean": 0.01, "mean_low": 0.0, "mean_high": 0.02, "low": -0.03, "high": 0.05}
    table = pd.DataFrame(pairs, columns=COLUMNS[:4]).assign(metric="roc_auc", **numbers)
    value = pd.DataFrame([("federated", "fedavg", "", "")], columns=COLUMNS[:4])
    loss = table.assign(metric="log_loss")
    return pd.concat([value.assign(metric="roc_auc", **numbers), table, loss], ignore_index=True)


def test_what_is_trained_is_shown_by_one_strategy() -> None:
    shown = shown_pairs(rows(), "fedavg")
    assert shown[COLUMNS[:5]].to_numpy().tolist() == [
        ["federated", "fedavg", "local", "none", "roc_auc"],
        ["adaptive", "fedavg", "federated", "fedavg", "roc_auc"],
    ]


def test_a_diamond_for_the_mean_and_a_line_for_a_further_site() -> None:
    (axes,) = draw_differences(shown_pairs(rows(), "fedavg"), 0.01).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["Federated FedAvg − Local", "Adaptive FedAvg − Federated FedAvg"]
    band, *diamonds = axes.patches
    np.testing.assert_allclose(band.get_extents().width / axes.bbox.width,
                               0.02 / np.ptp(axes.get_xlim()))  # fmt: skip
    for place, (line, diamond) in enumerate(zip(axes.collections, diamonds, strict=True)):
        np.testing.assert_allclose(line.get_segments()[0], [[-0.03, place], [0.05, place]])
        corners = diamond.get_xy()[:4]
        np.testing.assert_allclose(corners[:, 0], [0.0, 0.01, 0.02, 0.01])
        np.testing.assert_allclose(corners[::2, 1], place)
    (axes,) = draw_differences(shown_pairs(rows(), "fedavg"), math.nan).axes
    assert len(axes.patches) == 2


def test_the_pairs_of_a_run_are_found(findings: SimpleNamespace) -> None:
    known = findings.further_country[findings.further_country["low"].notna()]
    shown = shown_pairs(known, "fedprox")
    assert set(shown["strategy"]) <= {"fedprox", "none", "pooled"}
    assert {("adaptive", "federated"), ("federated", "local")} <= set(
        shown[["paradigm", "reference"]].itertuples(index=False, name=None)
    )
