"""The headline states what the tables say and no more."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from ms_pfl.evaluation.evaluate import DIFFERENCES_COLUMNS
from ms_pfl.reporting.headline import headline

SITES = ("country", "countries")


def pooled(paradigm: str, strategy: str, difference: float, p: float, **more: object) -> dict:
    return {
        "paradigm": paradigm, "strategy": strategy, "reference": "federated",
        "reference_strategy": strategy, "scope": "pooled", "country": "", "metric": "roc_auc",
        "difference": difference, "low": difference - 0.01, "high": difference + 0.01,
        "p": p, "p_holm": p, **more,
    }  # fmt: skip


def lines(*rows: dict, n_seeds: int = 3, replicates: int = 1000) -> list[str]:
    estimates = pd.DataFrame(
        [("federated", "fedavg", "pooled", "", "roc_auc", 0.7, 0.68, 0.72)],
        columns=["paradigm", "strategy", "scope", "country", "metric", "value", "low", "high"],
    )
    table = pd.DataFrame(rows, columns=DIFFERENCES_COLUMNS)
    return headline(estimates, table, SITES, n_seeds, replicates)


def test_no_difference_is_said_to_be_none() -> None:
    said = lines(pooled("fine_tuned", "fedavg", 0.003, 0.4))
    assert said[0] == (
        "Fine-tuned is not told apart from plain federated training: pooled ROC-AUC "
        "+0.003 [-0.007, +0.013] with FedAvg (p 0.400)."
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([(0.03, 0.01), (0.02, 0.02)], "does better than plain federated training: "),
        ([(0.03, 0.01), (0.02, 0.2)], "does better than plain federated training in 1 of 2 "),
        ([(-0.03, 0.01), (0.02, 0.2)], "does worse than plain federated training in 1 of 2 "),
        ([(-0.03, 0.01), (0.02, 0.01)], "does better than plain federated training in 1 and worse"),
        ([(-0.03, 0.06), (0.02, 0.051)], "is not told apart from plain federated training: "),
    ],
)
def test_only_an_adjusted_p_makes_a_difference(
    found: list[tuple[float, float]], words: str
) -> None:
    rows = [
        pooled("adaptive", strategy, *own)
        for strategy, own in zip(("fedavg", "fedprox"), found, strict=True)
    ]
    said = lines(*rows)[0]
    assert said.startswith(f"Adaptive {words}")
    values = [difference for difference, _ in found]
    assert f"{min(values):+.3f} to {max(values):+.3f} over 2 strategies" in said


def test_countries_are_counted_and_named() -> None:
    gains = {"A": 0.05, "B": -0.03, "C": 0.0, "D": 0.02}
    rows = [
        pooled("fine_tuned", "fedavg", gain, math.nan, scope="country", country=country)
        for country, gain in gains.items()
    ]
    few = pooled("fine_tuned", "fedavg", 0.2, math.nan, scope="country", country="E")
    said = lines(
        pooled("fine_tuned", "fedavg", 0.0, 1.0), *rows, few | {"low": math.nan, "high": math.nan}
    )
    assert said[1] == (
        "Of the 4 countries with at least 10 test patients, the interval of Fine-tuned FedAvg's "
        "gain in ROC-AUC over the federated model lies above 0 in 2 (A, D) and below 0 in 1 (B); "
        "about 0.2 would by chance."
    )


def test_federated_training_stands_against_the_others() -> None:
    said = lines(
        pooled("federated", "fedavg", 0.05, 0.01, reference="local"),
        pooled("federated", "fedavg", -0.01, 0.3, reference="centralized"),
    )
    assert said[0].startswith("Federated FedAvg does better than local training: pooled ROC-AUC")
    assert said[1].startswith("Federated FedAvg is not told apart from centralized training")


def test_recalibration_and_what_is_beyond_it() -> None:
    brier = {"metric": "brier"}
    said = lines(
        pooled("recalibrated", "fedavg", -0.002, 0.5, **brier),
        pooled("adaptive", "fedavg", 0.001, 0.5, **brier, reference="recalibrated"),
    )
    assert said[0] == (
        "Recalibrating the Federated FedAvg model by one intercept a country changes its Brier "
        "score (lower is better) by -0.0020 [-0.0120, +0.0080]; against that recalibrated model: "
        "adaptive +0.0010 [-0.0090, +0.0110]."
    )


def test_recalibration_that_does_harm_is_not_the_only_one_to_beat() -> None:
    brier = {"metric": "brier"}
    said = lines(
        pooled("recalibrated", "fedavg", 0.004, 0.02, **brier),
        pooled("recalibrated_slope", "fedavg", 0.009, 0.02, **brier),
        pooled("adaptive", "fedavg", -0.003, 0.02, **brier, reference="recalibrated"),
        pooled("adaptive", "fedavg", 0.001, 0.5, **brier),
    )
    assert said[0] == (
        "Recalibrating the Federated FedAvg model by one intercept a country changes its Brier "
        "score (lower is better) by +0.0040 [-0.0060, +0.0140]; against that recalibrated model: "
        "adaptive -0.0030 [-0.0130, +0.0070]; against the federated model itself: adaptive "
        "+0.0010 [-0.0090, +0.0110]."
    )


def test_too_few_draws_to_tell_anything_apart_are_owned_up_to() -> None:
    rows = [pooled("adaptive", f"s{i}", 0.1, 0.1) for i in range(10)]
    rows.append(pooled("recalibrated", "s0", 0.1, 0.1))  # a family of its own
    said = " ".join(lines(*rows, replicates=200))
    # 10 * 2 / 201
    assert (
        "with 200 draws, where 10 models are compared with the same one, no adjusted p can be "
        in said
    )
    assert "below 0.100; set comparison.replicates to at least 400." in said
    assert "Too few draws" in " ".join(lines(*rows, replicates=399))  # 20 / 400 is LEVEL
    assert "Too few draws" not in " ".join(lines(*rows, replicates=400))


def test_one_country_alone() -> None:
    said = lines(
        pooled("fine_tuned", "fedavg", 0.0, 1.0),
        pooled("fine_tuned", "fedavg", 0.05, math.nan, scope="country", country="A"),
    )
    assert said[1].startswith("Of the one country with at least 10 test patients, the interval of")


def test_without_an_interval_none_is_shown() -> None:
    estimates = pd.DataFrame(
        [("federated", "fedavg", "pooled", "", "roc_auc", 0.7, math.nan, math.nan)],
        columns=["paradigm", "strategy", "scope", "country", "metric", "value", "low", "high"],
    )
    said = headline(estimates, pd.DataFrame(columns=DIFFERENCES_COLUMNS), SITES, 1)
    assert said[0].startswith("The highest pooled ROC-AUC is Federated FedAvg's, 0.700; no model")


def test_the_highest_and_the_meaning_of_it_all() -> None:
    said = lines()
    assert said[0] == (
        "The highest pooled ROC-AUC is Federated FedAvg's, 0.700 [0.680, 0.720]; no model has a "
        "macro ROC-AUC."
    )
    assert said[-1].startswith("Values are means over 3 seeds")
    assert lines(n_seeds=1)[-1].startswith("Values are of one seed")


def test_a_whole_comparison(findings: SimpleNamespace) -> None:
    said = " ".join(findings.headline)
    assert "nan" not in said
    assert "-0.000" not in said
    assert "significan" not in said
