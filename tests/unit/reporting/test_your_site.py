"""A block per site: what its intervals recommend, and how many patients would settle it."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.reporting.content import About, Details, Table, Text
from ms_pfl.reporting.your_site import advice, patients_needed, reasons, site_table, your_site

COUNTRIES = pd.DataFrame(
    {"country": ["A", "B"], "n_patients": [300, 4], "n_episodes": [900, 9], "n_positive": [90, 1]}
)
MARGINS = {"roc_auc": 0.01}


def rows(*given: tuple[str, str, str, float, str], half: float = 0.04) -> pd.DataFrame:
    """Rows of one site: paradigm, strategy, metric, difference, verdict."""
    names = ["paradigm", "strategy", "metric", "difference", "verdict"]
    table = pd.DataFrame(given, columns=names).assign(scope="country", country="A")
    return table.assign(low=table["difference"] - half, high=table["difference"] + half)


def test_what_is_better_is_recommended() -> None:
    own = rows(
        ("fine_tuned", "fedavg", "log_loss", -0.1, "better"),
        ("fine_tuned", "fedavg", "roc_auc", 0.0, "inconclusive"),
        ("adaptive", "trees", "roc_auc", 0.1, "better"),
        ("adaptive", "trees", "log_loss", 0.1, "worse"),
    )
    assert advice(own) == "Fine-tuned FedAvg better than federated"


def test_of_many_better_ones_the_best_two_are_named() -> None:
    own = rows(
        ("fine_tuned", "fedavg", "log_loss", -0.1, "better"),
        ("adaptive", "fedavg", "roc_auc", 0.1, "better"),
        ("adaptive", "trees", "log_loss", -0.2, "better"),
        ("fine_tuned", "trees", "log_loss", -0.3, "better"),
    )
    assert advice(own) == (
        "Fine-tuned boosted trees, Adaptive boosted trees and 2 more better than federated"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("inconclusive", "none significantly better than federated"),
        ("worse", "none significantly better than federated"),
        ("equivalent", "all equivalent to federated"),
    ],
)
def test_else_the_federated_model(verdict: str, words: str) -> None:
    assert advice(rows(("adaptive", "fedavg", "roc_auc", 0.0, verdict))) == words


def test_a_site_without_intervals_cannot_say() -> None:
    own = rows(("adaptive", "fedavg", "roc_auc", 0.0, ""), half=math.nan)
    assert advice(own) == "fewer than 10 test patients, too few to say"
    assert reasons(own, 4, MARGINS) == []


def test_reasons_name_what_is_worse_and_how_many_patients_would_tell() -> None:
    own = rows(
        ("local", "fedavg", "roc_auc", -0.1, "worse"),
        ("adaptive", "fedavg", "roc_auc", 0.0, "inconclusive"),
    )
    assert reasons(own, 300, MARGINS) == [
        "Worse than the federated model: Local.",
        "Its 300 patients leave open a difference in ROC-AUC of ± 0.040 around the estimate; to "
        "tell ± 0.01 would need about 4,800 patients.",
    ]
    assert reasons(own, 300, {}) == ["Worse than the federated model: Local."]


@given(st.integers(1, 50_000), st.floats(0.001, 0.5), st.floats(0.001, 0.1))
def test_so_many_patients_are_enough(patients: int, half: float, margin: float) -> None:
    needed = patients_needed(patients, half, margin)
    exact = patients * (half / margin) ** 2
    if needed is None:
        assert exact > 100_000
    else:
        assert exact * (1 - 1e-9) <= needed <= 1.1 * exact + 1


def test_a_table_of_each_models_differences() -> None:
    table = site_table(
        rows(
            ("adaptive", "fedavg", "roc_auc", 0.05, "better"),
            ("local", "fedavg", "log_loss", 0.1, "worse"),
        )
    )
    assert table.to_dict("records") == [
        {"Model": "Local", "Log-loss": "+0.1000 [+0.0600, +0.1400]", "by Log-loss": "worse",
         "ROC-AUC": "–", "by ROC-AUC": "–"},
        {"Model": "Adaptive FedAvg", "Log-loss": "–", "by Log-loss": "–",
         "ROC-AUC": "+0.050 [+0.010, +0.090]", "by ROC-AUC": "better"},
    ]  # fmt: skip


def test_a_block_per_site() -> None:
    source = {"kind": "own", "site": "hospital"}
    told = {"comparison": {"margin": MARGINS}}
    about = About(source, "hospital", "hospitals", COUNTRIES, "fedavg", told, {})
    own = rows(("adaptive", "fedavg", "roc_auc", 0.05, "better"), half=0.01)
    others = rows(("adaptive", "fedprox", "roc_auc", 0.5, "better"))
    known = pd.concat([own, others]).assign(reference="federated")
    known["reference_strategy"] = known["strategy"]
    content = your_site(about, known)
    assert content is not None
    blocks = [block for block in content if isinstance(block, Details)]
    assert [block.summary for block in blocks] == [
        "A (300 patients): Adaptive FedAvg better than federated",
        "B (4 patients): fewer than 10 test patients, too few to say",
    ]
    (table,) = (block for block in blocks[0].content if isinstance(block, Table))
    assert len(table.cells) == 1, "of networks one strategy is shown"
    assert [block.words for block in blocks[1].content] == ["4 patients, 9 episodes."]
    assert isinstance(content[0], Text)
    assert "Each hospital" in content[0].words
    assert your_site(about, known.assign(scope="pooled")) is None
