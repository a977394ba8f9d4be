"""The same trainings on Ray workers: the same bits, and failures that name the country."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import ray

from federation_examples import data_of, federate, nodes_of, prepared, settings, tables
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import ClientApp
from ms_pfl.federation.grids.ray import shared_pool
from ms_pfl.federation.grids.ray.grid import RayGrid
from ms_pfl.federation.grids.ray.pool import WorkerPool
from ms_pfl.federation.grids.ray.shared_pool import worker_pool
from ms_pfl.federation.grids.simulated import LocalGrid, SimulationGrid
from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.paradigms import Training
from ms_pfl.training.resume import UnfinishedTrainings
from ms_pfl.training.simulation import train_tables
from paradigm_examples import Study, compute, parameters

TRAININGS = [
    ("centralized", "pooled"),
    ("fine_tuned", "fedavg"),
    ("adaptive", "fedprox"),
    ("centralized", "logistic"),
    ("fine_tuned", "logistic"),
    ("adaptive", "logistic"),
    ("fine_tuned", "trees"),
    ("adaptive", "trees"),
]
ADAPTIVE = Training("adaptive", "fedprox")


@pytest.fixture(scope="module", autouse=True)
def _end() -> Iterator[None]:
    yield
    shared_pool.shutdown()


@pytest.fixture(scope="module")
def here() -> Study:
    return Study()


def assert_same_bits(workers: int, here: Study) -> None:
    study = Study(workers=workers)
    pools = set()
    for key in TRAININGS:
        there = study.outcome(*key)
        pools.add(id(worker_pool(asked(workers), "cpu")))
        pd.testing.assert_frame_equal(
            there.predictions, here.outcome(*key).predictions, check_exact=True
        )
        assert list(there.models) == list(here.outcome(*key).models)
        for name, array in here.outcome(*key).models.items():
            assert (there.models[name] == array).all()
    assert len(pools) == 1, "one pool serves all trainings"


def asked(workers: int) -> RayParameters:
    return RayParameters(num_workers=workers, address=None)


# Ray takes seconds to start: the tests share two workers until one test kills them


def test_two_workers_give_the_bits_of_none(here: Study) -> None:
    assert_same_bits(2, here)


def test_workers_hold_the_state_until_the_run_ends() -> None:
    data, told = data_of(), settings("adaptive")
    pool = worker_pool(asked(2), "cpu")
    with RayGrid(pool, data, nodes_of(data)) as there, LocalGrid(data, nodes_of(data)) as here:
        prepared(there, told)
        prepared(here, told)
        states = there.export_state("private/0"), here.export_state("private/0")
    assert states[0].keys() == states[1].keys() == set(nodes_of(data))
    for node in states[1]:
        for name, array in states[1][node].items():
            assert (states[0][node][name] == array).all()
    with pytest.raises(ClientError, match="private/0"):
        there.export_state("private/0")


def test_a_failing_client_names_its_country_and_the_workers_serve_on() -> None:
    optimizer = parameters().optimizer.model_copy(update={"learning_rate": 1e30})
    broken = Study(workers=2, told=parameters(optimizer=optimizer.model_dump()))
    with pytest.raises(InputError, match=r"^AU \(seed 0\): round 1: .* not finite .*: a lower .*$"):
        broken.outcome("federated", "fedavg")
    fine = Study(workers=2, tables=tables({"AU": 15}, seeds=(0,)))
    assert len(fine.outcome("local", "none").predictions) == 6


def test_a_dead_worker_is_replaced_and_its_round_repeated(
    here: Study, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed by signal between any two exchanges, and in the midst of one; the bits stay."""
    pool = worker_pool(asked(2), "cpu")
    pids = [ray.get(worker.pid.remote()) for worker in pool.workers]
    expected = here.outcome("adaptive", "fedprox")
    victims = itertools.cycle([0, 1])
    reports: list[ProgressReport] = []

    def kill_one(report: ProgressReport) -> None:
        reports.append(report)
        if report.seed == 0 and report.round in (1, 3) and not report.finished:
            os.kill(ray.get(pool.workers[next(victims)].pid.remote()), signal.SIGKILL)
        elif report.seed == 1 and report.round == 0:
            victim = ray.get(pool.workers[0].pid.remote())
            threading.Timer(0.02, os.kill, (victim, signal.SIGKILL)).start()

    there = train_tables(ADAPTIVE, *here.tables, here.told, compute(2), kill_one)
    pd.testing.assert_frame_equal(there.predictions, expected.predictions, check_exact=True)
    assert all((there.models[name] == expected.models[name]).all() for name in expected.models)
    assert caplog.text.count("a new one takes its place") == 3
    assert worker_pool(asked(2), "cpu") is pool
    assert not {ray.get(worker.pid.remote()) for worker in pool.workers} & set(pids)


def test_what_was_cut_off_here_goes_on_there(here: Study, tmp_path: Path) -> None:
    """Two rounds in this process, the other two on workers: their personal arrays go along."""

    class Cut(BaseException):
        pass

    def cut(report: ProgressReport) -> None:
        if report.round == 2:
            raise Cut

    expected = here.outcome("adaptive", "fedprox")
    kept = UnfinishedTrainings(tmp_path)
    with pytest.raises(Cut):
        train_tables(ADAPTIVE, *here.tables, here.told, replace(compute(0), unfinished=kept), cut)
    reports: list[ProgressReport] = []
    there = train_tables(
        ADAPTIVE, *here.tables, here.told, replace(compute(2), unfinished=kept), reports.append
    )
    assert reports[0].note == "goes on after round 2"
    pd.testing.assert_frame_equal(there.predictions, expected.predictions, check_exact=True)
    assert all((there.models[name] == expected.models[name]).all() for name in expected.models)


def test_a_new_worker_takes_up_all_open_runs() -> None:
    """Two runs on two workers, of which one dies: each goes on from its own state."""
    data, told = data_of(), settings("adaptive")
    pool = worker_pool(asked(2), "cpu")
    with RayGrid(pool, data, nodes_of(data)) as a, RayGrid(pool, data, nodes_of(data)) as b:
        prepared(a, told)
        prepared(b, told)
        os.kill(ray.get(pool.workers[0].pid.remote()), signal.SIGKILL)
        found = [trained_arrays(grid) for grid in (a, b)]
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        expected = trained_arrays(grid)
    for arrays in found:
        assert arrays.keys() == expected.keys()
        assert all((arrays[name] == expected[name]).all() for name in expected)


def test_a_worker_that_ray_kills_for_memory_is_replaced_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray's memory monitor has an error of its own, which is no RayActorError."""
    get = ray.get

    def get_as_for_memory(*arguments: Any, **options: Any) -> Any:
        try:
            return get(*arguments, **options)
        except ray.exceptions.RayActorError as error:
            raise ray.exceptions.OutOfMemoryError("1 worker was killed, memory is low") from error

    data, told = data_of(), settings("adaptive")
    pool = worker_pool(asked(2), "cpu")
    with RayGrid(pool, data, nodes_of(data)) as grid:
        prepared(grid, told)
        os.kill(ray.get(pool.workers[0].pid.remote()), signal.SIGKILL)
        monkeypatch.setattr(ray, "get", get_as_for_memory)
        found = trained_arrays(grid)
    assert caplog.text.count("a new one takes its place") == 1
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, told)
        expected = trained_arrays(grid)
    assert all((found[name] == expected[name]).all() for name in expected)


def trained_arrays(grid: SimulationGrid) -> dict[str, np.ndarray]:
    """The shared arrays after a round of FedAvg."""
    return federate(grid, settings("adaptive")).arrays


def test_workers_that_die_again_and_again_are_reported() -> None:
    def deadly_app(*_: object) -> ClientApp:
        """Whoever asks it for sums loses the process, as when memory runs out."""
        app = ClientApp()
        app.query("sums")(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        return app

    former = worker_pool(asked(2), "cpu")
    former.stop()  # makes room for one whose clients kill their process
    pool, data = WorkerPool(1, 0, make_app=deadly_app), data_of()
    with (
        RayGrid(pool, data, nodes_of(data)) as grid,
        pytest.raises(ClientError, match=r"worker process died.*ray\.num_workers"),
    ):
        prepared(grid, settings())
    assert pool.stopped
    former.give_up()


@pytest.mark.slow
def test_a_lost_node_may_have_had_more_workers_than_one_may_die_times() -> None:
    """Four workers die at once: all are replaced, and the bits stay."""
    data = data_of({"AU": 15, "BE": 15, "CA": 15, "DK": 15})
    with LocalGrid(data, nodes_of(data)) as grid:
        prepared(grid, settings("adaptive"))
        expected = trained_arrays(grid)
    shared_pool.shutdown()
    pool = worker_pool(asked(4), "cpu")
    pids = [ray.get(worker.pid.remote()) for worker in pool.workers]
    with RayGrid(pool, data, nodes_of(data)) as grid:
        prepared(grid, settings("adaptive"))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        found = trained_arrays(grid)
    assert all((found[name] == array).all() for name, array in expected.items())
    assert not {ray.get(worker.pid.remote()) for worker in pool.workers} & {*pids}


def test_a_new_pool_of_one_worker_gives_the_same_bits(here: Study) -> None:
    assert_same_bits(1, here)


def test_an_address_without_a_cluster_is_said() -> None:
    shared_pool.shutdown()
    with pytest.raises(
        InputError, match=r"ray.address: no Ray cluster answers at '127\.0\.0\.1:1'"
    ):
        worker_pool(RayParameters(num_workers=1, address="127.0.0.1:1"), "cpu")
