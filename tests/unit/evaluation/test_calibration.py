"""Calibration measures by hand and against statsmodels and scikit-learn; recalibration by scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve

from ms_pfl.errors import InputError
from ms_pfl.evaluation.calibration import (
    calibration_intercept,
    calibration_slope,
    expected_calibration_error,
    logit,
    observed_expected,
    reliability,
    weighted_recalibration,
)
from ms_pfl.evaluation.recalibration import fit_recalibration, recalibrate


def risks(n: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> tuple[np.ndarray, ...]:
    """Labels drawn from known risks, and risks that are shifted and spread in logits."""
    random = np.random.default_rng(seed)
    x = random.normal(-1, 1.2, n)
    labels = (random.random(n) < 1 / (1 + np.exp(-x))).astype(np.int8)
    return labels, 1 / (1 + np.exp(-(shift + spread * x)))


def test_known_probabilities_have_slope_1_and_intercept_0() -> None:
    labels, p = risks(200_000, 0)
    assert calibration_slope(labels, p) == pytest.approx(1, abs=0.015)
    assert calibration_intercept(labels, p) == pytest.approx(0, abs=0.015)
    assert observed_expected(labels, p) == pytest.approx(1, abs=0.01)
    assert expected_calibration_error(labels, p) < 0.005


def test_shifted_and_spread_risks_are_seen() -> None:
    labels, p = risks(200_000, 0, shift=0.5)
    assert calibration_intercept(labels, p) == pytest.approx(-0.5, abs=0.02)
    labels, p = risks(200_000, 0, spread=2)
    assert calibration_slope(labels, p) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_logistic_recalibration_is_that_of_statsmodels(seed: int) -> None:
    labels, p = risks(150, seed, shift=0.3, spread=1.4)
    x = logit(p)
    both = sm.Logit(labels, sm.add_constant(x)).fit(disp=0).params
    assert calibration_slope(labels, p) == pytest.approx(both[1], rel=1e-5)
    offset = sm.GLM(labels, np.ones(150), family=sm.families.Binomial(), offset=x).fit().params
    assert calibration_intercept(labels, p) == pytest.approx(offset[0], rel=1e-5)


def test_weighted_recalibration_is_that_of_repeated_rows() -> None:
    labels, p = risks(300, 3, shift=0.3, spread=1.4)
    clusters = np.repeat(np.arange(60), 5)
    weights = np.random.default_rng(0).integers(0, 4, size=(60, 20)).astype(np.float32)
    intercept, slope = weighted_recalibration(labels, logit(p), weights, clusters)
    for column, own in enumerate(weights.T):
        times = own[clusters].astype(int)
        y, q = np.repeat(labels, times), np.repeat(p, times)
        assert slope[column] == pytest.approx(calibration_slope(y, q), abs=2e-4)
        assert intercept[column] == pytest.approx(calibration_intercept(y, q), abs=2e-4)


@pytest.mark.parametrize("shift", [-9.0, -5.0, -3.0, 3.0, 7.0])
def test_however_wrong_the_risks_the_intercept_is_found(shift: float) -> None:
    random = np.random.default_rng(0)
    x, labels = random.normal(shift, 0.5, 400), (random.random(400) < 0.5).astype(int)
    p = 1 / (1 + np.exp(-x))
    offset = sm.GLM(labels, np.ones(400), family=sm.families.Binomial(), offset=x)
    expected = offset.fit(start_params=[-shift]).params[0]
    both = sm.Logit(labels, sm.add_constant(x)).fit(disp=0).params
    assert calibration_intercept(labels, p) == pytest.approx(expected, rel=1e-5)
    assert calibration_slope(labels, p) == pytest.approx(both[1], rel=1e-5)
    weights = np.ones((400, 2), dtype=np.float32)
    intercept, slope = weighted_recalibration(labels, logit(p), weights, np.arange(400))
    assert intercept == pytest.approx([expected] * 2, abs=2e-4)
    assert slope == pytest.approx([both[1]] * 2, abs=2e-4)


def test_certain_risks_that_err() -> None:
    # one of the three that are certain is wrong: sum of sigmoid(36.04 + a) over them is 2
    labels, p = np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 1.0, 1.0])
    certain = -np.log(np.finfo(float).eps)
    assert calibration_intercept(labels, p) == pytest.approx(np.log(2) - certain, abs=1e-3)


def test_a_draw_of_one_class_has_no_intercept() -> None:
    labels, p = np.array([0, 1, 1]), np.array([0.2, 0.5, 0.6])
    weights = np.array([[1, 0], [1, 2], [1, 1]], dtype=np.float32)
    intercept, slope = weighted_recalibration(labels, logit(p), weights, np.arange(3))
    assert np.isfinite(intercept[0])
    assert np.isnan(intercept[1])
    assert np.isnan(slope[1])


def test_what_does_not_exist_is_nan() -> None:
    p = np.array([0.1, 0.3, 0.7, 0.9])
    one_class, apart = np.zeros(4, dtype=int), np.array([0, 0, 1, 1])
    assert np.isnan(calibration_intercept(one_class, p))
    assert np.isnan(calibration_slope(one_class, p))
    assert np.isnan(calibration_slope(apart, p)), "the classes are told apart without error"
    assert np.isfinite(calibration_intercept(apart, p))
    assert np.isnan(calibration_slope(np.array([0, 1, 0, 1]), np.full(4, 0.3)))
    nothing = np.array([], dtype=int), np.array([])
    assert np.isnan(expected_calibration_error(*nothing))
    assert np.isnan(observed_expected(*nothing))


def test_bins_are_those_of_scikit_learn() -> None:
    labels, p = risks(1000, 1, spread=1.5)
    observed, predicted = calibration_curve(labels, p, n_bins=10, strategy="quantile")
    found = reliability(labels, p, 10)
    np.testing.assert_allclose(found["observed"], observed)
    np.testing.assert_allclose(found["predicted"], predicted)
    assert found["n"].sum() == 1000
    assert expected_calibration_error(labels, p) == pytest.approx(
        np.abs(observed - predicted) @ found["n"] / 1000
    )


def test_equal_probabilities_are_not_parted() -> None:
    labels, p = np.array([0, 0, 1, 1, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.9])
    found = reliability(labels, p, 10)
    assert found["n"].tolist() == [4, 1]
    assert found["observed"].tolist() == [0.5, 1.0]
    # 4/5 |.5 - .2| + 1/5 |1 - .9|
    assert expected_calibration_error(labels, p) == pytest.approx(0.26)


def firth(labels: np.ndarray, design: np.ndarray, offset: np.ndarray | float) -> np.ndarray:
    """The penalized likelihood, maximized as it is written down."""

    def loss(theta: np.ndarray) -> float:
        eta = design @ theta + offset
        p = 1 / (1 + np.exp(-eta))
        information = design.T @ (design * (p * (1 - p))[:, None])
        likelihood = np.sum(labels * eta - np.logaddexp(0, eta))
        return float(-likelihood - 0.5 * np.linalg.slogdet(information)[1])

    start = np.array([0.0, 1.0])[: design.shape[1]]
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
    return np.asarray(minimize(loss, start, method="Nelder-Mead", options=options).x)


@pytest.mark.parametrize("n", [6, 40])
@pytest.mark.parametrize("seed", range(4))
def test_recalibration_maximizes_firths_likelihood(n: int, seed: int) -> None:
    labels, p = risks(n, seed, shift=-0.5)
    x = logit(p)
    a, b = fit_recalibration(labels, x, slope=False)
    assert b == 1
    assert a == pytest.approx(firth(labels, np.ones((n, 1)), x)[0], abs=1e-5)
    if len(set(labels)) == 2:
        found = fit_recalibration(labels, x, slope=True)
        expected = firth(labels, np.column_stack([np.ones(n), x]), 0.0)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_recalibration_without_a_class_or_an_episode() -> None:
    x = logit(np.array([0.2, 0.4, 0.3]))
    a, b = fit_recalibration(np.zeros(3, dtype=int), x, slope=True)
    assert np.isfinite(a)
    assert a < 0
    assert b == 1
    assert fit_recalibration(np.zeros(0, dtype=int), np.zeros(0), slope=True) == (0.0, 1.0)


def test_risks_that_are_all_alike_have_no_slope() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    alike = np.full(5, -0.4)
    intercept, slope = fit_recalibration(labels, alike, slope=True)
    assert slope == 1
    assert intercept == pytest.approx(fit_recalibration(labels, alike, slope=False)[0])


def test_each_country_is_corrected_by_its_own_validation_rows() -> None:
    labels, p = risks(400, 2)
    rows = pd.DataFrame(
        {
            "paradigm": "federated", "strategy": "fedavg", "seed": 0,
            "country": np.repeat(["A", "B"], 200), "patient_id": [f"p{i}" for i in range(400)],
            "episode_id": [f"e{i}" for i in range(400)],
            "split": np.tile(["validation", "test"], 200), "label": labels,
            # B's risks are a logit too high, A's as they should be
            "probability": 1 / (1 + np.exp(-(logit(p) + np.repeat([0, 1.0], 200)))),
        }
    )  # fmt: skip
    others = rows.assign(paradigm="adaptive")
    found = recalibrate(pd.concat([rows, others]))
    assert list(found.columns) == list(rows.columns)
    assert found["paradigm"].unique().tolist() == ["recalibrated", "recalibrated_slope"]
    own = found[found["paradigm"] == "recalibrated"].reset_index(drop=True)
    moved = logit(own["probability"].to_numpy()) - logit(rows["probability"].to_numpy())
    for part in (slice(0, 200), slice(200, 400)):
        assert np.ptp(moved[part]) < 1e-9, "one intercept a country"
    assert moved[0] == pytest.approx(0, abs=0.5)
    assert moved[200] == pytest.approx(-1, abs=0.5)
    # test labels have no say
    flipped = rows.assign(label=np.where(rows["split"] == "test", 1 - labels, labels))
    again = recalibrate(flipped)
    np.testing.assert_array_equal(again["probability"], found["probability"])
    untouched = recalibrate(rows[(rows["country"] == "A") | (rows["split"] == "test")])
    own = untouched[(untouched["country"] == "B") & (untouched["paradigm"] == "recalibrated")]
    of_b = rows[(rows["country"] == "B") & (rows["split"] == "test")]
    np.testing.assert_allclose(own["probability"], of_b["probability"])
    with pytest.raises(InputError, match="no predictions of the paradigm 'federated'"):
        recalibrate(others)
