"""The solver against statsmodels, scikit-learn and sums that are put together from parts."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from ms_pfl.evaluation.logistic import fit_logistic, newton_step, newton_sums


def rows(n: int = 200, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A design with a column of ones, labels, and weights."""
    random = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), random.normal(size=(n, k - 1))])
    p = 1 / (1 + np.exp(-design @ random.normal(0, 0.8, k)))
    return design, (random.random(n) < p).astype(np.int8), random.integers(1, 4, n).astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_fit_is_that_of_statsmodels(seed: int) -> None:
    design, labels, weights = rows(seed=seed)
    theta, settled = fit_logistic(design, labels, np.zeros(4), weights)
    family = sm.families.Binomial()
    expected = sm.GLM(labels, design, family=family, freq_weights=weights).fit(tol=1e-12).params
    assert settled
    np.testing.assert_allclose(theta, expected, rtol=1e-7)


def test_ridge_is_that_of_scikit_learn_and_may_spare_the_intercept() -> None:
    design, labels, weights = rows()
    ridge = np.array([0.0, 2.0, 2.0, 2.0])
    theta, settled = fit_logistic(design, labels, np.zeros(4), weights, ridge=ridge)
    found = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(
        design[:, 1:], labels, sample_weight=weights
    )
    assert settled
    np.testing.assert_allclose(theta, [*found.intercept_, *found.coef_[0]], atol=1e-5)
    # at the top the gradient is what the penalty pulls
    gradient, _ = newton_sums(theta, design, labels, weights)
    np.testing.assert_allclose(gradient, ridge * theta, atol=1e-7)


def test_a_coefficient_that_is_held_is_an_offset() -> None:
    design, labels, _ = rows(k=2)
    theta, _ = fit_logistic(design, labels, np.array([0.0, 1.0]), free=1)
    model = sm.GLM(labels, design[:, :1], family=sm.families.Binomial(), offset=design[:, 1])
    assert theta[0] == pytest.approx(model.fit(tol=1e-12).params[0], rel=1e-7)
    assert theta[1] == 1


def test_sums_of_parts_take_the_same_steps_as_all_rows_together() -> None:
    design, labels, weights = rows()
    theta = np.zeros(4)
    parts = [slice(0, 50), slice(50, 120), slice(120, 200)]
    for _ in range(8):
        sums = [newton_sums(theta, design[p], labels[p], weights[p]) for p in parts]
        gradient, information = (np.sum(own, axis=0) for own in zip(*sums, strict=True))
        theta = theta + newton_step(gradient, information)
    expected, _ = fit_logistic(design, labels, np.zeros(4), weights)
    np.testing.assert_allclose(theta, expected, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_columns_of_weights_are_fits_of_their_own(k: int) -> None:
    design, labels, _ = rows(k=k)
    weights = np.random.default_rng(1).integers(0, 3, size=(200, 6)).astype(float)
    theta, settled = fit_logistic(design, labels, np.zeros((k, 6)), weights, tolerance=1e-10)
    assert settled.tolist() == [True] * 6
    for column, own in enumerate(weights.T):
        expected, _ = fit_logistic(design, labels, np.zeros(k), own)
        np.testing.assert_allclose(theta[:, column], expected, atol=1e-10)


def test_a_column_without_an_answer_leaves_the_others_theirs() -> None:
    design = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    labels = np.array([0, 1, 0, 1])
    # the second column has one class, the third separates the classes
    weights = np.array([[1.0, 0, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])
    theta, settled = fit_logistic(design, labels, np.zeros((2, 3)), weights)
    assert settled.tolist() == [True, False, False]
    expected, _ = fit_logistic(design, labels, np.zeros(2))
    np.testing.assert_allclose(theta[:, 0], expected, atol=1e-8)


def test_one_coefficient_without_information_takes_the_largest_step_uphill() -> None:
    assert newton_step(np.array([-1.0]), np.zeros((1, 1)), largest=2.0).tolist() == [-2.0]
    assert np.isnan(newton_step(np.array([0.0]), np.zeros((1, 1)), largest=2.0)).all()
    assert np.isnan(newton_step(np.ones(2), np.ones((2, 2)))).all(), "singular"


def test_firths_penalty_keeps_a_separated_fit_finite() -> None:
    design = np.column_stack([np.ones(4), [-2.0, -1.0, 1.0, 2.0]])
    labels = np.array([0, 0, 1, 1])
    plain, settled = fit_logistic(design, labels, np.zeros(2))
    assert not settled
    theta, settled = fit_logistic(design, labels, np.zeros(2), firth=True, steps=200)
    assert settled
    gradient, _ = newton_sums(theta, design, labels, firth=True)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)
    assert theta[0] == pytest.approx(0, abs=1e-8)
    assert 0 < theta[1] < plain[1]


@pytest.mark.filterwarnings("error")
def test_a_column_without_an_answer_says_nothing_and_leaves_the_others() -> None:
    """Where a drawn sample separates the classes, the slope grows beyond float32."""
    design, labels, weights = rows(k=2)
    design, columns = design.astype(np.float32), np.column_stack([weights, weights])
    theta = np.array([[0.0, 0.1], [1e300, 0.2]])
    gradient, information = newton_sums(theta, design, labels, columns.astype(np.float32))
    alone, own = newton_sums(theta[:, 1], design, labels, columns[:, 1])
    np.testing.assert_allclose(gradient[:, 1], alone, rtol=1e-4)
    np.testing.assert_allclose(information[:, :, 1], own, rtol=1e-4)
