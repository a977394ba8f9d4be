"""RayGrid: Flower's Grid on a pool of Ray workers that lives as long as the process.

Each worker owns some nodes of a run (largest first, to even out rows) and keeps their contexts. A
round's messages to one worker travel in one remote call; arrays that several messages carry go
into the object store once. Rows go to a worker once and serve all trainings over the same data.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.engine import ArrayRecord, Message, RecordDict
from ms_pfl.federation.grid import ClientError, ClientHost, Failure, Node, SimulationGrid
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import FederationData
from ms_pfl.learning.parameters import Device


@dataclass(frozen=True)
class _Slot:
    """Stands in a message for an array record that travels beside it."""

    position: int


@dataclass(frozen=True)
class _Parcel:
    """A message taken apart: its place in the round, the message without content, its records."""

    index: int
    message: Message
    records: dict[str, Any]


class RayClientHost(ClientHost):
    """A worker: a ClientHost whose messages come as parcels."""

    def answer(
        self, run_id: int, parcels: list[_Parcel], *records: ArrayRecord
    ) -> list[tuple[int, Message | Failure]]:
        """Put the messages together again and answer them."""
        items = []
        for parcel in parcels:
            parcel.message.content = RecordDict(
                {
                    name: records[record.position] if isinstance(record, _Slot) else record
                    for name, record in parcel.records.items()
                }
            )
            items.append((parcel.index, parcel.message))
        return self.handle(run_id, items)


class WorkerPool:
    """Ray workers, started once; RayGrids come and go on them.

    Args:
        workers: number of worker processes.
        gpus: GPUs to share among them.
    """

    def __init__(self, workers: int, gpus: float) -> None:
        """Start the workers; Ray runs already."""
        import ray

        self._ray = ray
        actor = ray.remote(RayClientHost).options(num_cpus=1, num_gpus=gpus / workers)
        self.workers = [actor.remote() for _ in range(workers)]
        self._run_ids = itertools.count(1)
        self._identity: str | None = None
        self._rows: dict[str, Any] = {}
        self._delivered: set[tuple[int, str]] = set()

    def open(self, data: FederationData, nodes: dict[int, Node]) -> tuple[int, dict[int, int]]:
        """Begin a run: its number, and which worker owns which node."""
        run_id = next(self._run_ids)
        if data.identity != self._identity:
            if self._identity is not None:
                self.call([worker.forget.remote(self._identity) for worker in self.workers])
            self._identity, self._rows, self._delivered = data.identity, {}, set()
        weights = {i: data.training_rows(node.country, node.seed) for i, node in nodes.items()}
        owners = assign(weights, len(self.workers))
        calls = []
        for number, worker in enumerate(self.workers):
            mine = {i: node for i, node in nodes.items() if owners[i] == number}
            countries = sorted({node.country for node in mine.values()})
            new = [name for name in countries if (number, name) not in self._delivered]
            for name in new:
                if name not in self._rows:
                    self._rows[name] = self._ray.put(data.rows(name))
            rows = [self._rows[name] for name in new]
            calls.append(worker.open.remote(run_id, data.identity, mine, *rows))
            self._delivered.update((number, name) for name in new)
        self.call(calls)
        return run_id, owners

    def put(self, record: ArrayRecord) -> Any:
        """A reference to the record in the object store."""
        return self._ray.put(record)

    def call(self, references: list[Any], timeout: float | None = None) -> list[Any]:
        """What remote calls return, in their order.

        Raises:
            ClientError: a worker died or did not answer in time; the pool is given up.
        """
        try:
            return list(self._ray.get(references, timeout=timeout))
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.GetTimeoutError) as error:
            shutdown()
            raise ClientError(
                "a worker process died or did not answer (out of memory?); fewer workers need "
                f"less memory: ray.num_workers. Ray says: {error}"
            ) from error

    def stop(self) -> None:
        """End the worker processes."""
        for worker in self.workers:
            self._ray.kill(worker)


class RayGrid(SimulationGrid):
    """The clients on the workers of a pool."""

    def __init__(self, pool: WorkerPool, data: FederationData, nodes: Iterable[Node]) -> None:
        """Begin a run over the nodes, which are countries of the data."""
        super().__init__(nodes)
        self._pool = pool
        self._run_id, self._owners = pool.open(data, self.nodes)

    def _answer(
        self, items: list[tuple[int, Message]], timeout: float | None
    ) -> dict[int, Message | Failure]:
        put: dict[int, Any] = {}
        parcels: dict[int, list[_Parcel]] = {}
        arguments: dict[int, dict[int, int]] = {}
        for index, message in items:
            owner = self._owners[message.metadata.dst_node_id]
            slots = arguments.setdefault(owner, {})
            records: dict[str, Any] = {}
            for name, record in message.content.items():
                if isinstance(record, ArrayRecord):
                    if id(record) not in put:
                        put[id(record)] = self._pool.put(record)
                    records[name] = _Slot(slots.setdefault(id(record), len(slots)))
                else:
                    records[name] = record
            bare = Message(RecordDict(), metadata=message.metadata)
            parcels.setdefault(owner, []).append(_Parcel(index, bare, records))
        calls = [
            self._pool.workers[owner].answer.remote(
                self._run_id, parcels[owner], *[put[key] for key in arguments[owner]]
            )
            for owner in sorted(parcels)
        ]
        return {i: reply for part in self._pool.call(calls, timeout) for i, reply in part}

    def _export(self, record: str) -> dict[int, dict[str, np.ndarray]]:
        workers = self._pool.workers
        parts = self._pool.call([worker.export.remote(self._run_id, record) for worker in workers])
        return {node_id: arrays for part in parts for node_id, arrays in part.items()}

    def close(self) -> None:
        """Drop the contexts of this run; the workers stay.

        Nobody waits for it, so that an error or an interrupt need not wait for a long training.
        """
        if self._pool is _state.pool:
            for worker in self._pool.workers:
                worker.close.remote(self._run_id)


def assign(weights: dict[int, int], workers: int) -> dict[int, int]:
    """Nodes to workers, largest first, each to the worker with the least weight so far."""
    loads = [0] * workers
    owners: dict[int, int] = {}
    for node_id in sorted(weights, key=lambda node_id: (-weights[node_id], node_id)):
        owner = loads.index(min(loads))
        owners[node_id] = owner
        loads[owner] += weights[node_id]
    return owners


@dataclass
class _State:
    pool: WorkerPool | None = None
    key: tuple[RayParameters, bool] | None = None
    started_ray: bool = False


_state = _State()
_lock = threading.RLock()


def worker_pool(parameters: RayParameters, device: Device) -> WorkerPool:
    """The pool of this process: started at the first call, and anew when its settings change.

    Raises:
        InputError: no Ray cluster answers at the address, or it has no room for the workers.
    """
    key = (parameters, device == "cpu")
    with _lock:
        if _state.pool is not None and _state.key == key:
            return _state.pool
        if _state.pool is not None:
            shutdown()
        import ray

        if not ray.is_initialized():
            _start(parameters)
            _state.started_ray = True
            atexit.register(shutdown)
        resources = ray.cluster_resources()
        cores = int(resources.get("CPU", 1))
        workers = cores if parameters.num_workers == "auto" else parameters.num_workers
        if workers > cores:
            shutdown()
            raise InputError(
                f"ray.num_workers is {workers}, but Ray has {cores} CPU cores; lower it"
            )
        gpus = resources.get("GPU", 0.0) if device != "cpu" else 0.0
        _state.pool, _state.key = WorkerPool(workers, gpus), key
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
