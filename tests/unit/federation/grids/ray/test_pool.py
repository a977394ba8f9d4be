"""The pool of workers on a cluster that others use too: room, other data, an interrupt."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import ray
from pydantic import ValidationError

from federation_examples import data_of, nodes_of, prepared, settings
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ask
from ms_pfl.federation.flower import ConfigRecord, RecordDict
from ms_pfl.federation.grids.ray import pool, shared_pool
from ms_pfl.federation.grids.ray.grid import RayGrid
from ms_pfl.federation.grids.ray.pool import WorkerPool
from ms_pfl.federation.grids.ray.shared_pool import worker_pool
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.history import FitProgress
from ms_pfl.federation.parameters import RayParameters

pytestmark = pytest.mark.integration

AUTO = RayParameters(num_workers="auto", address=None)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """Three cores and two GPUs, as far as Ray knows; it was not the pool that started Ray."""
    shared_pool.shutdown()
    ray.init(num_cpus=3, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    shared_pool.shutdown()
    assert ray.is_initialized(), "a cluster that was there before is left running"
    ray.shutdown()


def pool_of_three() -> WorkerPool:
    return worker_pool(AUTO, "auto", countries=3)


def fit_for(epochs: int) -> RecordDict:
    config = {
        "epochs": epochs,
        "patience": epochs,
        "epochs-without-validation": 1,
        "start-is-candidate": False,
        "reply-with-arrays": True,
    }
    return RecordDict({"config": ConfigRecord(config)})


def test_auto_is_a_worker_a_country_and_they_share_the_gpus() -> None:
    """One worker on both GPUs, then three on two of them; fewer countries need no new pool."""
    small = worker_pool(AUTO, "auto", countries=1)
    assert len(small.workers) == 1
    large = pool_of_three()
    assert len(large.workers) == 3
    assert worker_pool(AUTO, "auto", countries=2) is large is worker_pool(AUTO, "auto", countries=9)


def test_a_share_of_a_gpu_can_be_set() -> None:
    """Two GPUs as far as Ray knows: .6 of one leaves room for one worker on each."""
    told = AUTO.model_copy(update={"gpus_per_worker": 0.6})
    with pytest.raises(
        InputError, match=r"0\.6, which leaves room for 2 workers on 2 GPUs, not .* 3"
    ):
        worker_pool(told, "auto", countries=3)
    pool = worker_pool(told, "auto", countries=2)
    usage = ray.available_resources()
    assert 2 - usage["GPU"] == pytest.approx(1.2)
    assert len(pool.workers) == 2
    worker_pool(told, "cpu", countries=2)
    assert ray.available_resources()["GPU"] == 2


@pytest.mark.parametrize("share", [0, -1, 1.5, "all"])
def test_wrong_shares_are_refused(share: object) -> None:
    with pytest.raises(ValidationError, match="gpus_per_worker"):
        RayParameters.model_validate({"num_workers": 1, "address": None, "gpus_per_worker": share})


def test_the_workers_tell_how_far_they_are_and_compute_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_POLL_SECONDS", 0.02)
    data, told = data_of(), settings(batch_size=4)
    seen: list[dict[int, FitProgress]] = []
    with RayGrid(pool_of_three(), data, nodes_of(data)) as grid:
        prepared(grid, told)
        with grid.watched_by(lambda fits: seen.append(dict(fits))):
            there = ask(grid, "train.personalize", dict.fromkeys(grid.node_ids(0), fit_for(200)))
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        here = ask(grid, "train.personalize", dict.fromkeys(grid.node_ids(0), fit_for(200)))
    for node_id, reply in here.items():
        for name, array in reply["arrays"].items():
            assert there[node_id]["arrays"][name].data == array.data
    epochs = [fits[2].epoch for fits in seen if 2 in fits]
    assert epochs == sorted(epochs)
    assert len({epoch for epoch in epochs if 0 < epoch < 200}) >= 2, "told while it computes"
    assert {i: (fit.epoch, fit.finished) for i, fit in seen[-1].items()} == dict.fromkeys(
        (1, 2, 3), (200, True)
    )


def test_rows_stay_as_long_as_a_run_needs_them() -> None:
    pool, first, second = pool_of_three(), data_of(), data_of({"AU": 12, "BE": 12})
    a = RayGrid(pool, first, nodes_of(first))
    with RayGrid(pool, second, nodes_of(second)) as b:
        prepared(b, settings())
        prepared(a, settings())
    assert set(pool._rows) == {first.identity, second.identity}, "a is open, second came last"
    prepared(a, settings())
    a.close()
    assert set(pool._rows) == {second.identity}
    with RayGrid(pool, second, nodes_of(second)) as b:
        prepared(b, settings())
        assert set(pool._rows) == {second.identity}
    with RayGrid(pool, first, nodes_of(first)) as again:
        prepared(again, settings())
        assert set(pool._rows) == {first.identity}


def test_an_interrupt_ends_the_work_that_nobody_waits_for() -> None:
    pool, data = pool_of_three(), data_of()
    with RayGrid(pool, data, nodes_of(data)) as grid:
        prepared(grid, settings())
        messages = dict.fromkeys(grid.node_ids(0), fit_for(10_000))
        # a shell starts its background jobs with interrupts ignored
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                ask(grid, "train.personalize", messages)
        finally:
            signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 30
    for worker in pool.workers:
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(worker.progress.remote(1), timeout=30)
    fresh = worker_pool(RayParameters(num_workers=1, address=None), "cpu")
    assert fresh is not pool
    with RayGrid(fresh, data, nodes_of(data)) as grid:
        prepared(grid, settings())


def test_an_error_while_workers_compute_ends_their_work_too() -> None:
    pool, data = worker_pool(RayParameters(num_workers=1, address=None), "cpu"), data_of()

    def fail(_: object) -> None:
        raise OSError("the screen is gone")

    with RayGrid(pool, data, nodes_of(data)) as grid:
        prepared(grid, settings())
        messages = dict.fromkeys(grid.node_ids(0), fit_for(10_000))
        with pytest.raises(OSError, match="screen"), grid.watched_by(fail):
            ask(grid, "train.personalize", messages)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(pool.workers[0].progress.remote(1), timeout=30)


def test_a_cluster_that_is_busy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    @ray.remote(num_cpus=2)
    class Other:
        def here(self) -> bool:
            return True

    other = Other.remote()
    assert ray.get(other.here.remote(), timeout=60)
    monkeypatch.setattr(pool, "_START_SECONDS", 4.0)
    with pytest.raises(InputError, match=r"^ray\.num_workers: [01] of 2 worker .* lower ray.num"):
        worker_pool(RayParameters(num_workers=2, address=None), "cpu")
    ray.kill(other)
