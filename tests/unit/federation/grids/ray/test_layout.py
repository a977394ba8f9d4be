"""Which worker gets which rows, and how many GPUs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.federation.grids.ray.pool import assign
from ms_pfl.federation.grids.ray.shared_pool import gpu_share, workers_on


def test_rows_are_evened_out_largest_first() -> None:
    """9 to the first, 7 to the second, 6 to the second (7 < 9), 5 to the first (9 < 13) ..."""
    owners = assign({1: 5, 2: 9, 3: 6, 4: 7, 5: 1}, 2)
    assert owners == {2: 0, 4: 1, 3: 1, 1: 0, 5: 1}


@given(workers=st.integers(1, 500), gpus=st.integers(1, 16))
def test_workers_fit_on_the_gpus(workers: int, gpus: int) -> None:
    """Each has whole GPUs or a part of one; the parts fill no GPU to more than the whole."""
    share = gpu_share(workers, gpus)
    if share >= 1:
        assert share == int(share)
        assert share * workers <= gpus < (share + 1) * workers
    else:
        assert round(share * 10_000) == pytest.approx(share * 10_000)
        assert math.floor(1 / share) * gpus >= workers, "there is room for all"
        assert share > 1 / math.ceil(workers / gpus) - 1e-4, "and no more could be had"


@given(workers=st.integers(1, 500), gpus=st.integers(1, 16))
def test_equal_shares_leave_room_for_all(workers: int, gpus: int) -> None:
    assert workers_on(gpus, gpu_share(workers, gpus)) >= workers


def test_shares_worked_out() -> None:
    found = [gpu_share(*case) for case in ((3, 2), (2, 3), (6, 1), (8, 4), (4, 4), (2, 0))]
    assert found == [0.5, 1.0, 0.1666, 0.5, 1.0, 0.0]
