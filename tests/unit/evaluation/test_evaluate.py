"""The engine against a plain loop that repeats rows, and against scipy's bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from ms_pfl.evaluation.bootstrap import Draws, StandIn, draw_patients, intervals
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.held_out import Values, sizes_counted
from ms_pfl.evaluation.metrics import METRICS
from patients_factory import clustered

EPSILON = np.finfo(float).eps
COUNTRIES = ("pooled", "country")


def fit(table: pd.DataFrame, draws: Draws, by: tuple[str, ...] = COUNTRIES) -> Values:
    """All values of a single fit."""
    table = table.assign(paradigm="local", strategy="none", seed=0)
    return evaluate(table, by, draws).values["local", "none"]


def whole(table: pd.DataFrame, replicates: int, seed: int) -> Draws:
    """Whole weights, as drawing n of n patients gives, so that rows can be repeated."""
    drawn = draw_patients(table, replicates, seed)
    random = np.random.default_rng(seed)
    weights = drawn.weights.copy()
    weights[:, 1:] = random.integers(0, 3, size=weights[:, 1:].shape)
    return replace(drawn, weights=weights)


def test_a_replicate_is_the_metric_of_the_drawn_patients_rows() -> None:
    """A plain loop: repeat each patient's rows as often as it was drawn, then score."""
    table = clustered()
    draws = whole(table, 30, seed=1)
    found = fit(table, draws)
    roc_auc = roc_auc_score(table["label"], table["probability"])
    assert found["roc_auc", "pooled", ""][0] == roc_auc
    defined = {key[0]: set() for key in found}
    for (metric, scope, country), columns in found.items():
        if scope == "country" and not np.isnan(columns[0]):
            defined[metric].add(country)
    assert defined["roc_auc"] == {"c0", "c1"}
    assert defined["brier"] == {"c0", "c1", "c2"}
    assert ("calibration_error", "pooled", "") not in found
    for number in range(1, 31):
        times = dict(zip(draws.patients, draws.weights[:, number], strict=True))
        parts = [
            rows
            for key, rows in table.groupby(["country", "patient_id"])
            for _ in range(int(times[key]))
        ]
        drawn = pd.concat(parts)
        for metric, function in (
            ("roc_auc", roc_auc_score),
            ("pr_auc", average_precision_score),
            ("brier", brier_score_loss),
            ("log_loss", log_loss),
        ):
            pooled = function(drawn["label"], drawn["probability"].clip(EPSILON, 1 - EPSILON))
            assert found[metric, "pooled", ""][number] == pytest.approx(pooled, rel=1e-9)
            own = drawn[drawn["country"] == "c0"]
            if own["label"].nunique() == 2:
                value = function(own["label"], own["probability"])
                assert found[metric, "country", "c0"][number] == pytest.approx(value, rel=1e-9)
        observed = drawn["label"].sum() / drawn["probability"].sum()
        assert found["observed_expected", "pooled", ""][number] == pytest.approx(observed)
    own = [found["roc_auc", "country", c] for c in ("c0", "c1")]
    np.testing.assert_allclose(found["roc_auc", "macro", ""], np.mean(own, axis=0))
    sizes = table["country"].value_counts()
    by_hand = sum(found["brier", "country", c][0] * n for c, n in sizes.items()) / len(table)
    assert found["brier", "weighted", ""][0] == pytest.approx(by_hand)
    assert found["brier", "pooled", ""][0] == pytest.approx(by_hand)


def test_levels_are_scored_on_their_own_rows_and_missing_ones_left_out() -> None:
    table = clustered()
    level = pd.Categorical.from_codes(np.arange(len(table)) % 3 - 1, ["x", "y"])
    draws = whole(table, 10, seed=2)
    found = fit(table.assign(Kind=level), draws, ("Kind",))
    assert {key[1:] for key in found} == {("Kind", "x"), ("Kind", "y")}
    own = table[level == "y"]
    weights = draws.weights[draws.positions(own)]
    for number in range(11):
        expected = roc_auc_score(own["label"], own["probability"], sample_weight=weights[:, number])
        assert found["roc_auc", "Kind", "y"][number] == pytest.approx(expected, rel=1e-9)


def pooled_roc_auc(table: pd.DataFrame, replicates: int) -> np.ndarray:
    return fit(table, draw_patients(table, replicates, seed=0))["roc_auc", "pooled", ""]


def test_without_clusters_the_interval_is_scipys() -> None:
    """One episode a patient, one country: the percentile interval of scipy.stats.bootstrap."""
    random = np.random.default_rng(5)
    label = (random.random(300) < 0.4).astype(int)
    score = random.normal(label)
    table = pd.DataFrame(
        {"country": "c", "patient_id": [f"p{i}" for i in range(300)], "label": label,
         "probability": score}
    )  # fmt: skip
    found = intervals(pooled_roc_auc(table, 4000)[None])[0]
    expected = stats.bootstrap(
        (label, score), roc_auc_score, paired=True, vectorized=False, n_resamples=1000,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_clusters_widen_the_interval() -> None:
    """Twelve copies of each patient's episode tell no more than one."""
    random = np.random.default_rng(5)
    label = (random.random(60) < 0.4).astype(int)
    one = pd.DataFrame({"country": "c", "label": label, "probability": random.normal(label)})
    one["patient_id"] = [f"p{i}" for i in range(60)]
    spread = [pooled_roc_auc(table, 800)[1:].std() for table in (one, pd.concat([one] * 12))]
    assert spread[1] == pytest.approx(spread[0], rel=1e-9)


def test_a_seed_without_a_value_is_left_out_of_the_mean() -> None:
    table = pd.DataFrame(
        {
            "paradigm": "local", "strategy": "none", "seed": [0, 0, 1, 1, 1], "country": "A",
            "patient_id": list("abcde"), "label": [0, 0, 1, 0, 1],
            "probability": [0.1, 0.2, 0.6, 0.5, 0.4],
        }
    )  # fmt: skip
    values = evaluate(table, COUNTRIES).values["local", "none"]
    for scope, country in (("pooled", ""), ("macro", ""), ("country", "A")):
        assert values["roc_auc", scope, country].tolist() == [0.5]
    nowhere = evaluate(table[table["seed"] == 0], COUNTRIES)
    assert np.isnan(nowhere.values["local", "none"]["roc_auc", "pooled", ""]).all()
    assert nowhere.differences([(("local", "none"), ("local", "none"))])["metric"].tolist() == [
        "brier", "brier", "brier", "brier", "log_loss", "log_loss", "log_loss", "log_loss",
        "calibration_error", "calibration_error", "observed_expected", "observed_expected",
    ]  # fmt: skip


def test_fits_on_other_rows_are_weighed_by_their_own() -> None:
    """Two fits of a seed on different test rows: each as if it were alone."""
    table = clustered(countries=2).assign(strategy="fedavg", seed=0)
    half = table[np.arange(len(table)) % 2 == 0]
    both = pd.concat([table.assign(paradigm="federated"), half.assign(paradigm="adaptive")])
    draws = draw_patients(table, 50, 0)
    found = evaluate(both, COUNTRIES, draws).values
    for paradigm, rows in (("federated", table), ("adaptive", half)):
        alone = evaluate(rows.assign(paradigm=paradigm), COUNTRIES, draws).values
        for key, columns in alone[paradigm, "fedavg"].items():
            np.testing.assert_array_equal(found[paradigm, "fedavg"][key], columns)


def test_a_country_weighs_as_in_the_replicate_that_stands_in() -> None:
    sources = {"A": StandIn(np.array([0, 2, 2])), "B": StandIn(np.array([0, 2, 1]), "A", 2.0)}
    own = {"A": np.array([10.0, 0.0, 12.0]), "B": np.array([4.0, 3.0, 0.0])}
    sizes = sizes_counted(sources, own)
    assert sizes["A"].tolist() == [10.0, 12.0, 12.0]
    assert sizes["B"].tolist() == [4.0, 4.0, 4.0], "who borrows weighs as observed"


@pytest.mark.parametrize(
    ("patients", "few"), [((6, 4), False), ((6, 3), True), ((9, 1, 1, 1, 1), True)]
)
def test_few_patients_give_no_interval(patients: tuple[int, ...], few: bool) -> None:
    country = np.repeat([f"c{i}" for i in range(len(patients))], patients)
    table = pd.DataFrame(
        {
            "paradigm": "local", "strategy": "none", "seed": 0, "country": country,
            "patient_id": [f"p{i}" for i in range(len(country))],
            "label": np.arange(len(country)) % 2,
            "probability": np.linspace(0.1, 0.9, len(country)),
        }
    )  # fmt: skip
    brier = [METRICS["brier"]]
    found = evaluate(table, COUNTRIES, draw_patients(table, 50, 0), metrics=brier).intervals()
    by_scope = found.set_index("scope")["low"]
    assert by_scope[["pooled", "macro", "weighted"]].isna().tolist() == [few] * 3
    assert by_scope["country"].isna().all()


def test_an_interval_that_does_not_hold_its_value_is_not_given() -> None:
    """Resampling then biases the value by more than chance moves it."""
    table = clustered().assign(paradigm="local", strategy="none", seed=0)
    found = evaluate(table, COUNTRIES, draw_patients(table, 100, 0))
    replicates = np.linspace(0.4, 0.6, 100)
    names = [("roc_auc", "pooled", "")] * 3
    drawn = np.array([np.r_[value, replicates] for value in (0.5, 0.3, 0.7)])
    held, below, above = found.bounds(names, drawn)
    np.testing.assert_allclose(held, np.percentile(replicates, [2.5, 97.5]))
    assert np.isnan([*below, *above]).all()
    own = found.intervals().dropna(subset=["low"])
    assert len(own)
    assert own["value"].between(own["low"] - 1e-12, own["high"] + 1e-12).all()
