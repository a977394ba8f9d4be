"""The headline states what the numbers say and no more."""

from __future__ import annotations

import pandas as pd
import pytest

from ms_pfl.evaluation.comparison import summarize
from ms_pfl.reporting.headline import headline


def table(values: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"paradigm": p, "strategy": s, "seed": seed, "scope": scope, "country": "",
             "metric": "roc_auc", "value": value, "n_episodes": 10, "n_positive": 4,
             "n_countries": 2, "n_left_out": 0}
            for (p, s), own in values.items()
            for seed, value in enumerate(own)
            for scope in ("pooled", "macro", "weighted")
        ]
    )  # fmt: skip


def lines(values: dict[tuple[str, str], list[float]]) -> list[str]:
    metrics = table(values)
    return headline(metrics, summarize(metrics))


VALUES = {
    ("local", "none"): [0.70, 0.72],
    ("federated", "fedavg"): [0.75, 0.74],
    ("fine_tuned", "fedavg"): [0.78, 0.79],
    ("federated", "fedprox"): [0.77, 0.77],
}


def test_differences_are_paired_by_seed() -> None:
    # over local: .08 and .07; over federated: .03 and .05
    assert lines(VALUES)[0] == (
        "Fine-tuned FedAvg has the highest pooled ROC-AUC: 0.785 ± 0.007; "
        "0.075 ± 0.007 above Local and 0.040 ± 0.014 above Federated FedAvg."
    )
    assert lines(VALUES)[1].startswith("Fine-tuned FedAvg has the highest macro ROC-AUC")


def test_centralized_is_held_against_the_best_federated_model() -> None:
    text = lines(VALUES | {("centralized", "pooled"): [0.80, 0.80]})[0]
    assert text == (
        "Centralized has the highest pooled ROC-AUC: 0.800 ± 0.000; "
        "0.090 ± 0.014 above Local and 0.030 ± 0.000 above Federated FedProx."
    )


def test_a_reference_on_top_is_not_held_against_itself() -> None:
    text = lines(VALUES | {("local", "none"): [0.9, 0.9]})[0]
    assert text == (
        "Local has the highest pooled ROC-AUC: 0.900 ± 0.000; "
        "0.130 ± 0.000 above Federated FedProx."
    )


def test_one_paradigm_alone() -> None:
    only = {("adaptive", "fedavg"): [0.7, 0.7]}
    assert lines(only)[0] == "Adaptive FedAvg has the highest pooled ROC-AUC: 0.700 ± 0.000."


def test_one_seed_shows_no_spread_and_says_so() -> None:
    text = lines({model: values[:1] for model, values in VALUES.items()})
    assert "±" not in " ".join(text)
    assert text[-1].startswith("One seed only")


def test_undefined_everywhere() -> None:
    assert lines({("local", "none"): [float("nan")]})[0].startswith("No model has a pooled ROC-AUC")


@pytest.mark.parametrize("word", ["significant difference", "better", "worse", "superior"])
def test_no_claim_beyond_the_numbers(word: str) -> None:
    text = " ".join(lines(VALUES))
    assert word not in text
    assert "not a confidence interval" in text
