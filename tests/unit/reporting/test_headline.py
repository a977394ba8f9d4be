"""The headline states what the tables say and no more."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from ms_pfl.evaluation.differences import COLUMNS
from ms_pfl.evaluation.inference import verdict as verdict_of
from ms_pfl.evaluation.inference import within
from ms_pfl.reporting.headline import headline

SITES = ("country", "countries")


MARGINS = {"roc_auc": 0.015, "brier": 0.001}


def pooled(paradigm: str, strategy: str, difference: float, half: float, **more: object) -> dict:
    row = {
        "paradigm": paradigm, "strategy": strategy, "reference": "federated",
        "reference_strategy": strategy, "scope": "pooled", "country": "", "metric": "roc_auc",
        "difference": difference, "low": difference - half, "high": difference + half,
        "p": 0.02, "role": "exploratory", **more,
    }  # fmt: skip
    sign, margin = (1, MARGINS["roc_auc"]) if row["metric"] == "roc_auc" else (-1, 0.001)
    bounds = row["low"], row["high"]
    return row | {
        "verdict": verdict_of(*bounds, sign, margin),
        "within_margin": within(*bounds, margin),
    }


def lines(*rows: dict, n_seeds: int = 3) -> list[str]:
    estimates = pd.DataFrame(
        [("federated", "fedavg", "pooled", "", "roc_auc", 0.7, 0.68, 0.72)],
        columns=["paradigm", "strategy", "scope", "country", "metric", "value", "low", "high"],
    )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return headline(estimates, table, SITES, n_seeds, MARGINS)


@pytest.mark.parametrize(
    ("difference", "half", "words"),
    [
        (0.003, 0.01,
         "Fine-tuned FedAvg and Federated FedAvg are equivalent: pooled ROC-AUC differs by +0.003 "
         "[-0.007, +0.013] (p 0.020), within ± 0.015."),
        (0.01, 0.02,
         "Whether Fine-tuned FedAvg is better or worse than Federated FedAvg is inconclusive: "
         "pooled ROC-AUC differs by +0.010 [-0.010, +0.030] (p 0.020)."),
        (0.03, 0.01,
         "Fine-tuned FedAvg is better than Federated FedAvg: pooled ROC-AUC +0.030 [+0.020, "
         "+0.040] (p 0.020)."),
        (-0.008, 0.002,
         "Fine-tuned FedAvg is worse than Federated FedAvg, by less than the margin of 0.015: "
         "pooled ROC-AUC -0.008 [-0.010, -0.006] (p 0.020)."),
        (0.01, math.nan, "Fine-tuned FedAvg against Federated FedAvg: pooled ROC-AUC differs by "
         "+0.010."),
    ],
)  # fmt: skip
def test_each_verdict_has_its_words(difference: float, half: float, words: str) -> None:
    assert lines(pooled("fine_tuned", "fedavg", difference, half))[0] == words


def test_the_primary_strategy_speaks_and_the_others_are_counted() -> None:
    said = lines(
        pooled("adaptive", "fedavg", 0.03, 0.01),
        pooled("adaptive", "fedprox", 0.02, 0.05, role="primary"),
        pooled("adaptive", "fedadam", -0.01, 0.05),
    )
    assert said[0].startswith("Whether Adaptive FedProx is better or worse than Federated FedProx ")
    assert said[0].endswith(
        "(p 0.020); over 3 strategies -0.010 to +0.030 (better in 1, inconclusive in 2)."
    )
    assert "Intervals and p of primary comparisons are simultaneous" in said[-1]
    assert "simultaneous" not in lines(pooled("adaptive", "fedavg", 0.03, 0.01))[-1]


def test_countries_are_counted_and_named() -> None:
    gains = {"A": 0.05, "B": -0.03, "C": 0.0, "D": 0.02}
    rows = [
        pooled("fine_tuned", "fedavg", gain, 0.01, scope="country", country=country)
        for country, gain in gains.items()
    ]
    few = pooled("fine_tuned", "fedavg", 0.2, math.nan, scope="country", country="E")
    said = lines(pooled("fine_tuned", "fedavg", 0.0, 0.01), *rows, few)
    assert said[1] == (
        "Of the 4 countries with at least 10 test patients, Fine-tuned FedAvg is, by ROC-AUC "
        "against the federated model, better in 2 (A, D), worse in 1 (B), equivalent in 1 (C); "
        "where nothing differs, about 0.2 are better or worse by chance."
    )


def test_the_studys_comparisons_come_before_further_methods() -> None:
    said = lines(
        pooled("scaffold", "fedavg", 0.03, 0.01),
        pooled("adaptive", "fedavg", 0.03, 0.01),
        pooled("federated", "fedavg", 0.03, 0.01, reference="local", reference_strategy="none"),
    )
    starts = ("Adaptive FedAvg", "Federated FedAvg is better than local", "SCAFFOLD")
    assert all(line.startswith(start) for line, start in zip(said, starts, strict=False)), said


def test_federated_training_stands_against_the_others() -> None:
    said = lines(
        pooled("federated", "fedavg", 0.05, 0.01, reference="local", reference_strategy="none"),
        pooled(
            "federated", "fedavg", -0.01, 0.3, reference="centralized", reference_strategy="pooled"
        ),
    )
    assert said[0].startswith("Federated FedAvg is better than local training: pooled ROC-AUC")
    assert said[1].startswith("Whether Federated FedAvg is better or worse than centralized tr")


def test_recalibration_and_what_is_beyond_it() -> None:
    brier = {"metric": "brier"}
    said = lines(
        pooled("recalibrated", "fedavg", -0.002, 0.01, **brier),
        pooled("adaptive", "fedavg", 0.001, 0.01, **brier, reference="recalibrated"),
    )
    assert said[0] == (
        "Recalibrating the Federated FedAvg model by one intercept per country changes its Brier "
        "score (lower is better) by -0.0020 [-0.0120, +0.0080]; against that recalibrated model: "
        "adaptive +0.0010 [-0.0090, +0.0110]."
    )


def test_recalibration_that_does_harm_is_not_the_only_one_to_beat() -> None:
    brier = {"metric": "brier"}
    said = lines(
        pooled("recalibrated", "fedavg", 0.004, 0.01, **brier),
        pooled("recalibrated_slope", "fedavg", 0.009, 0.01, **brier),
        pooled("adaptive", "fedavg", -0.003, 0.01, **brier, reference="recalibrated"),
        pooled("adaptive", "fedavg", 0.001, 0.01, **brier),
    )
    assert said[0] == (
        "Recalibrating the Federated FedAvg model by one intercept per country changes its Brier "
        "score (lower is better) by +0.0040 [-0.0060, +0.0140]; against that recalibrated model: "
        "adaptive -0.0030 [-0.0130, +0.0070]; against the federated model itself: adaptive "
        "+0.0010 [-0.0090, +0.0110]."
    )


def test_one_country_alone() -> None:
    said = lines(
        pooled("fine_tuned", "fedavg", 0.0, 1.0),
        pooled("fine_tuned", "fedavg", 0.05, 0.01, scope="country", country="A"),
    )
    assert said[1].startswith("Of the one country with at least 10 test patients, Fine-tuned")


def test_without_an_interval_none_is_shown() -> None:
    estimates = pd.DataFrame(
        [("federated", "fedavg", "pooled", "", "roc_auc", 0.7, math.nan, math.nan)],
        columns=["paradigm", "strategy", "scope", "country", "metric", "value", "low", "high"],
    )
    said = headline(estimates, pd.DataFrame(columns=COLUMNS), SITES, 1)
    assert said[0].startswith(
        "The highest pooled ROC-AUC is that of Federated FedAvg, 0.700; no model"
    )


def test_the_highest_and_the_meaning_of_it_all() -> None:
    said = lines()
    assert said[0] == (
        "The highest pooled ROC-AUC is that of Federated FedAvg, 0.700 [0.680, 0.720]; no model "
        "has a macro ROC-AUC."
    )
    assert said[-1].startswith("Values are means over 3 seeds")
    assert lines(n_seeds=1)[-1].startswith("Values are of one seed")


def test_a_whole_comparison(findings: SimpleNamespace) -> None:
    said = " ".join(findings.headline)
    assert "nan" not in said
    assert not re.search(r"-0\.0+(?!\d)", said), "no minus zero"
    assert "significan" not in said
