"""Sums over sites by hand, and that they are those of the pooled rows."""

from __future__ import annotations

import numpy as np
import pytest

from federation_examples import RecordingGrid, by_hand, linear, nodes_of, prepared, settings
from ms_pfl.federation.sums import LOGISTIC, NAMES, SCALER, sum_over_sites, sums_of_rows
from ms_pfl.learning.parameters import LogisticParameters

DATA, SITES = by_hand()
NEWTON = LogisticParameters(ridge=1.0, steps=1, tolerance=1e-9)
TOLD = linear(settings()).model_copy(update={"logistic": NEWTON})
MODEL = {"coefficients": np.array([0.5, -1.0]), "intercept": np.array([0.25])}


def test_what_a_site_answers_by_hand() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0]], np.float32)
    y = np.array([0.0, 1.0], np.float32)
    scaler = sums_of_rows(SCALER, {}, x, y)
    assert {name: array.tolist() for name, array in scaler.items()} == {
        "n": [2.0, 1.0],
        "sum": [4.0, 4.0],
        "sum-of-squares": [10.0, 16.0],
    }
    start = {"coefficients": np.zeros(1), "intercept": np.zeros(1)}
    logistic = sums_of_rows(LOGISTIC, start, x[:, :1], y)
    np.testing.assert_array_equal(logistic["gradient"], [-0.5 + 1.5, -0.5 + 0.5])
    np.testing.assert_array_equal(logistic["hessian"], [[10 / 4, 4 / 4], [4 / 4, 2 / 4]])
    for question, answer in ((SCALER, scaler), (LOGISTIC, logistic)):
        assert answer.keys() == NAMES[question]
    with pytest.raises(ValueError, match="no question 'rows'; there are: scaler, logistic"):
        sums_of_rows("rows", {}, x, y)


def test_the_sum_of_the_sites_is_that_of_the_pooled_rows() -> None:
    with RecordingGrid(DATA, nodes_of(DATA)) as grid:
        scaler = sum_over_sites(grid, 0, SCALER)
        prepared(grid, TOLD)
        grid.traffic.clear()
        found = sum_over_sites(grid, 0, LOGISTIC, MODEL)
        up = [content["sums"] for direction, _, content in grid.traffic if direction == "up"]
    train = np.concatenate([rows.client_data(0).train.x for rows in DATA.countries.values()])
    np.testing.assert_array_equal(scaler["n"], [8.0, 8.0])
    np.testing.assert_allclose(scaler["sum"], train.astype(float).sum(axis=0), rtol=1e-14)
    x, y = (np.concatenate([site["train"][i] for site in SITES]) for i in (0, 1))
    p = 1 / (1 + np.exp(-x @ [0.5, -1.0, 0.25]))
    np.testing.assert_allclose(found["gradient"], x.T @ (y - p), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["hessian"], (x.T * (p * (1 - p))) @ x, rtol=0, atol=1e-6)
    loss = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))
    np.testing.assert_allclose(found["loss"], [loss], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found["n"], [8.0])
    assert len(up) == 2
    for name, total in found.items():
        a, b = (answer[name].numpy() for answer in up)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(total, a + b)
        assert not np.array_equal(a, b)
