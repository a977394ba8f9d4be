"""Calibration by hand and against statsmodels and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.calibration import calibration_curve

from ms_pfl.evaluation.calibration import logit, recalibrate_columns, reliability
from ms_pfl.evaluation.metrics import METRICS
from patients_factory import risks

calibration_intercept, calibration_slope, calibration_error, observed_expected = (
    METRICS[name].plain
    for name in (
        "calibration_intercept", "calibration_slope", "calibration_error", "observed_expected",
    )
)  # fmt: skip


def test_known_probabilities_have_slope_1_and_intercept_0() -> None:
    labels, p = risks(200_000, 0)
    assert calibration_slope(labels, p) == pytest.approx(1, abs=0.015)
    assert calibration_intercept(labels, p) == pytest.approx(0, abs=0.015)
    assert observed_expected(labels, p) == pytest.approx(1, abs=0.01)
    assert calibration_error(labels, p) < 0.005


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
    weights = np.random.default_rng(0).integers(0, 4, size=(60, 21)).astype(float)
    weights[:, 0] = 1
    intercept, slope = recalibrate_columns(labels, logit(p), weights, clusters)
    for column, own in enumerate(weights.T):
        times = own[clusters].astype(int)
        y, q = np.repeat(labels, times), np.repeat(p, times)
        tolerance = 2e-4 if column else 1e-12
        assert slope[column] == pytest.approx(calibration_slope(y, q), abs=tolerance)
        assert intercept[column] == pytest.approx(calibration_intercept(y, q), abs=tolerance)


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
    weights = np.ones((400, 2))
    intercept, slope = recalibrate_columns(labels, logit(p), weights, np.arange(400))
    assert intercept == pytest.approx([expected] * 2, abs=2e-4)
    assert slope == pytest.approx([both[1]] * 2, abs=2e-4)


def test_certain_risks_that_err() -> None:
    # one of the three that are certain is wrong: sum of sigmoid(36.04 + a) over them is 2
    labels, p = np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 1.0, 1.0])
    certain = -np.log(np.finfo(float).eps)
    assert calibration_intercept(labels, p) == pytest.approx(np.log(2) - certain, abs=1e-3)


def test_a_draw_of_one_class_has_no_intercept() -> None:
    labels, p = np.array([0, 1, 1]), np.array([0.2, 0.5, 0.6])
    weights = np.array([[1.0, 0], [1, 2], [1, 1]])
    intercept, slope = recalibrate_columns(labels, logit(p), weights, np.arange(3))
    assert np.isfinite(intercept[0])
    assert np.isnan(intercept[1])
    assert np.isnan(slope[1])


def test_what_does_not_exist_is_nan() -> None:
    p = np.array([0.1, 0.3, 0.7, 0.9])
    one_class, apart = np.zeros(4, dtype=int), np.array([0, 0, 1, 1])
    assert np.isnan(calibration_intercept(one_class, p))
    assert np.isnan(calibration_slope(one_class, p))
    assert np.isnan(calibration_slope(apart, p)), "the classes are separated without error"
    assert np.isfinite(calibration_intercept(apart, p))
    assert np.isnan(calibration_slope(np.array([0, 1, 0, 1]), np.full(4, 0.3)))
    nothing = np.array([], dtype=int), np.array([])
    assert np.isnan(calibration_error(*nothing))
    assert np.isnan(observed_expected(*nothing))


def test_bins_are_those_of_scikit_learn() -> None:
    labels, p = risks(1000, 1, spread=1.5)
    observed, predicted = calibration_curve(labels, p, n_bins=10, strategy="quantile")
    found = reliability(labels, p, 10)
    np.testing.assert_allclose(found["observed"], observed)
    np.testing.assert_allclose(found["predicted"], predicted)
    assert found["n"].sum() == 1000
    assert calibration_error(labels, p) == pytest.approx(
        np.abs(observed - predicted) @ found["n"] / 1000
    )


def test_equal_probabilities_are_not_parted() -> None:
    labels, p = np.array([0, 0, 1, 1, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.9])
    found = reliability(labels, p, 10)
    assert found["n"].tolist() == [4, 1]
    assert found["observed"].tolist() == [0.5, 1.0]
    # 4/5 |.5 - .2| + 1/5 |1 - .9|
    assert calibration_error(labels, p) == pytest.approx(0.26)
