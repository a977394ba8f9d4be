"""A site's own intercept by hand, and the fit against a joint minimum by scipy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.parameters import LogisticParameters

Site = tuple[NDArray[np.float32], NDArray[np.float32]]
Arrays = Mapping[str, NDArray[np.float64]]
RIDGE = 1.5
TOLD = LogisticParameters(ridge=RIDGE, steps=200, tolerance=1e-10)


def sites(sd: float, sizes: Sequence[int] = (1, 20, 60, 40, 35)) -> list[Site]:
    """Sites whose intercepts have a standard deviation; the second has one class."""
    rng = np.random.default_rng(5)
    found = []
    for place, n in enumerate(sizes):
        x = rng.normal(size=(n, 3)).astype(np.float32)
        z = x @ [1.0, -0.5, 0.0] + sd * rng.normal() - 0.3
        y = (z + rng.logistic(size=n) > 0).astype(np.float32)
        found.append((x, y * 0 if place == 1 else y))
    return found


def total(of: Sequence[Site]) -> Callable[[Arrays], Arrays]:
    def add(held: Arrays) -> Arrays:
        parts = [mixed.sums(held, *site) for site in of]
        return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}

    return add


def fit(of: Sequence[Site], variance: float | None = None) -> dict[str, NDArray[np.float64]]:
    *_, (found, _) = mixed.steps(3, total(of), TOLD, variance)
    return found


def penalized(theta: NDArray[np.float64], of: Sequence[Site], variance: float) -> float:
    """The negative log of the joint density, written out row by row."""
    beta, b, u = theta[:3], theta[3], theta[4:]
    loss = RIDGE / 2 * float(beta @ beta)
    for (x, y), own in zip(of, u, strict=True):
        p = 1 / (1 + np.exp(-(x.astype(float) @ beta + b + own)))
        loss -= float(np.sum(np.where(y == 1, np.log(p), np.log1p(-p))))
        loss += own**2 / (2 * variance)
    return loss


def test_one_site_by_hand() -> None:
    """Two rows with the outcome at x = 0: 2 (1 - p) = u / variance is so at p = 3/4, u = log 3."""
    x, y = np.zeros((2, 1), np.float32), np.ones(2, np.float32)
    held = {**logistic.start(1), "variance": np.array([2 * math.log(3)])}
    assert mixed.deviation(held, x, y) == pytest.approx(math.log(3), rel=1e-12)
    found = mixed.sums(held, x, y)
    s = 2 * 3 / 16
    expected = s - s**2 / (s + 1 / (2 * math.log(3)))
    np.testing.assert_allclose(found["gradient"], [0.0, 0.5], atol=1e-12)
    np.testing.assert_allclose(found["hessian"], [[0, 0], [0, expected]], atol=1e-12)
    np.testing.assert_allclose(found["loss"], [2 * math.log(4 / 3)], rtol=1e-12)
    np.testing.assert_allclose(found["square"], [math.log(3) ** 2], rtol=1e-12)
    np.testing.assert_array_equal(found["n"], [2.0])


def test_the_sums_are_the_derivatives_of_the_minimum_over_the_own_intercept() -> None:
    (site,) = sites(1.0, sizes=(40,))
    theta, variance, e = np.array([0.3, -0.2, 0.1, 0.4]), np.array([0.7]), 1e-5

    def at(theta: NDArray[np.float64]) -> Arrays:
        return mixed.sums({**logistic.arrays_of(theta), "variance": variance}, *site)

    def value(theta: NDArray[np.float64]) -> float:
        found = at(theta)
        return float(found["loss"][0] + found["square"][0] / (2 * variance[0]))

    for j, along in enumerate(np.eye(4) * e):
        slope = (value(theta + along) - value(theta - along)) / (2 * e)
        assert at(theta)["gradient"][j] == pytest.approx(-slope, abs=1e-6)
        change = (at(theta - along)["gradient"] - at(theta + along)["gradient"]) / (2 * e)
        np.testing.assert_allclose(at(theta)["hessian"][j], change, rtol=0, atol=1e-6)


@pytest.mark.parametrize("variance", [0.05, 1.0, 20.0, None])
def test_it_is_the_joint_minimum(variance: float | None) -> None:
    """Over coefficients and all own intercepts at once, with one row and with one class."""
    of = sites(1.0)
    found = fit(of, variance)
    now = float(found["variance"][0])
    assert now == variance or variance is None
    joint = minimize(penalized, np.zeros(4 + len(of)), (of, now), method="BFGS", tol=1e-9)
    np.testing.assert_allclose(logistic.theta_of(found), joint.x[:4], rtol=0, atol=1e-5)
    own = [mixed.own(found, *site)["deviation"][0] for site in of]
    np.testing.assert_allclose(own, joint.x[4:], rtol=0, atol=1e-5)


def test_the_variance_is_where_a_step_of_em_leaves_it() -> None:
    """The mean of the squares of the posterior means plus the posterior variances."""
    of = sites(1.0)
    found = fit(of)
    now = float(found["variance"][0])
    assert 0.2 < now < 5
    moments = []
    for x, y in of:
        u = mixed.deviation(found, x, y)
        theta = logistic.theta_of(found)
        p = 1 / (1 + np.exp(-(x.astype(float) @ theta[:3] + theta[3] + u)))
        moments.append(u**2 + 1 / (np.sum(p * (1 - p)) + 1 / now))
    assert np.mean(moments) == pytest.approx(now, rel=1e-8)


def test_sites_that_do_not_differ_have_the_federated_model() -> None:
    of = sites(0.0, sizes=(60, 0, 60, 60))
    x, y = (np.concatenate([site[i] for site in of]) for i in (0, 1))
    *_, (plain, _) = logistic.steps(3, lambda held: logistic.sums(held, x, y), TOLD)
    for found in (fit(of), fit(of, 0.0), fit(of, 1e-9)):
        np.testing.assert_allclose(
            logistic.theta_of(found), logistic.theta_of(plain), rtol=0, atol=1e-6
        )
        own = [mixed.deviation(found, *site) for site in of]
        assert np.abs(own).max() < 1e-6
    assert fit(of)["variance"][0] == 0.0


def test_one_site_has_no_deviation() -> None:
    """Its own intercept and the common one are one."""
    of = sites(1.0, sizes=(80,))
    found = fit(of)
    assert found["variance"][0] == 0.0
    assert mixed.deviation(found, *of[0]) == 0.0


def test_large_numbers_and_one_class_are_defined() -> None:
    x, y = np.full((50, 1), 30.0, np.float32), np.zeros(50, np.float32)
    for variance in (1e-3, 1.0, 1e6):
        held = {
            "coefficients": np.array([2.0]), "intercept": np.zeros(1),
            "variance": np.array([variance]),
        }  # fmt: skip
        u = mixed.deviation(held, x, y)
        p = 1 / (1 + math.exp(-(60 + u)))
        assert 50 * p + u / variance == pytest.approx(0.0, abs=1e-9)
