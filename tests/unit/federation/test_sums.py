"""Sums over sites by hand, and that they are those of the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation_examples import RecordingGrid, by_hand, linear, nodes_of, prepared, settings
from ms_pfl.errors import InputError
from ms_pfl.federation import regression
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.fixed_point import ROWS
from ms_pfl.federation.flower import MetricRecord, RecordDict, to_record
from ms_pfl.federation.messages import (
    CLUSTERS,
    FIRST_CELLS,
    HISTOGRAMS,
    LABELS,
    LOGISTIC,
    MIXED,
    SCALER,
    SECOND_CELLS,
)
from ms_pfl.federation.sums import (
    NAMES,
    answer_of,
    mean_over_rows,
    sum_over_sites,
    sums_of_rows,
    times_rows,
)
from ms_pfl.learning.encoding import CELLS
from ms_pfl.learning.parameters import LogisticParameters

DATA, SITES = by_hand()
NEWTON = LogisticParameters(ridge=1.0, steps=1, tolerance=1e-9)
TOLD = linear(settings()).model_copy(update={"logistic": NEWTON})
MODEL = {"coefficients": np.array([0.5, -1.0]), "intercept": np.array([0.25])}


def test_what_a_site_answers_by_hand() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0]], np.float32)
    y = np.array([0.0, 1.0], np.float32)
    patients = np.zeros(2, np.int32)
    scaler = sums_of_rows(SCALER, {}, x, y, patients)
    assert {name: array.tolist() for name, array in scaler.items()} == {
        "n": [2.0, 1.0],
        "sum": [4.0, 4.0],
        "sum-of-squares": [10.0, 16.0],
    }
    start = {"coefficients": np.zeros(1), "intercept": np.zeros(1)}
    logistic = sums_of_rows(LOGISTIC, start, x[:, :1], y, patients)
    np.testing.assert_array_equal(logistic["gradient"], [-0.5 + 1.5, -0.5 + 0.5])
    np.testing.assert_array_equal(logistic["hessian"], [[10 / 4, 4 / 4], [4 / 4, 2 / 4]])
    # without a variance the own intercept is 0
    mixed = sums_of_rows(MIXED, {**start, "variance": np.zeros(2)}, x[:, :1], y, patients)
    assert mixed.pop("square").tolist() == [0.0, 0.0]
    for name, array in mixed.items():
        np.testing.assert_array_equal(array, logistic[name])
    mixed["square"] = np.zeros(2)
    # both rows are of one patient: (-0.5 + 1.5, 0) twice
    clusters = sums_of_rows(CLUSTERS, start, x[:, :1], y, patients)
    assert clusters["meat"].tolist() == [[1, 0], [0, 0]]
    np.testing.assert_array_equal(clusters["hessian"], logistic["hessian"])
    first = sums_of_rows(FIRST_CELLS, {}, x, y, patients)
    edges = np.full((2, CELLS - 1), 1e30, np.float32)
    edges[:, :2] = [[1, 3], [4, 5]]
    second = sums_of_rows(SECOND_CELLS, {"edges": edges}, x, y, patients)
    assert first["counts"].sum(axis=1).tolist() == [2, 1]
    assert second["counts"][:, :3].tolist() == [[0, 1, 1], [0, 1, 0]]
    assert second["missing-together"].tolist() == [[0, 0], [0, 1]]
    answers = {
        SCALER: scaler, LOGISTIC: logistic, MIXED: mixed, CLUSTERS: clusters,
        FIRST_CELLS: first, SECOND_CELLS: second,
    }  # fmt: skip
    of_trees = {LABELS, HISTOGRAMS}  # answered by what keeps the trees
    assert {question: set(answer) for question, answer in answers.items()} == {
        question: names for question, names in NAMES.items() if question not in of_trees
    }
    with pytest.raises(ValueError, match="no question 'rows'; there are: scaler, first-cells, "):
        sums_of_rows("rows", {}, x, y, patients)


@pytest.mark.parametrize("name", ["gradient", "hessian"])
@pytest.mark.parametrize("scaled", [True, False])
def test_sums_are_no_larger_than_those_of_scaled_features(
    monkeypatch: pytest.MonkeyPatch, name: str, scaled: bool
) -> None:
    """Of features that the sites scale together, where the rows of all of them are known."""
    answer = sums_of_rows

    def lie(question: str, *rest: Any) -> dict[str, Any]:
        found = answer(question, *rest)
        if question == LOGISTIC:
            found[name][(0,) * found[name].ndim] = 1e9
        return found

    with RecordingGrid(DATA, nodes_of(DATA)) as grid:
        prepared(grid, TOLD)
        for node, site in zip(grid.node_ids(0), SITES, strict=True):
            grid.rows.introduced[node] = {"train": len(site["train"][1])}
        monkeypatch.setattr(regression, "sums_of_rows", lie)
        if scaled:
            with pytest.raises(ClientError, match="is more than scaled features can give"):
                sum_over_sites(grid, 0, LOGISTIC, MODEL, scaled=True)
        else:
            sum_over_sites(grid, 0, LOGISTIC, MODEL)
        monkeypatch.undo()
        sum_over_sites(grid, 0, LOGISTIC, MODEL, scaled=True)


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
        assert (a.dtype, a.shape) == (np.uint64, (2, *total.shape))
        np.testing.assert_array_equal(total, ROWS.decode(a) + ROWS.decode(b))
        assert not np.array_equal(a, b)


def test_a_sum_that_could_overflow_is_refused_where_it_is_made() -> None:
    sums = {"sum": np.array([1.0, 2e18])}
    assert answer_of(SCALER, sums, sites=4)["sum"].shape == (2, 2)
    with pytest.raises(
        InputError,
        match=r"^sum: 2e\+18 cannot be added up over 5 sites: numbers have to be finite and below "
        r"1\.84e\+18; correct the values of that feature$",
    ):
        answer_of(SCALER, sums, sites=5)


def test_what_is_averaged_by_hand() -> None:
    """(1, 2) of 1 row and (5, 6) of 3: (1 + 15) / 4, (2 + 18) / 4."""
    sent = [
        times_rows({"w": np.array(w, np.float32)}, n, sites=2)
        for w, n in (([1, 2], 1), ([5, 6], 3))
    ]
    assert sent[1]["w"].tolist() == [[15 * 2**32, 18 * 2**32]]
    mean = mean_over_rows(map(reply, sent, (1, 3)), "arrays")
    assert mean["w"].tolist() == [4.0, 5.0]


def reply(arrays: dict[str, np.ndarray], rows: int) -> RecordDict:
    metrics = MetricRecord({"num-examples": rows})
    return RecordDict({"arrays": to_record(arrays), "metrics": metrics})


@given(data=st.data())
def test_the_order_of_the_sites_changes_no_bit_of_an_average(data: st.DataObject) -> None:
    weights = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3)
    sites = data.draw(st.lists(st.tuples(weights, st.integers(1, 70_000)), min_size=1, max_size=8))
    mixed = data.draw(st.permutations(sites))

    def mean(of: list[tuple[list[float], int]]) -> np.ndarray:
        sent = [(times_rows({"w": np.array(w, np.float32)}, n, len(of)), n) for w, n in of]
        return mean_over_rows([reply(*site) for site in sent], "arrays")["w"]

    assert mean(sites).tobytes() == mean(mixed).tobytes()
    rows = [n for _, n in sites]
    exact = np.average([w for w, _ in sites], axis=0, weights=rows)
    np.testing.assert_allclose(mean(sites), exact, rtol=0, atol=1e-9)


def test_a_weight_that_could_overflow_is_refused_where_it_is_made() -> None:
    with pytest.raises(
        InputError, match=r"^w: 3e\+09 cannot be added up over 2 .* lower the learning rate of this"
    ):
        times_rows({"w": np.array([3e6], np.float32)}, 1000, sites=2)
