"""Own coefficients by hand, and the fit against a joint minimum by scipy."""

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
    *_, (found, _) = mixed.steps(total(of), TOLD, mixed.intercepts(3), variance)
    return found


def with_variance(arrays: Arrays, variance: float) -> Arrays:
    """A model of one column with a variance of the intercept."""
    return {**arrays, "variance": np.array([0.0, variance])}


def test_one_site_by_hand() -> None:
    """Two rows with the outcome at x = 0: 2 (1 - p) = u / variance is so at p = 3/4, u = log 3."""
    x, y = np.zeros((2, 1), np.float32), np.ones(2, np.float32)
    held = with_variance(logistic.start(1), 2 * math.log(3))
    np.testing.assert_allclose(mixed.deviation(held, x, y), [0, math.log(3)], rtol=1e-12)
    found = mixed.sums(held, x, y)
    s = 2 * 3 / 16
    expected = s - s**2 / (s + 1 / (2 * math.log(3)))
    np.testing.assert_allclose(found["gradient"], [0.0, 0.5], atol=1e-12)
    np.testing.assert_allclose(found["hessian"], [[0, 0], [0, expected]], atol=1e-12)
    np.testing.assert_allclose(found["loss"], [2 * math.log(4 / 3)], rtol=1e-12)
    np.testing.assert_allclose(found["square"], [0, math.log(3) ** 2], rtol=1e-12)
    np.testing.assert_array_equal(found["n"], [2.0])


#: The intercept alone; with slopes of the first column; and of the last two with one variance.
GROUPS = {"intercept": [-1, -1, -1, 0], "slope": [1, -1, -1, 0], "smooth": [-1, 1, 1, 0]}
every_kind = pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS.keys())


@every_kind
def test_the_sums_are_the_derivatives_of_the_minimum_over_the_own_part(groups: list[int]) -> None:
    (site,) = sites(1.0, sizes=(40,))
    theta, e = np.array([0.3, -0.2, 0.1, 0.4]), 1e-5
    variance = np.where(np.array(groups) >= 0, [0.3, 0.5, 0.5, 0.7], 0.0)
    held = variance > 0

    def at(theta: NDArray[np.float64]) -> Arrays:
        return mixed.sums({**logistic.arrays_of(theta), "variance": variance}, *site)

    def value(theta: NDArray[np.float64]) -> float:
        found = at(theta)
        return float(found["loss"][0] + (found["square"][held] / (2 * variance[held])).sum())

    for j, along in enumerate(np.eye(4) * e):
        slope = (value(theta + along) - value(theta - along)) / (2 * e)
        assert at(theta)["gradient"][j] == pytest.approx(-slope, abs=1e-6)
        change = (at(theta - along)["gradient"] - at(theta + along)["gradient"]) / (2 * e)
        np.testing.assert_allclose(at(theta)["hessian"][j], change, rtol=0, atol=1e-6)


def joint_minimum(
    of: Sequence[Site], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimize over coefficients and everything of the sites' own at once, row by row."""
    held = np.flatnonzero(variance)

    def loss(given: NDArray[np.float64]) -> float:
        theta, own = given[:4], given[4:].reshape(len(of), len(held))
        found = RIDGE / 2 * float(theta[:3] @ theta[:3])
        for (x, y), u in zip(of, own, strict=True):
            whole = theta.copy()
            whole[held] += u
            p = 1 / (1 + np.exp(-(x.astype(float) @ whole[:3] + whole[3])))
            found -= float(np.sum(np.where(y == 1, np.log(p), np.log1p(-p))))
            found += float(np.sum(u**2 / (2 * variance[held])))
        return found

    joint = minimize(loss, np.zeros(4 + len(of) * len(held)), method="BFGS", tol=1e-9)
    own = np.zeros((len(of), 4))
    own[:, held] = joint.x[4:].reshape(len(of), len(held))
    return joint.x[:4], own


@every_kind
@pytest.mark.parametrize("variance", [0.05, 1.0, 20.0, None])
def test_it_is_the_joint_minimum(variance: float | None, groups: list[int]) -> None:
    """Over coefficients and all own ones at once, with one row and with one class."""
    of = sites(1.0)
    *_, (found, _) = mixed.steps(total(of), TOLD, np.array(groups), variance)
    now = found["variance"]
    assert variance is None or set(now.tolist()) == {variance, 0.0}
    theta, own = joint_minimum(of, now)
    np.testing.assert_allclose(logistic.theta_of(found), theta, rtol=0, atol=2e-5)
    for site, expected in zip(of, own, strict=True):
        np.testing.assert_allclose(mixed.own(found, *site)["deviation"], expected, atol=2e-5)


def test_slopes_that_differ_between_sites_are_found() -> None:
    """The standard deviation of slopes is 1, of intercepts .5, over 40 sites of 300 rows."""
    rng = np.random.default_rng(3)
    of: list[Site] = []
    for _ in range(40):
        x = rng.normal(size=(300, 3)).astype(np.float32)
        z = x @ [1.0 + rng.normal(), -0.5, 0.0] + 0.5 * rng.normal()
        of.append((x, (z + rng.logistic(size=300) > 0).astype(np.float32)))
    *_, (found, _) = mixed.steps(total(of), TOLD, np.array([1, 2, -1, 0]))
    slope, none, in_common, intercept = np.sqrt(found["variance"])
    assert 0.8 < slope < 1.25
    assert 0.35 < intercept < 0.65  # quasi-likelihood is a little low
    assert none < 0.15
    assert in_common == 0


def test_groups_are_by_feature() -> None:
    made_of, linear = np.array([0, 1, 1, 2]), np.array([True, True, False, True])
    every = np.ones(4, dtype=bool)
    np.testing.assert_array_equal(mixed.intercepts(2), [-1, -1, 0])
    found = mixed.groups_of(made_of, {2: linear, 1: every})
    np.testing.assert_array_equal(found, [-1, 2, 2, 1, 0])
    np.testing.assert_array_equal(mixed.groups_of(made_of, {1: linear}), [-1, 1, -1, -1, 0])


@every_kind
def test_the_variances_are_where_a_step_of_em_leaves_them(groups: list[int]) -> None:
    """The mean of the squares of the posterior means plus the posterior variances."""
    of = sites(1.5, sizes=(50, 60, 60, 40, 35, 80))
    *_, (found, _) = mixed.steps(total(of), TOLD, np.array(groups))
    now = found["variance"]
    held = np.flatnonzero(now)
    moments = np.zeros((len(of), 4))
    for place, (x, y) in enumerate(of):
        u = mixed.deviation(found, x, y)
        theta = logistic.theta_of(found) + u
        wide = np.column_stack([x.astype(float), np.ones(len(x))])
        p = 1 / (1 + np.exp(-(wide @ theta)))
        own = wide[:, held]
        bend = (own * (p * (1 - p))[:, None]).T @ own + np.diag(1 / now[held])
        moments[place, held] = u[held] ** 2 + np.diag(np.linalg.inv(bend))
    assert now[-1] > 0.2
    for group in set(groups) - {-1}:
        at = np.array(groups) == group
        if now[at].any():
            assert moments[:, at].mean() == pytest.approx(now[at][0], rel=1e-6)


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
    assert not fit(of)["variance"].any()


def test_one_site_has_no_deviation() -> None:
    """Its own intercept and the common one are one."""
    of = sites(1.0, sizes=(80,))
    found = fit(of)
    assert not found["variance"].any()
    assert not mixed.deviation(found, *of[0]).any()


def test_large_numbers_and_one_class_are_defined() -> None:
    x, y = np.full((50, 1), 30.0, np.float32), np.zeros(50, np.float32)
    for variance in (1e-3, 1.0, 1e6):
        model = {"coefficients": np.array([2.0]), "intercept": np.zeros(1)}
        u = mixed.deviation(with_variance(model, variance), x, y)[-1]
        p = 1 / (1 + math.exp(-(60 + u)))
        assert 50 * p + u / variance == pytest.approx(0.0, abs=1e-9)
