"""The first screen: all trainings, the verdict matrix, and the data in a few numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ms_pfl.paradigms import color_of
from ms_pfl.reporting.answer import (
    against_federated,
    all_trainings,
    answer,
    data_strip,
    verdict_matrix,
)
from ms_pfl.reporting.content import About, Picture, Table, Text
from ms_pfl.reporting.sites import country_table

MODEL = ["paradigm", "strategy", "reference", "reference_strategy"]


def differences() -> pd.DataFrame:
    """Local loses, fine-tuned is equivalent, trees cannot say; in A and B."""
    rows = [
        (("federated", "fedavg", "local", "none"), "pooled", "", 0.05, 0.01, "better"),
        (("federated", "fedavg", "local", "none"), "country", "A", 0.05, 0.01, "better"),
        (("federated", "fedavg", "local", "none"), "country", "B", -0.05, 0.1, "inconclusive"),
        (("fine_tuned", "fedavg", "federated", "fedavg"), "pooled", "", 0.001, 0.004, "equivalent"),
        (("fine_tuned", "fedavg", "federated", "fedavg"), "country", "A", 0.01, 0.002, "better"),
        (("adaptive", "trees", "federated", "trees"), "pooled", "", 0.004, 0.02, "inconclusive"),
        (("fine_tuned", "fedavg", "local", "none"), "pooled", "", 0.051, 0.01, "better"),
        (("recalibrated", "fedavg", "federated", "fedavg"), "pooled", "", 0.1, 0.01, "better"),
    ]
    return pd.DataFrame(
        [
            dict(zip(MODEL, models, strict=True))
            | {"scope": scope, "country": country, "metric": "roc_auc", "difference": value}
            | {"low": value - half, "high": value + half, "verdict": verdict}
            for models, scope, country, value, half, verdict in rows
        ]
    )


def estimates() -> pd.DataFrame:
    models = [
        ("local", "none", 0.65),
        ("federated", "fedavg", 0.7),
        ("fine_tuned", "fedavg", 0.701),
        ("federated", "trees", 0.72),
        ("adaptive", "trees", 0.724),
        ("recalibrated", "fedavg", 0.9),
    ]
    return pd.DataFrame(
        [
            {"paradigm": p, "strategy": s, "scope": "pooled", "country": "", "metric": "roc_auc",
             "value": value, "low": value - 0.02, "high": value + 0.02}
            for p, s, value in models
        ]
    )  # fmt: skip


@pytest.fixture
def about(episodes: pd.DataFrame) -> About:
    told = {"comparison": {"margin": {"roc_auc": 0.01}}, "seeds": [0, 1, 2]}
    source = {"kind": "own", "description": "a registry"}
    return About(source, "country", "countries", country_table(episodes), "fedavg", told, {})


def test_comparisons_with_the_federated_model_are_turned_to_it() -> None:
    found = against_federated(differences()).set_index(["paradigm", "strategy", "country"])
    assert len(found) == 6
    local = found.loc[("local", "fedavg", "")]
    np.testing.assert_allclose(
        local[["difference", "low", "high"]].astype(float), [-0.05, -0.06, -0.04]
    )
    assert local["verdict"] == "worse"
    assert found.loc[("local", "fedavg", "B"), "verdict"] == "inconclusive"
    assert found.loc[("fine_tuned", "fedavg", "A"), "verdict"] == "better"


def test_the_matrix_has_difference_verdict_and_countries() -> None:
    cells, marks = verdict_matrix(against_federated(differences()))
    assert list(cells.columns) == ["Against federated", "FedAvg", "boosted trees"]
    assert cells.to_numpy().tolist() == [
        ["Local", "-0.050 [-0.060, -0.040]\n▼ worse · 0 / 1 / 1", "–"],
        ["Fine-tuned", "+0.001 [-0.003, +0.005]\n= equivalent · 1 / 0 / 0", "–"],
        ["Adaptive", "–", "+0.004 [-0.016, +0.024]\n? inconclusive"],
    ]
    assert marks == {(0, 1): "worse", (1, 1): "equivalent", (2, 2): "inconclusive"}


def test_the_figure_has_every_training_and_the_margin_of_the_reference() -> None:
    figure = all_trainings(estimates(), "fedavg", 0.01)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "Local", "Federated FedAvg", "Fine-tuned FedAvg", "Federated boosted trees",
        "Adaptive boosted trees",
    ]  # fmt: skip
    points = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
    values = [float(np.asarray(line.get_xdata())[0]) for line in points]
    assert values == [0.65, 0.7, 0.701, 0.72, 0.724]
    assert [line.get_marker() for line in points] == ["o", "o", "o", "^", "^"]
    assert [to_hex(line.get_color()).upper() for line in points][2] == color_of("fine_tuned")
    (band,) = axes.patches
    np.testing.assert_allclose([band.get_x(), band.get_x() + band.get_width()], [0.69, 0.71])
    assert not all_trainings(estimates(), "fedavg", np.nan).axes[0].patches


def test_the_section(about: About) -> None:
    picture, table, note = answer(about, estimates(), differences())
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    assert isinstance(note, Text)
    assert "margin of ± 0.01" in picture.caption
    assert "within ± 0.01" in note.words
    without = replace(about, configuration={})
    assert "nan" not in answer(without, estimates(), differences())[2].words
    assert len(answer(about, estimates(), differences().iloc[:0])) == 1


def test_the_strip_counts_people_episodes_and_events(
    about: About, findings: SimpleNamespace, episodes: pd.DataFrame
) -> None:
    positive = int(episodes["label"].sum())
    share = f"{100 * positive / len(episodes):.1f} %"
    assert data_strip(about, about.configuration) == [
        (f"{episodes['patient_id'].nunique():,}", "patients"),
        (f"{len(episodes):,}", "episodes"),
        (f"{positive:,} ({share})", "with the outcome"),
        ("7", "countries"),
        ("3", "seeds"),
    ]
    assert data_strip(about, {})[-1] == ("7", "countries")
