"""The section on how many patients a site needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ms_pfl.reporting.content import About, Picture, Table
from ms_pfl.reporting.site_size import site_size

SIZES = [16, 32, 64, 128, 256, 512, 1024, 2048]
NAMES = [f"C{n}" for n in SIZES]


@pytest.fixture
def about() -> About:
    countries = pd.DataFrame({"country": NAMES, "n_patients": SIZES, "n_episodes": SIZES})
    source = {"kind": "own", "site": "hospital"}
    return About(source, "hospital", "hospitals", countries, "fedavg", {}, {})


def differences(gain: float, *, error: float = 0.001) -> pd.DataFrame:
    """Adaptive models gain from 64 patients on; FedProx is not shown; local models always lose."""
    rows = []
    for metric, sign in (("log_loss", -1), ("roc_auc", 1)):
        for name, size in zip(NAMES, SIZES, strict=True):
            known = {"scope": "country", "country": name, "metric": metric}
            moved = sign * gain * (np.log2(size) - 5.5)
            for strategy in ("fedavg", "fedprox", "trees"):
                for paradigm, reference, other, value in (
                    ("adaptive", "federated", strategy, moved),
                    ("federated", "local", "none", sign * 0.05),
                ):
                    rows.append(
                        known
                        | {"paradigm": paradigm, "strategy": strategy, "reference": reference}
                        | {"reference_strategy": other, "difference": value}
                        | {"low": value - 2 * error, "high": value + 2 * error}
                    )
    return pd.DataFrame(rows)


def test_a_line_per_learner_and_paradigm(about: About) -> None:
    content = site_size(about, differences(0.01))
    assert content is not None
    picture, table = content[0], content[1]
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    assert [axes.get_title() for axes in picture.figure.axes] == [
        "network (FedAvg)",
        "boosted trees",
    ]
    assert "hospital" in picture.caption
    cells = table.cells.set_index(["Learner", "Against federated", "Metric"])
    assert len(cells) == 2 * 2 * 2
    for metric in ("Log-loss", "ROC-AUC"):
        assert cells.loc[("boosted trees", "Adaptive", metric), "Better from"] == "64 patients"
        assert cells.loc[("boosted trees", "Local", metric), "Better from"] == "no size of hospital"
    own = cells.loc["network (FedAvg)", "Adaptive", "ROC-AUC"]
    assert own["16 patients"].startswith("-0.015")  # .01 (4 - 5.5)
    assert own["2,048 patients"].startswith("+0.055")  # .01 (11 - 5.5)
    lines = {line.get_label(): line.get_ydata() for line in picture.figure.axes[1].lines}
    np.testing.assert_allclose(lines["Local"], -0.05, atol=1e-12)
    np.testing.assert_allclose(np.asarray(lines["Adaptive"])[[0, -1]], [-0.015, 0.055])


def test_too_few_sites_have_no_section(about: About) -> None:
    few = about.countries.head(4)
    known = differences(0.01)
    known = known[known["country"].isin(few["country"])]
    assert site_size(replace(about, countries=few), known) is None


def test_sites_without_an_interval_are_left_out(about: About) -> None:
    known = differences(0.01)
    known.loc[known["country"] == "C2048", ["low", "high"]] = np.nan
    content = site_size(about, known)
    assert content is not None
    assert isinstance(content[1], Table)
    assert "1,024 patients" in content[1].cells.columns
    assert "2,048 patients" not in content[1].cells.columns
