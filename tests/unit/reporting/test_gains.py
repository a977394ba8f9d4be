"""Gains by site: the forest plot and what its intervals say."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ms_pfl.evaluation.differences import COLUMNS
from ms_pfl.reporting.gains import choice_table, forest, gains_table
from ms_pfl.reporting.sites import country_table


def test_forest_shows_differences_and_their_intervals(
    findings: SimpleNamespace, episodes: pd.DataFrame
) -> None:
    countries = country_table(episodes)
    figure = forest(findings.differences, countries)
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


def test_the_last_row_is_a_further_country(
    findings: SimpleNamespace, episodes: pd.DataFrame
) -> None:
    countries, further = country_table(episodes), findings.further_country.copy()
    own = (further["reference"] == "federated") & (further["metric"] == "roc_auc")
    bounds = {"mean": 0.02, "mean_low": 0.01, "mean_high": 0.03, "low": -0.05, "high": 0.6}
    further.loc[own, list(bounds)] = list(bounds.values())
    figure = forest(findings.differences, countries, further, "hospital")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "a further hospital"
    for axes in figure.axes:
        limit = axes.get_xlim()[1]
        diamonds = [patch.get_xy()[:4] for patch in axes.patches]
        assert len(diamonds) == 2  # fine-tuned and adaptive
        for corners in diamonds:
            np.testing.assert_allclose(corners[:, 0], [0.01, 0.02, 0.03, 0.02])
            assert round(corners[0, 1]) == len(labels) - 1
        drawn = [line.get_segments() for line in axes.collections]
        lines = [segments[0][:, 0] for segments in drawn if len(segments) == 1]
        assert len(lines) == 2
        for line in lines:
            np.testing.assert_allclose(line, [-0.05, limit])
        arrows = [line for line in axes.lines if line.get_marker() == ">"]
        assert any(
            line.get_xdata().tolist() == [limit] and round(line.get_ydata()[0]) == len(labels) - 1
            for line in arrows
        )
    unknown = further.assign(low=math.nan, high=math.nan)
    without = forest(findings.differences, countries, unknown)
    assert len(without.axes[0].get_yticklabels()) == len(labels) - 1
    assert not without.axes[0].patches


def test_a_country_without_a_value_is_not_said_to_have_one_class() -> None:
    known = {
        "paradigm": "adaptive", "strategy": "fedavg", "reference": "federated",
        "reference_strategy": "fedavg", "scope": "country", "metric": "roc_auc",
    }  # fmt: skip
    gains = [
        known | {"country": "A", "difference": 0.1, "low": 0.05, "high": 0.15, "verdict": "better"},
        known
        | {"country": "B", "difference": 0.1, "low": math.nan, "high": math.nan, "verdict": ""},
    ]
    countries = pd.DataFrame({"country": ["A", "B", "C"], "n_patients": 9, "n_episodes": 20})
    table = choice_table(pd.DataFrame(gains, columns=COLUMNS), countries, "country", "fedavg")
    assert table["Than federated"].tolist() == [
        "Adaptive better",
        "fewer than 10 test patients",
        "not both classes in the test split of any seed",  # or nobody in it
    ]


def test_gains_over_a_reference_with_a_dash_where_nothing_was_compared() -> None:
    known = {
        "paradigm": "adaptive", "strategy": "fedavg", "reference": "federated", "country": "",
        "low": 0.01, "high": 0.03, "p": 0.0004, "wilcoxon_p_holm": 0.25, "n_better": 3.0,
        "n_countries": 4.0, "verdict": "better", "within_margin": False, "role": "exploratory",
    }  # fmt: skip
    rows = [
        known | {"metric": "roc_auc", "scope": "macro", "difference": 0.02},
        known
        | {
            "metric": "brier",
            "scope": "pooled",
            "difference": -0.0002,
            "low": math.nan,
            "verdict": "",
            "p": math.nan,
        },
    ]
    table = gains_table(pd.DataFrame(rows), "federated")
    assert list(table.columns) == [
        "Model", "ROC-AUC pooled", "ROC-AUC macro", "Gaining", "p Wilcoxon", "Log-loss pooled",
        "Brier score pooled",
    ]  # fmt: skip
    assert table.to_numpy().tolist() == [
        ["Adaptive FedAvg", "–", "+0.020 [+0.010, +0.030]\nbetter (p <0.001)", "3 of 4", "0.250",
         "–", "-0.0002\n–"],
    ]  # fmt: skip
