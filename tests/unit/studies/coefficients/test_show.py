"""Figures, tables and sentences say what is in the tables of the regressions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from ms_pfl.paradigms import Training
from ms_pfl.reporting.content import About, Content, Details, Picture, Table, Text
from ms_pfl.reporting.figures import to_svg
from ms_pfl.studies.coefficients.show import (
    MOST_COMPARISONS,
    MOST_CURVES,
    by_strength,
    draw_curves,
    forest,
    intercept_sentences,
    intercept_table,
    median_odds_ratio,
    ratio_sentences,
    ratio_table,
    section,
    shown_regression,
)

COUNTRIES = pd.DataFrame({"country": ["Malta", "Fiji", "Aland"], "n_episodes": [90, 60, 9]})
NAMED = {"paradigm": "federated", "strategy": "logistic", "n_seeds": 2}
PAIRS = [
    ("SEX_FEMALE", 1, "binary", 0.0, 1.0, -0.2, 0.09),
    ("AGE_AT_0", 1, "quartiles", 32.6, 45.6, 0.8, 0.1),
    ("EDSS_at_0", 1, "level", 0.0, 5.5, -6.0, 0.5),
    ("EDSS_at_0", 1, "level", 0.0, 9.5, -1.0, 0.5),
    ("RELAPSES_LAST_YEAR", 1, "ends", 0.0, 3.0, 4.0, 0.1),
    ("DMT_AT_0_Mild", 6, "missing", 1.0, math.nan, -0.4, 0.1),
    ("DAYS_SINCE_RELAPSE", 1, "quartiles", 300.0, 1187.0, 0.1, 0.1),
]  # fmt: skip


def about(countries: pd.DataFrame = COUNTRIES) -> About:
    return About({"kind": "own"}, "hospital", "hospitals", countries, "fedavg", {}, {})


def make_ratios(pairs: Sequence[tuple] = PAIRS, **named: object) -> pd.DataFrame:
    names = [
        "feature", "n_together", "compared", "reference", "value", "log_odds_ratio",
        "standard_error",
    ]  # fmt: skip
    table = pd.DataFrame(pairs, columns=names).assign(**(NAMED | named))
    for end, by in (("", 0), ("_low", -1.96), ("_high", 1.96)):
        z = table["log_odds_ratio"] + by * table["standard_error"]
        table[f"odds_ratio{end}"] = np.exp(z)
    return table


def make_curves(slopes: dict[str, float], points: int = 5) -> pd.DataFrame:
    """Straight lines through the median, equally many rows at each value."""
    at = np.arange(points, dtype=float)
    z = {name: slope * (at - points // 2) for name, slope in slopes.items()}
    parts = [
        pd.DataFrame(
            {
                "feature": name,
                "reference": at[points // 2],
                "value": at,
                "log_odds_ratio": line,
                "low": line - 0.1,
                "high": line + 0.1,
                "share": (at + 1) / points,
            }
        )
        for name, line in z.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(**NAMED)


def make_intercepts(sd: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        [("Fiji", 20, -0.5, -0.9, -0.1), ("Malta", 30, math.log(2), 0.0, math.log(4))],
        columns=["country", "n_patients", "deviation", "low", "high"],
    ).assign(paradigm="adaptive", strategy="logistic", n_seeds=2, sd_between=sd)


def test_the_table_is_in_order_of_strength_and_reads_in_words() -> None:
    found = ratio_table(by_strength(make_ratios()), None)
    assert found.to_numpy().tolist() == [
        ["Relapses in the last year", "3 against 0 *", "54.60 [44.88, 66.42]"],
        ["Age", "45.6 against 32.6 years", "2.23 [1.83, 2.71]"],
        ["Therapy of mild efficacy", "missing (with 5 other features)", "0.67 [0.55, 0.82]"],
        ["Female sex", "yes against no", "0.82 [0.69, 0.98]"],
        ["Time since the last relapse", "1187 against 300 days", "1.11 [0.91, 1.34]"],
    ]
    levels = make_ratios()[2:4]
    assert ratio_table(levels, None)["Odds ratio"].tolist() == [
        "0.0025 [0.00093, 0.0066]", "0.37 [0.14, 0.98]",
    ]  # fmt: skip
    own = ratio_table(by_strength(make_ratios()), {"columns": ["AGE_AT_0"]})
    assert own["Feature"].tolist()[1] == "AGE_AT_0", "features of a custom table keep their names"
    assert own["Compared"].tolist()[1] == "45.6 against 32.6"


def test_the_sentences_count_intervals_without_1() -> None:
    both = pd.concat([make_ratios(), make_ratios(paradigm="centralized")])
    lines = ratio_sentences(both)
    assert shown_regression(both) == Training("federated", "logistic")
    assert lines[0].startswith("Federated logistic regression, fitted to")
    assert "means over 2 seeds" in lines[0]
    assert lines[1].startswith("Of 5 odds ratios 4 have an interval that excludes 1")
    assert lines[2].endswith("its log odds ratios differ by less than 0.001.")
    other = make_ratios(paradigm="centralized")
    other["log_odds_ratio"] += 0.25
    assert ratio_sentences(pd.concat([both[: len(PAIRS)], other]))[2].endswith("by at most 0.25.")
    alone = ratio_sentences(make_ratios(paradigm="centralized", n_seeds=1))
    assert len(alone) == 2
    assert alone[0].startswith("Centralized logistic regression, fitted to")
    assert "one seed, with 95 % intervals" in alone[0]


def test_the_forest_has_a_point_and_a_line_per_comparison() -> None:
    ratios = by_strength(make_ratios())
    (axes,) = forest(ratios, None).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[1:4] == [
        "Age: 45.6 against 32.6 years", "Therapy of mild efficacy: missing (with 5 other features)",
        "Female sex: yes against no",
    ]  # fmt: skip
    points = next(line for line in axes.lines if line.get_marker() == "o")
    limit = axes.get_xlim()[1]
    assert limit == pytest.approx(math.log(20))
    np.testing.assert_allclose(points.get_xdata(), [limit, 0.8, -0.4, -0.2, 0.1])
    (lines,) = axes.collections
    drawn = [segment[:, 0].tolist() for segment in lines.get_segments()]
    np.testing.assert_allclose(drawn[1], [0.8 - 0.196, 0.8 + 0.196])
    (beyond,) = (line for line in axes.lines if line.get_marker() == ">" and len(line.get_xdata()))
    assert beyond.get_ydata().tolist() == [0], "relapses go on"
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20",
    ]  # fmt: skip
    assert "2.23 [1.83, 2.71]" in [text.get_text() for text in axes.texts]


def test_curves_are_drawn_in_the_order_of_what_they_move() -> None:
    figure = draw_curves(make_curves({"EDUCATION": 0.1, "AGE_AT_0": -0.5, "lesions": 0.2}), None)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["Age", "lesions", "Education"]
    assert [axes.get_xlabel() for axes in panels] == ["years", "", ""]
    first = panels[0]
    line = next(line for line in first.lines if len(line.get_xdata()) == 5)
    np.testing.assert_allclose(line.get_ydata(), [1, 0.5, 0, -0.5, -1])
    assert line.get_marker() == "o", "few values"
    band = first.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (pytest.approx(-1.1), pytest.approx(1.1))
    (reference,) = (line for line in first.lines if len(line.get_xdata()) == 1)
    assert (reference.get_xdata()[0], reference.get_ydata()[0]) == (2, 0)
    assert {axes.get_ylim() for axes in panels} == {first.get_ylim()}


def test_figures_hold_the_strongest_alone_and_are_the_same_each_time() -> None:
    names = [f"feature {i}" for i in range(40)]
    ratios = make_ratios([(name, 1, "binary", 0.0, 1.0, 0.01, 0.01) for name in names])
    curves = make_curves(dict.fromkeys(names, 0.1), points=30)
    (axes,) = forest(ratios, None).axes
    assert len(axes.get_yticks()) == MOST_COMPARISONS
    drawn = draw_curves(curves, None)
    assert len([axes for axes in drawn.axes if axes.axison]) == MOST_CURVES
    svg = to_svg(drawn, "shape_curves")
    ElementTree.fromstring(svg)
    assert svg == to_svg(draw_curves(curves, None), "shape_curves")
    assert "<image" not in svg


def test_intercepts_in_the_order_of_the_sites() -> None:
    found = intercept_table(make_intercepts(), COUNTRIES, "hospital")
    assert found.to_numpy().tolist() == [
        ["Malta", "30", "2.00 [1.00, 4.00]"], ["Fiji", "20", "0.61 [0.41, 0.90]"],
    ]  # fmt: skip
    assert found.columns.tolist() == ["Hospital", "Training patients", "Odds ratio"]
    (line,) = intercept_sentences(make_intercepts(), ("hospital", "hospitals"))
    assert "standard deviation of 0.50 (log-odds), which is a median odds ratio of 1.61" in line
    assert "of two hospitals drawn at random" in line
    (none,) = intercept_sentences(make_intercepts(0.0), ("hospital", "hospitals"))
    assert "no difference between the intercepts of hospitals was found" in none


def test_the_median_odds_ratio_is_that_of_pairs() -> None:
    a, b = np.random.default_rng(0).normal(scale=0.8, size=(2, 200_000))
    assert median_odds_ratio(0.8) == pytest.approx(np.median(np.exp(np.abs(a - b))), rel=0.01)
    assert median_odds_ratio(0.0) == 1.0


def parts(content: Content) -> list[str]:
    names = []
    for block in content:
        match block:
            case Picture():
                names.append(block.name)
            case Details():
                names += [block.summary, *parts(block.content)]
            case Table():
                names.append(f"{len(block.cells)} rows")
            case Text(tag="h3"):
                names.append(block.words)
    return names


def test_the_section_has_what_there_is() -> None:
    given = make_ratios(), make_curves({"AGE_AT_0": 0.2}), make_intercepts()
    cohort = {"vocabulary": None}
    content = section(about(), *given, cohort)
    assert content is not None
    assert parts(content) == [
        "odds_ratios", "All odds ratios", "5 rows", "EDSS at the visit: each level against 0",
        "2 rows", "Shape of each effect", "shape_curves", "Intercepts of the hospitals",
        "Intercept of each hospital", "2 rows",
    ]  # fmt: skip
    words = [block.words for block in content if isinstance(block, Text)]
    assert "{" not in "".join(words)
    assert "all hospitals" in words[0]
    assert "(the EDSS now" in words[-1]
    without = section(about(), make_ratios()[:2], given[1][:0], given[2][:0], {})
    assert without is not None
    assert parts(without) == ["odds_ratios", "All odds ratios", "2 rows"]
    own = section(about(), *given, {"vocabulary": {"columns": ["AGE_AT_0"]}}) or []
    assert "EDSS now" not in [block.words for block in own if isinstance(block, Text)][-1]
    assert section(about(), given[0][:0], given[1][:0], given[2], cohort) is None
