"""Newton's steps by hand, against statsmodels, and where they would go astray."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from ms_pfl.learning import logistic
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.training import TrainingDivergedError

X = np.array([[0.0], [1.0], [2.0]], np.float32)
Y = np.array([0.0, 1.0, 1.0], np.float32)


def told(ridge: float = 0.0, steps: int = 50, tolerance: float = 1e-10) -> LogisticParameters:
    return LogisticParameters(ridge=ridge, steps=steps, tolerance=tolerance)


def fit(
    x: NDArray[np.float32], y: NDArray[np.float32], settings: LogisticParameters
) -> list[tuple[NDArray[np.float64], float]]:
    """Coefficients with the intercept last after each step, and the loss before it."""
    found = logistic.steps(x.shape[1], lambda held: logistic.sums(held, x, y), settings)
    return [(np.r_[held["coefficients"], held["intercept"]], loss) for held, loss in found]


def example(n: int = 200) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    y = (x @ [1.0, -0.5, 0.0] + rng.logistic(size=n) > 0.3).astype(np.float32)
    return x, y


def test_the_sums_by_hand() -> None:
    """At 0 all p are 1/2: g = sum x (y - 1/2), H = sum x x' / 4, loss 3 log 2."""
    found = logistic.sums(logistic.start(1), X, Y)
    np.testing.assert_array_equal(found["gradient"], [0 - 0.0 + 0.5 + 1.0, -0.5 + 0.5 + 0.5])
    np.testing.assert_array_equal(found["hessian"], [[5 / 4, 3 / 4], [3 / 4, 3 / 4]])
    np.testing.assert_allclose(found["loss"], [3 * math.log(2)], rtol=1e-15)
    np.testing.assert_array_equal(found["n"], [3.0])


def test_the_first_step_by_hand() -> None:
    """(H + diag(1, 0)) d = g: 9/4 d0 + 3/4 d1 = 3/2, 3/4 d0 + 3/4 d1 = 1/2: d = (2/3, 0)."""
    ((theta, loss),) = fit(X, Y, told(ridge=1.0, steps=1))
    np.testing.assert_allclose(theta, [2 / 3, 0.0], atol=1e-14)
    assert loss == pytest.approx(math.log(2), rel=1e-15)


def test_without_a_ridge_it_is_the_maximum_likelihood() -> None:
    x, y = example()
    found = fit(x, y, told())
    wide = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    expected = sm.Logit(y.astype(np.float64), wide).fit(disp=0, tol=1e-14)
    np.testing.assert_allclose(found[-1][0], expected.params, rtol=0, atol=1e-8)
    assert found[-1][1] == pytest.approx(-expected.llf / len(y), rel=1e-10)
    assert len(found) < 10


def test_the_ridge_is_on_the_coefficients_alone() -> None:
    """The gradient of loss + ridge / 2 ||coefficients||^2 is 0, with a free intercept."""
    x, y = example()
    theta = fit(x, y, told(ridge=7.0))[-1][0]
    arrays = {"coefficients": theta[:3], "intercept": theta[3:]}
    gradient = logistic.sums(arrays, x, y)["gradient"]
    np.testing.assert_allclose(gradient, np.r_[7.0 * theta[:3], 0.0], atol=1e-9)
    assert np.abs(theta[:3]).max() < np.abs(fit(x, y, told())[-1][0][:3]).max()


def test_the_penalized_loss_never_rises() -> None:
    """Far outliers, for which a whole Newton step overshoots."""
    x = np.array([[-30.0], [-1.0], [0.5], [40.0], [1.0], [-0.2]], np.float32)
    y = np.array([1.0, 0.0, 1.0, 1.0, 1.0, 0.0], np.float32)
    steps = [(np.zeros(2), math.nan), *fit(x, y, told(ridge=1e-3))]
    losses = [
        float(logistic.sums({"coefficients": t[:1], "intercept": t[1:]}, x, y)["loss"][0])
        + 1e-3 * t[0] ** 2 / 2
        for t, _ in steps
    ]
    assert np.diff(losses).max() <= 1e-12
    assert losses[-1] < losses[0]


def test_a_constant_and_a_copied_column_without_a_ridge() -> None:
    """The least-norm solution: the copy shares the coefficient, the constant the intercept."""
    x, y = example()
    wide = np.column_stack([x[:, :1], x[:, :1], np.ones((len(x), 1), np.float32)])
    theta = fit(wide, y, told())[-1][0]
    alone = fit(x[:, :1], y, told())[-1][0]
    np.testing.assert_allclose(theta, np.r_[alone[0], alone[0], alone[1], alone[1]] / 2, atol=1e-8)


def test_the_steps_end_where_nothing_changes() -> None:
    x, y = example()
    few = fit(x, y, told(tolerance=1e-2))
    assert 1 < len(few) < len(fit(x, y, told()))
    assert np.abs(few[-1][0] - few[-2][0]).max() < 1e-2 <= np.abs(few[-2][0] - few[-3][0]).max()
    assert len(fit(x, y, told(steps=2))) == 2


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_loss_that_is_no_number_raises() -> None:
    with pytest.raises(TrainingDivergedError, match="loss of the logistic regression"):
        fit(np.array([[np.nan], [1.0]], np.float32), Y[:2], told())


# -- a site alone, and around a given model --------------------------------------------------------

CHOICES = LogisticParameters(
    ridge=1.0, steps=100, tolerance=1e-12, local_ridges=(0.5, 20.0), strengths=(1.0, 1000.0, 10.0)
)


@pytest.mark.parametrize(
    ("labels", "odds"), [([0, 0, 0], 0.5 / 3.5), ([1], 3.0), ([0, 1, 1, 1], 3.5 / 1.5)]
)
def test_a_site_of_one_class_or_row_has_the_shrunk_share(labels: list[int], odds: float) -> None:
    """Without features the share is (k + 1/2) / (n + 1)."""
    y = np.array(labels, np.float32)
    for found in logistic.alone(np.zeros((len(y), 1), np.float32), y, CHOICES):
        np.testing.assert_allclose(found["intercept"], [math.log(odds)], rtol=1e-10)
        np.testing.assert_array_equal(found["coefficients"], [0.0])


@pytest.mark.parametrize("one_class", [False, True])
def test_alone_it_is_scikit_learn_with_two_more_rows(one_class: bool) -> None:
    """Half a row of each class at x = 0; the strongest ridge first."""
    x, y = example(40)
    y = y * 0 if one_class else y
    wide = np.vstack([x, np.zeros((2, 3), np.float32)]).astype(np.float64)
    for found, ridge in zip(logistic.alone(x, y, CHOICES), (20.0, 0.5), strict=True):
        expected = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-13).fit(
            wide, np.r_[y, 0, 1], np.r_[np.ones(40), 0.5, 0.5]
        )
        theta = np.r_[expected.coef_[0], expected.intercept_]
        np.testing.assert_allclose(logistic.theta_of(found), theta, rtol=0, atol=1e-8)


def test_without_a_list_the_ridge_of_all_is_the_sites() -> None:
    x, y = example(40)
    (found,) = logistic.alone(x, y, told(ridge=3.0))
    (wanted,) = logistic.alone(x, y, CHOICES.model_copy(update={"local_ridges": (3.0,)}))
    np.testing.assert_allclose(logistic.theta_of(found), logistic.theta_of(wanted), atol=1e-9)


def test_around_a_model_by_hand() -> None:
    """One row with the outcome at x = 0: 1 - p = s (b - c) is so at s = 1, b = log 3, p = 3/4."""
    center = {"coefficients": np.array([0.7]), "intercept": np.array([math.log(3) - 0.25])}
    *_, found = logistic.around(center, X[:1], Y[1:2], CHOICES)
    np.testing.assert_allclose(found["intercept"], [math.log(3)], rtol=1e-12)
    np.testing.assert_allclose(found["coefficients"], [0.7], rtol=1e-15)


def test_around_a_model_it_is_the_minimum_of_scipy() -> None:
    """The strongest first; the stronger, the nearer to the given model."""
    x, y = example(60)
    center = np.array([0.5, 0.5, -0.5, 1.0])

    def penalized(theta: NDArray[np.float64], strength: float) -> float:
        z = x.astype(np.float64) @ theta[:3] + theta[3]
        p = 1 / (1 + np.exp(-z))
        loss = -float(np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)))
        return loss + strength / 2 * float(np.sum((theta - center) ** 2))

    away = []
    found = list(logistic.around(logistic.arrays_of(center), x, y, CHOICES))
    for model, strength in zip(found, (1000.0, 10.0, 1.0), strict=True):
        expected = minimize(penalized, center, (strength,), method="BFGS", tol=1e-10).x
        theta = logistic.theta_of(model)
        np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-5)
        away.append(float(np.abs(theta - center).max()))
    assert 0 < away[0] < away[1] < away[2]


def test_strengths_are_sorted_and_each_is_there_once() -> None:
    found = LogisticParameters.model_validate(
        {"ridge": 1.0, "steps": 1, "tolerance": 1e-6, "strengths": [1, 100.0, 10, 100]}
    )
    assert found.strengths == (100.0, 10.0, 1.0)
    assert LogisticParameters.model_validate(found.model_dump()) == found
    for wrong in ([0.0], [-1.0], [math.inf], [1e13], list(range(1, 60))):
        with pytest.raises(ValidationError, match=r"local_ridges"):
            LogisticParameters.model_validate(found.model_dump() | {"local_ridges": wrong})


# -- standard errors -------------------------------------------------------------------------------


def test_the_sums_for_standard_errors_by_hand() -> None:
    """At 0 all y - p are -1/2, 1/2, 1/2: patient 0 has the first and the last row."""
    found = logistic.clustered_sums(logistic.start(1), X, Y, np.array([0, 1, 0], np.int32))
    s = np.array([[0 * -0.5 + 2 * 0.5, -0.5 + 0.5], [1 * 0.5, 0.5]])
    np.testing.assert_array_equal(found["meat"], np.outer(s[0], s[0]) + np.outer(s[1], s[1]))
    np.testing.assert_array_equal(found["hessian"], [[5 / 4, 3 / 4], [3 / 4, 3 / 4]])
    np.testing.assert_array_equal(found["n"], [3.0])


def test_the_sandwich_by_hand() -> None:
    """(H + diag(1, 0))^-1 = diag(1/2, 1/3) around M = [[2, 1], [1, 3]]."""
    found = logistic.sandwich(np.diag([1.0, 3.0]), np.array([[2.0, 1.0], [1.0, 3.0]]), ridge=1.0)
    np.testing.assert_allclose(found, [[1 / 2, 1 / 6], [1 / 6, 1 / 3]], rtol=1e-12)


def test_of_copied_columns_the_errors_are_finite() -> None:
    h = np.ones((3, 3)) * [[1.0], [1.0], [1.0]]
    assert np.isfinite(logistic.sandwich(h, h, ridge=0.0)).all()
