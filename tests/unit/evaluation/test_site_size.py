"""How gains depend on the size of a site: the line, its interval, and where it is above 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.evaluation.site_size import SizeLine, fit_line, site_gains

SIZES = np.array([16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0])


def with_noise(seed: int, tau: float = 0.02, error: float = 0.01) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.normal(0, np.hypot(tau, error), len(SIZES))
    return np.asarray(-0.03 + 0.005 * np.log2(SIZES) + noise)


def test_a_line_without_noise_is_found() -> None:
    line = fit_line(SIZES, -0.03 + 0.005 * np.log2(SIZES), np.full(8, 0.01))
    assert line is not None
    np.testing.assert_allclose(line.coefficients, [-0.03, 0.005], atol=1e-12)
    assert line.tau == 0.0
    np.testing.assert_allclose(line.gain(np.array([64.0, 256.0]))[0], [0.0, 0.01], atol=1e-12)


def test_equal_errors_give_ordinary_least_squares() -> None:
    """With equal weights and tau above 0, Knapp and Hartung's error is the usual one."""
    gains = with_noise(1, tau=0.05)
    line = fit_line(SIZES, gains, np.full(8, 0.01))
    usual = sm.OLS(gains, sm.add_constant(np.log2(SIZES))).fit()
    assert line is not None
    assert line.tau > 0
    assert line.tau == pytest.approx(np.sqrt(usual.scale - 0.01**2), rel=1e-6)
    np.testing.assert_allclose(line.coefficients, usual.params, rtol=1e-8)
    np.testing.assert_allclose(line.covariance, usual.cov_params(), rtol=1e-6)
    rows = sm.add_constant(np.log2(SIZES))
    expected = usual.get_prediction(rows).conf_int(alpha=0.05)
    np.testing.assert_allclose(line.gain(SIZES)[1:].T, expected, rtol=1e-6)


def test_less_spread_than_errors_gives_weighted_least_squares() -> None:
    errors = np.linspace(0.05, 0.01, 8)
    gains = with_noise(2, tau=0.0, error=0.002)
    line = fit_line(SIZES, gains, errors)
    rows = sm.add_constant(np.log2(SIZES))
    usual = sm.WLS(gains, rows, weights=errors**-2.0).fit(cov_type="fixed scale")
    assert line is not None
    assert line.tau == 0.0
    np.testing.assert_allclose(line.coefficients, usual.params, rtol=1e-8)
    np.testing.assert_allclose(line.covariance, usual.cov_params(), rtol=1e-8)


@given(st.integers(0, 10_000), st.floats(0.001, 0.1))
def test_the_squares_add_up_to_their_degrees_of_freedom(seed: int, error: float) -> None:
    gains, errors = with_noise(seed), error * np.linspace(1.5, 0.5, 8)
    line = fit_line(SIZES, gains, errors)
    assert line is not None
    rest = gains - line.gain(SIZES)[0]
    squares = float(np.sum(rest**2 / (errors**2 + line.tau**2)))
    assert squares == pytest.approx(6.0, rel=1e-6) if line.tau > 0 else squares <= 6.0 + 1e-9
    turned = fit_line(SIZES[::-1], gains[::-1], errors[::-1])
    assert turned is not None
    np.testing.assert_allclose(turned.coefficients, line.coefficients, rtol=1e-6, atol=1e-12)


def test_the_interval_covers_the_line_as_often_as_it_says() -> None:
    errors = np.linspace(0.03, 0.01, 8)
    covered = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        gains = 0.005 * np.log2(SIZES) + random.normal(0, 0.05, 8) + random.normal(0, errors)
        line = fit_line(SIZES, gains, errors)
        assert line is not None
        mean, low, high = line.gain(SIZES[[0, 4, 7]])
        covered.append((low < 0.005 * np.log2(SIZES[[0, 4, 7]])) & (high > mean))
        covered[-1] &= high > 0.005 * np.log2(SIZES[[0, 4, 7]])
    share = np.mean(covered, axis=0)
    assert ((share > 0.92) & (share < 0.98)).all(), share


@pytest.mark.parametrize(
    ("coefficients", "sign", "expected"),
    [
        ((-0.03, 0.005), 1.0, 128),
        ((0.03, -0.005), -1.0, 128),
        ((-0.03, 0.005), -1.0, None),  # a loss at the largest sites
        ((0.01, 0.0), 1.0, 16),
        ((-0.08, 0.005), 1.0, None),
    ],
)
def test_where_gains_begin(
    coefficients: tuple[float, float], sign: float, expected: int | None
) -> None:
    line = SizeLine(SIZES, np.array(coefficients), np.diag([1e-12, 0.0]), 0.0)
    assert line.gains_from(sign) == expected


def test_too_few_sites_or_sites_of_one_size_have_no_line() -> None:
    assert fit_line(SIZES[:5], np.zeros(5), np.ones(5)) is None
    assert fit_line(np.full(8, 32.0), np.zeros(8), np.ones(8)) is None


def test_gains_of_local_models_are_turned_round() -> None:
    rows = [
        ("federated", "local", "logistic", "country", "A", -0.02, -0.06, 0.02),
        ("adaptive", "federated", "logistic", "country", "A", 0.01, 0.0, 0.02),
        ("adaptive", "federated", "trees", "country", "A", 0.5, 0.4, 0.6),
        ("adaptive", "federated", "logistic", "pooled", "", 0.5, 0.4, 0.6),
        ("adaptive", "federated", "logistic", "country", "B", 0.5, np.nan, np.nan),
    ]
    names = ["paradigm", "reference", "strategy", "scope", "country", "difference", "low", "high"]
    differences = pd.DataFrame(rows, columns=names).assign(metric="log_loss")
    differences["reference_strategy"] = differences["strategy"]
    found = site_gains(differences, pd.Series({"A": 40, "B": 3}), "logistic", "log_loss")
    kept = ["paradigm", "country", "difference", "low", "high", "patients"]
    assert found[kept].to_numpy().tolist() == [
        ["local", "A", 0.02, -0.02, 0.06, 40.0],
        ["adaptive", "A", 0.01, 0.0, 0.02, 40.0],
    ]
    np.testing.assert_allclose(found["error"], np.array([0.08, 0.02]) / (2 * 1.959963984540054))
