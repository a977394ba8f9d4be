"""Does a 95 % interval cover in 95 % of studies? Simulated cohorts whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from ms_pfl.evaluation import metrics
from ms_pfl.evaluation.bootstrap import draw_patients, intervals
from ms_pfl.evaluation.held_out import HeldOutRows

pytestmark = pytest.mark.slow
METRICS = {
    "roc_auc": roc_auc_score,
    "pr_auc": average_precision_score,
    "brier": brier_score_loss,
}
# test patients of a seed of the base registry, country by country: few large ones, many small
SIZES = (145, 100, 95, 62, 52, 50, 20, 15, 14, 9, 7, 6, 6, 5, 5, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1)


def cohort(random: np.random.Generator, sizes: tuple[int, ...]) -> pd.DataFrame:
    """Patients with 1 to 19 episodes, alike within a patient; risks of two correlated models."""
    patients = np.arange(sum(sizes))
    episodes = random.integers(1, 20, len(patients))
    patient = np.repeat(patients, episodes)
    n = len(patient)

    def alike(spread: float) -> np.ndarray:
        return random.normal(0, spread, len(patients))[patient]

    risk = -1.5 + alike(0.8) + random.normal(0, 0.8, n)
    common = risk + alike(0.7) + random.normal(0, 0.5, n)
    country = np.repeat(np.arange(len(sizes)), sizes)[patient]
    return pd.DataFrame(
        {
            "country": [f"c{c:02d}" for c in country],
            "patient_id": patient.astype(str),
            "label": (random.random(n) < 1 / (1 + np.exp(-risk))).astype(np.int8),
            "one": 1 / (1 + np.exp(-(common + random.normal(0, 0.4, n)))),
            "other": 1 / (1 + np.exp(-(0.9 * common + alike(0.4)))),
        }
    )


def columns(table: pd.DataFrame, seed: int, replicates: int) -> dict[str, np.ndarray]:
    rows = HeldOutRows.of(table, ("pooled",), draw_patients(table, replicates, seed))
    found = {}
    for metric in METRICS:
        chosen = [metrics.METRICS[metric]]
        one, other = (
            rows.score(table[model].to_numpy(), chosen)[metric, "pooled", ""]
            for model in ("one", "other")
        )
        found[metric], found[f"{metric} difference"] = one, one - other
    return found


@pytest.mark.timeout(1800)
def test_intervals_cover_the_truth_in_93_to_97_percent() -> None:
    population = cohort(np.random.default_rng(1), (60_000,))
    truth = {}
    for metric, function in METRICS.items():
        one, other = (function(population["label"], population[m]) for m in ("one", "other"))
        truth[metric], truth[f"{metric} difference"] = one, one - other
    covered = {name: 0 for name in truth}
    with threadpool_limits(1):
        for number in range(500):
            table = cohort(np.random.default_rng(10_000 + number), SIZES)
            for name, drawn in columns(table, number, 1000).items():
                low, high = intervals(drawn[None])[0]
                covered[name] += int(low <= truth[name] <= high)
    shares = {name: n / 500 for name, n in covered.items()}
    print(shares)
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.timeout(900)
def test_shuffled_labels_contain_one_half_in_92_to_98_percent() -> None:
    contained = 0
    for number in range(200):
        random = np.random.default_rng(number)
        table = cohort(random, SIZES)
        # whole patients are dealt other patients' labels, so that labels stay alike in a patient
        sizes = table.groupby("patient_id", sort=False).size()
        labels = [own.to_numpy() for _, own in table.groupby("patient_id", sort=False)["label"]]
        dealt = np.concatenate([labels[i] for i in random.permutation(len(labels))])
        table["label"] = dealt[: len(table)]
        assert sizes.sum() == len(dealt)
        rows = HeldOutRows.of(table, ("pooled",), draw_patients(table, 1000, number))
        scored = rows.score(table["one"].to_numpy(), [metrics.METRICS["roc_auc"]])
        drawn = scored["roc_auc", "pooled", ""]
        low, high = intervals(drawn[None])[0]
        contained += int(low <= 0.5 <= high)
    print(contained / 200)
    assert 0.92 <= contained / 200 <= 0.98
