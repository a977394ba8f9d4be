"""The federated scaler is the pooled scaler."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from federation_examples import data_of, nodes_of, prepared, settings
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.learning.scaler import Scaler, ScalerSums

values = st.one_of(st.integers(-1000, 1000).map(float), st.just(float("nan")))
tables = st.lists(st.lists(st.tuples(values, values), max_size=12), min_size=1, max_size=5)


def array(rows: list[tuple[float, float]]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 2)


@given(tables)
def test_sums_of_countries_give_the_pooled_mean_and_sd(
    countries: list[list[tuple[float, float]]],
) -> None:
    parts = [array(rows) for rows in countries]
    scaler = Scaler.from_sums(ScalerSums.of(part) for part in parts)
    pooled = np.concatenate(parts).astype(float)
    for i in range(2):
        seen = pooled[~np.isnan(pooled[:, i]), i]
        mean = seen.mean() if len(seen) else 0.0
        sd = seen.std() if len(seen) and seen.std() > 0 else 1.0
        np.testing.assert_allclose(scaler.mean[i], mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(scaler.sd[i], sd, rtol=1e-6)


def test_by_hand() -> None:
    """1, 2 | 3, 6 missing: mean 3, variance (1 + 4 + 9 + 36) / 4 - 9 = 3.5."""
    parts = [array([(1, 7), (2, 7)]), array([(3, 7), (6, 7), (np.nan, np.nan)])]
    scaler = Scaler.from_sums(ScalerSums.of(part) for part in parts)
    np.testing.assert_array_equal(scaler.mean, [3, 7])
    np.testing.assert_array_equal(scaler.sd, [np.sqrt(3.5), 1])
    scaled = scaler.apply(array([(np.nan, 8), (3, np.nan)]))
    np.testing.assert_array_equal(scaled, array([(0, 1), (0, 0)]))
    assert scaled.dtype == np.float32


def test_a_large_constant_does_not_blow_up() -> None:
    x = np.full((10_001, 1), 2015.1, dtype=np.float32)
    scaler = Scaler.from_sums([ScalerSums.of(x[:5000]), ScalerSums.of(x[5000:])])
    assert scaler.sd[0] == 1
    np.testing.assert_allclose(scaler.apply(x), 0, atol=1e-6)


def test_through_the_clients_from_training_rows_only() -> None:
    data = data_of()
    with LocalGrid(data, nodes_of(data)) as grid:
        scaler = prepared(grid, settings())
    train = np.concatenate([data.rows(c).client_data(0).train.x for c in data.countries])
    np.testing.assert_allclose(scaler.mean, np.nanmean(train.astype(float), axis=0))
    np.testing.assert_allclose(scaler.sd, np.nanstd(train.astype(float), axis=0))
