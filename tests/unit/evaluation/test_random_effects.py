"""Random effects against statsmodels, by hand, and how often a further country is covered."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t
from statsmodels.stats.meta_analysis import combine_effects

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS, draw_patients
from ms_pfl.evaluation.evaluate import Estimates, evaluate
from ms_pfl.evaluation.further_country import COLUMNS, further_country
from ms_pfl.evaluation.inference import standard_errors
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.evaluation.random_effects import (
    _q,
    between_variance,
    between_variance_interval,
    combine,
)
from ms_pfl.evaluation.scoring import check_predictions


@given(
    st.lists(
        st.tuples(st.floats(-1, 1), st.floats(0.05, 0.5)), min_size=3, max_size=20, unique=True
    )
)
def test_it_is_what_statsmodels_has(rows: list[tuple[float, float]]) -> None:
    y, errors = np.array(rows).T
    found = combine(y, errors)
    assert found is not None
    v = errors**2
    if found.tau > 0:
        assert _q(y, v, found.tau**2) == pytest.approx(len(y) - 1, rel=1e-6)
    else:
        assert _q(y, v, 0) <= len(y) - 1
    told = combine_effects(y, errors**2, method_re="iterated", use_t=True, atol=1e-11, maxiter=2000)
    # its iteration at times ends at 0 where that solves nothing
    assume(told.tau2 > 0 or _q(y, v, 0) <= len(y) - 1)
    assert found.tau**2 == pytest.approx(told.tau2, abs=1e-6)
    assert found.mean == pytest.approx(told.mean_effect_re, abs=1e-6)
    assert found.se == pytest.approx(told.sd_eff_w_re_hksj, abs=1e-6)


def test_one_summary_by_hand() -> None:
    # equal standard errors: tau^2 = sample variance - v, the mean is the plain one
    y = np.array([0.1, 0.3, 0.35, 0.65])
    found = combine(y, np.full(4, 0.1))
    assert found is not None
    variance = y.var(ddof=1)
    assert found.tau**2 == pytest.approx(variance - 0.01)
    assert found.se == pytest.approx(math.sqrt(variance / 4))
    assert found.mean_high == pytest.approx(y.mean() + t.ppf(0.975, 3) * found.se)
    far = t.ppf(0.975, 2) * math.sqrt(found.tau**2 + found.se**2)
    assert (found.low, found.high) == (pytest.approx(0.35 - far), pytest.approx(0.35 + far))
    half = found.probability_above(0.35)
    assert half == pytest.approx(0.5)
    assert found.probability_above(found.high) == pytest.approx(0.025)


def test_the_q_profile_is_where_q_is_a_quantile_of_chi_square() -> None:
    random = np.random.default_rng(5)
    v = random.uniform(0.01, 0.05, 12)
    y = random.normal(0, 0.3, 12) + random.normal(0, np.sqrt(v))
    low, high = between_variance_interval(y, v)
    assert 0 < low < between_variance(y, v) < high
    assert _q(y, v, low) == pytest.approx(21.920, abs=1e-3)  # chi-square, 11: .975 and .025
    assert _q(y, v, high) == pytest.approx(3.816, abs=1e-3)


def test_too_few_countries_and_countries_without_spread() -> None:
    assert combine(np.array([0.1, 0.2]), np.array([0.1, 0.1])) is None
    assert combine(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.1, 0.0])) is None
    four = combine(np.array([0.1, 0.2, 0.3, 9.0]), np.array([0.1, 0.1, 0.1, 0.0]))
    assert four is not None
    assert four.k == 3
    same = combine(np.zeros(5), np.zeros(5))
    assert same is not None
    assert (same.low, same.high, same.tau) == (0, 0, 0)
    assert (same.probability_above(0.0), same.probability_above(-0.01)) == (0, 1)


# -- the table -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimates(predictions: pd.DataFrame) -> Estimates:
    chosen = predictions[predictions["strategy"].isin(["none", "fedavg"])]
    test = check_predictions(chosen)
    return evaluate(test, ("pooled", "country"), draw_patients(test, 100, 0))


MARGINS = {"roc_auc": 0.01, "log_loss": 0.002}
GOOD = {"roc_auc": (0.7, 1.0), "observed_expected": (0.8, 1.25)}


def test_values_and_differences_of_a_further_country(estimates: Estimates) -> None:
    table = further_country(estimates, MARGINS, GOOD)
    assert list(table.columns) == COLUMNS
    values = table[table["reference"] == ""].set_index(["paradigm", "metric"])
    own = {
        country: columns
        for (metric, scope, country), columns in estimates.values["federated", "fedavg"].items()
        if (metric, scope) == ("roc_auc", "country")
        and not np.isnan(columns[0])
        and estimates.patients["country", country] >= MIN_PATIENTS
    }
    stacked = np.array(list(own.values()))
    auc = stacked[:, 0]
    by_hand = combine(np.log(auc / (1 - auc)), standard_errors(stacked) / (auc * (1 - auc)))
    assert by_hand is not None
    row = values.loc["federated", "roc_auc"]
    assert row["n_countries"] == by_hand.k == len(own)
    assert row["low"] == pytest.approx(1 / (1 + math.exp(-by_hand.low)))
    assert row["mean"] == pytest.approx(1 / (1 + math.exp(-by_hand.mean)))
    assert row["tau"] == pytest.approx(by_hand.tau)
    assert row["probability_good"] == pytest.approx(by_hand.probability_above(math.log(7 / 3)))
    assert row["verdict"] == ""
    known = values.loc["federated", "observed_expected"]
    assert known["scale"] == "log"
    assert 0 < known["low"] < known["mean"] < known["high"]
    assert (values["low"].dropna() > 0).all()

    gained = table[table["reference"] != ""]
    assert set(gained["metric"]) == {"roc_auc", "brier", "log_loss"}
    for row in gained.dropna(subset=["low"]).to_dict("records"):
        assert row["low"] <= row["mean_low"] <= row["mean"] <= row["mean_high"] <= row["high"]
        assert row["tau_low"] <= row["tau"] <= row["tau_high"]
        if row["metric"] in MARGINS:
            assert row["probability_good"] >= row["probability_better"]
        better = METRICS[row["metric"]].sign * row["mean"] > 0
        assert (row["probability_better"] > 0.5) == better
        assert (row["verdict"] == "better") == (row["probability_better"] > 0.975)


@pytest.mark.parametrize(
    ("good", "said"),
    [({"pr_auc": (0, 1)}, "no further country is expected"), ({"roc_auc": (0.9, 0.7)}, "lowest")],
)
def test_impossible_ranges_are_refused(good: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ComparisonParameters(replicates=100, seed=0, thresholds=(0.2,), good=good)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_further_country_is_covered_as_announced() -> None:
    random = np.random.default_rng(20_260_104)
    cohorts = 4_000
    for k in (14, 32):
        # a few large countries and many small ones
        shape = np.exp(np.linspace(-1, 1, k))
        for tau, largest in ((0.0, 1.0), (1.0, 0.5), (1.0, 1.0), (1.0, 2.0), (1.0, 4.0)):
            errors = shape / shape.max() * largest
            covered = 0
            for _ in range(cohorts):
                true = random.normal(0.3, tau, k + 1)
                found = combine(true[:k] + random.normal(0, errors), errors)
                assert found is not None
                covered += found.low <= true[k] <= found.high
            share = covered / cohorts
            print(f"{k} countries, tau {tau:g}, standard errors up to {largest:g}: {share:.1%}")
            if tau == 0 or largest <= tau / 2:
                assert 0.92 <= share <= 0.97
