"""RayGrid: Flower's Grid on a pool of Ray workers that lives as long as the process.

Each worker owns some nodes of a run and keeps their contexts. A round's messages to one worker
travel in one remote call; arrays that several messages carry go into the object store once. Rows
go to a worker once and serve all trainings over the same data. While workers compute, they are
asked twice a second how far their fits are.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.engine import ArrayRecord, Message, RecordDict
from ms_pfl.federation.grid import ClientError, Failure, Node, SimulationGrid
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import FederationData
from ms_pfl.federation.progress import FitProgress
from ms_pfl.federation.ray_layout import assign, gpu_share
from ms_pfl.federation.ray_worker import Parcel, RayClientHost, Slot
from ms_pfl.learning.parameters import Device

_START_SECONDS = 120.0
_POLL_SECONDS = 0.5


class WorkerPool:
    """Ray workers, started once; RayGrids come and go on them.

    Args:
        workers: number of worker processes.
        gpus: GPUs to share among them.

    Raises:
        InputError: the cluster has no room for them now.
    """

    def __init__(self, workers: int, gpus: int) -> None:
        """Start the workers and wait for them; Ray runs already."""
        import ray

        self._ray = ray
        actor = ray.remote(concurrency_groups={"progress": 1})(RayClientHost)
        actor = actor.options(num_cpus=1, num_gpus=gpu_share(workers, gpus))
        self.workers = [actor.remote() for _ in range(workers)]
        self._run_ids = itertools.count(1)
        self._runs: dict[int, str] = {}
        self._latest = ""
        self._rows: dict[str, dict[str, Any]] = {}
        self._delivered: set[tuple[str, int, str]] = set()
        try:
            self._wait_for_workers()
        except BaseException:
            self.stop()
            raise

    def _wait_for_workers(self) -> None:
        started = [worker.__ray_ready__.remote() for worker in self.workers]
        if late := self._wait(started, _START_SECONDS):
            ready = len(started) - len(late)
            raise InputError(
                f"ray.num_workers: {ready} of {len(started)} worker processes started within "
                f"{_START_SECONDS:.0f} s; other work holds the other cores (or GPUs) of the Ray "
                "cluster; lower ray.num_workers, or wait"
            )
        self.call(started)

    def open(self, data: FederationData, nodes: dict[int, Node]) -> tuple[int, dict[int, int]]:
        """Begin a run: its number, and which worker owns which node.

        Rows of other data are dropped as soon as no run needs them.
        """
        run_id = next(self._run_ids)
        self._runs[run_id] = self._latest = identity = data.identity
        self._forget_unused()
        references = self._rows.setdefault(identity, {})
        weights = {i: data.training_rows(node.country, node.seed) for i, node in nodes.items()}
        owners = assign(weights, len(self.workers))
        calls = []
        for number, worker in enumerate(self.workers):
            mine = {i: node for i, node in nodes.items() if owners[i] == number}
            countries = sorted({node.country for node in mine.values()})
            new = [name for name in countries if (identity, number, name) not in self._delivered]
            for name in new:
                if name not in references:
                    references[name] = self._ray.put(data.rows(name))
            rows = [references[name] for name in new]
            calls.append(worker.open.remote(run_id, identity, mine, *rows))
            self._delivered.update((identity, number, name) for name in new)
        self.call(calls)
        return run_id, owners

    def close(self, run_id: int) -> None:
        """End a run; nobody waits for the workers."""
        if self._runs.pop(run_id, None) is None:
            return
        for worker in self.workers:
            worker.close.remote(run_id)
        self._forget_unused()

    def _forget_unused(self) -> None:
        open_runs = Counter(self._runs.values())
        for identity in [i for i in self._rows if i != self._latest and not open_runs[i]]:
            for worker in self.workers:
                worker.forget.remote(identity)
            del self._rows[identity]
            self._delivered = {key for key in self._delivered if key[0] != identity}

    def put(self, record: ArrayRecord) -> Any:
        """A reference to the record in the object store."""
        return self._ray.put(record)

    def call(
        self,
        references: list[Any],
        timeout: float | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Any]:
        """What remote calls return, in their order.

        If anything goes wrong, or the person interrupts, while a worker still computes, the pool
        is given up: the worker would first finish what nobody waits for.

        Args:
            references: of the remote calls.
            timeout: seconds to wait; None: as long as it takes.
            meanwhile: called about twice a second while they compute.

        Raises:
            ClientError: a worker died or did not answer in time.
        """
        until = None if timeout is None else time.monotonic() + timeout
        busy = references
        try:
            while busy and meanwhile is not None and (until is None or time.monotonic() < until):
                busy = self._wait(busy, _POLL_SECONDS)
                meanwhile()
            left = None if until is None else max(0.0, until - time.monotonic())
            return list(self._ray.get(references, timeout=left))
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.GetTimeoutError) as error:
            self.give_up()
            raise ClientError(
                "a worker process died or did not answer (out of memory?); fewer workers need "
                f"less memory: ray.num_workers. Ray says: {error}"
            ) from error
        except BaseException as error:
            if not isinstance(error, Exception) or self._wait(references, 0):
                self.give_up()
            raise

    def progress(self, run_id: int, asked: dict[int, Any]) -> dict[int, FitProgress]:
        """What the workers have to tell about the fits of a run; who is slow is not asked twice.

        Args:
            run_id: the run.
            asked: questions on their way by worker, kept from call to call.
        """
        for number, worker in enumerate(self.workers):
            if number not in asked:
                question = worker.progress.options(concurrency_group="progress")
                asked[number] = question.remote(run_id)
        late = self._wait(list(asked.values()), _POLL_SECONDS)
        answered = [number for number, reference in asked.items() if reference not in late]
        parts = self._ray.get([asked.pop(number) for number in answered])
        return {node_id: fit for part in parts for node_id, fit in part.items()}

    def _wait(self, references: list[Any], seconds: float) -> list[Any]:
        """Those of the references that are still computed after so many seconds at most."""
        return list(self._ray.wait(references, num_returns=len(references), timeout=seconds)[1])

    def give_up(self) -> None:
        """End the worker processes at once; the next training starts new ones."""
        self.stop()
        if _state.pool is self:
            shutdown()

    def stop(self) -> None:
        """End the worker processes."""
        for worker in self.workers if self._ray.is_initialized() else ():
            self._ray.kill(worker)


class RayGrid(SimulationGrid):
    """The clients on the workers of a pool."""

    def __init__(self, pool: WorkerPool, data: FederationData, nodes: Iterable[Node]) -> None:
        """Begin a run over the nodes, which are countries of the data."""
        super().__init__(nodes)
        self._pool = pool
        self._run_id, self._owners = pool.open(data, self.nodes)
        self._fits: dict[int, FitProgress] = {}
        self._asked: dict[int, Any] = {}

    def _answer(
        self, items: list[tuple[int, Message]], timeout: float | None
    ) -> dict[int, Message | Failure]:
        put: dict[int, Any] = {}
        parcels: dict[int, list[Parcel]] = {}
        arguments: dict[int, dict[int, int]] = {}
        for index, message in items:
            owner = self._owners[message.metadata.dst_node_id]
            slots = arguments.setdefault(owner, {})
            records: dict[str, Any] = {}
            for name, record in message.content.items():
                if isinstance(record, ArrayRecord):
                    if id(record) not in put:
                        put[id(record)] = self._pool.put(record)
                    records[name] = Slot(slots.setdefault(id(record), len(slots)))
                else:
                    records[name] = record
            bare = Message(RecordDict(), metadata=message.metadata)
            parcels.setdefault(owner, []).append(Parcel(index, bare, records))
        calls = [
            self._pool.workers[owner].answer.remote(
                self._run_id, parcels[owner], *[put[key] for key in arguments[owner]]
            )
            for owner in sorted(parcels)
        ]
        meanwhile = self._tell if self._listener is not None else None
        parts = self._pool.call(calls, timeout, meanwhile)
        return {index: reply for part in parts for index, reply in part}

    def _tell(self) -> None:
        self._fits |= self._pool.progress(self._run_id, self._asked)
        if self._listener is not None and self._fits:
            self._listener(dict(self._fits))

    def _export(self, record: str) -> dict[int, dict[str, np.ndarray]]:
        workers = self._pool.workers
        parts = self._pool.call([worker.export.remote(self._run_id, record) for worker in workers])
        return {node_id: arrays for part in parts for node_id, arrays in part.items()}

    def close(self) -> None:
        """Drop the contexts of this run; the workers stay."""
        if self._pool is _state.pool:
            self._pool.close(self._run_id)


@dataclass
class _State:
    pool: WorkerPool | None = None
    key: tuple[RayParameters, bool] | None = None
    cores: int = 0
    started_ray: bool = False


_state = _State()
_lock = threading.RLock()


def worker_pool(
    parameters: RayParameters, device: Device, countries: int | None = None
) -> WorkerPool:
    """The pool of this process: started at the first call, and anew when its settings change.

    Args:
        parameters: where Ray is and how many workers there should be.
        device: what the clients compute on; ``cpu`` leaves GPUs to others.
        countries: ``num_workers: auto`` starts no more workers than these; None: one a core. A
            pool that has fewer, though there are cores, is replaced.

    Raises:
        InputError: no Ray cluster answers at the address, or it has no room for the workers.
    """
    key = (parameters, device == "cpu")
    with _lock:
        pool = _state.pool
        if pool is not None and _state.key == key:
            enough = _state.cores if countries is None else min(countries, _state.cores)
            if parameters.num_workers != "auto" or len(pool.workers) >= enough:
                return pool
        if pool is not None:
            shutdown()
        import ray

        if not ray.is_initialized():
            _start(parameters)
            _state.started_ray = True
            atexit.register(shutdown)
        try:
            resources = ray.cluster_resources()
            _state.cores = cores = int(resources.get("CPU", 1))
            workers = min(cores, countries or cores)
            if parameters.num_workers != "auto":
                workers = parameters.num_workers
            if workers > cores:
                raise InputError(
                    f"ray.num_workers is {workers}, but Ray has {cores} CPU cores; lower it"
                )
            gpus = int(resources.get("GPU", 0)) if device != "cpu" else 0
            _state.pool, _state.key = WorkerPool(workers, gpus), key
        except BaseException:
            shutdown()
            raise
        return _state.pool


def shutdown() -> None:
    """End the workers, and Ray if it was started here. Safe to call at any time."""
    with _lock:
        import ray

        pool, _state.pool, _state.key = _state.pool, None, None
        if _state.started_ray:
            _state.started_ray = False
            atexit.unregister(shutdown)
            ray.shutdown()
        elif pool is not None and ray.is_initialized():
            pool.stop()


def _knock(address: str) -> None:
    """Raise OSError if nobody listens there; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _start(parameters: RayParameters) -> None:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if parameters.address is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        wanted = cores if parameters.num_workers == "auto" else parameters.num_workers
        options |= {"include_dashboard": False, "num_cpus": wanted}
    try:
        if parameters.address is not None:
            _knock(parameters.address)
        ray.init(address=parameters.address or "local", **options)
    except (ConnectionError, OSError) as error:
        raise InputError(
            f"ray.address: no Ray cluster answers at {parameters.address!r}; "
            "start one (ray start --head) or set it to null"
        ) from error
