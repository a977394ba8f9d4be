"""Newton's steps by hand, against statsmodels, and where they would go astray."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

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
