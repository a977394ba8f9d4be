"""RayGrid: Flower's Grid on a pool of Ray workers that lives as long as the process.

Each worker owns some nodes of a run and keeps their contexts. A round's messages to one worker
travel in one remote call; arrays that several messages carry go into the object store once. Rows
go to a worker once and serve all trainings over the same data. While workers compute, they are
asked twice a second how far their fits are.

What a message changes in a client's state comes back with its reply. So a worker that dies can be
replaced: the new one gets the rows and the states as they were, and does the same work again, with
the same bits.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ms_pfl.errors import InputError
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.flower import ArrayRecord, Message, RecordDict
from ms_pfl.federation.grids.base import Answers, ClientError, MakeApp, Node, SimulationGrid, States
from ms_pfl.federation.grids.ray_layout import assign, gpu_share, workers_on
from ms_pfl.federation.grids.ray_start import start_ray, stop_ray
from ms_pfl.federation.grids.ray_worker import Parcel, RayClientHost, Slot
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import FederationData
from ms_pfl.federation.progress import FitProgress
from ms_pfl.learning.parameters import Device

_START_SECONDS = 120.0
_POLL_SECONDS = 0.5
_DEATHS = 3  # of one worker in one exchange, after which it is not tried again

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _OpenRun:
    data: FederationData
    nodes: dict[int, Node]
    owners: dict[int, int]
    states: States

    def of(self, number: int) -> dict[int, Node]:
        """The nodes of one worker."""
        return {i: node for i, node in self.nodes.items() if self.owners[i] == number}


class WorkerPool:
    """Ray workers, started once; RayGrids come and go on them.

    Args:
        workers: number of worker processes.
        gpu_share: GPUs of each of them, or a part of one.
        make_app: makes the workers' ClientApp; see :class:`ClientHost`.

    Raises:
        InputError: the cluster has no room for them now.
    """

    def __init__(self, workers: int, gpu_share: float, make_app: MakeApp = make_client_app) -> None:
        """Start the workers and wait for them; Ray runs already."""
        import ray

        self._ray = ray
        # Ray's memory monitor has an error of its own for a worker that it killed
        self._death = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)
        actor = ray.remote(concurrency_groups={"progress": 1})(RayClientHost)
        self._actor = actor.options(num_cpus=1, num_gpus=gpu_share)
        self._make_app = make_app
        self.workers = [self._start() for _ in range(workers)]
        self.stopped = False
        self._run_ids = itertools.count(1)
        self._runs: dict[int, _OpenRun] = {}
        self._latest = ""
        self._rows: dict[str, dict[str, Any]] = {}
        self._delivered: set[tuple[str, int, str]] = set()
        try:
            self._wait_for(self.workers)
        except BaseException:
            self.stop()
            raise

    def _start(self) -> Any:
        return self._actor.remote(make_app=self._make_app)

    def _wait_for(self, workers: list[Any]) -> None:
        started = [worker.__ray_ready__.remote() for worker in workers]
        if late := self._wait(started, _START_SECONDS):
            ready = len(started) - len(late)
            raise InputError(
                f"ray.num_workers: {ready} of {len(started)} worker processes started within "
                f"{_START_SECONDS:.0f} s; other work holds the other cores (or GPUs) of the Ray "
                "cluster, or a node of it is gone; lower ray.num_workers, or wait"
            )
        self._ray.get(started)

    def open(
        self, data: FederationData, nodes: dict[int, Node], states: States
    ) -> tuple[int, dict[int, int]]:
        """Begin a run: its number, and which worker owns which node.

        Rows of other data are dropped as soon as no run needs them.

        Args:
            data: the rows.
            nodes: the clients.
            states: of the clients, kept up to date by the caller; a worker that takes the place
                of a dead one starts from them.
        """
        run_id = next(self._run_ids)
        weights = {i: data.training_rows(node.country, node.seed) for i, node in nodes.items()}
        run = _OpenRun(data, nodes, assign(weights, len(self.workers)), states)
        self._latest = data.identity
        self._forget_unused()

        def begin(number: int) -> Any:
            return self._open_on(number, run_id, run)

        self.on_workers(dict.fromkeys(range(len(self.workers)), begin))
        self._runs[run_id] = run
        return run_id, run.owners

    def _open_on(self, number: int, run_id: int, run: _OpenRun) -> Any:
        mine, identity = run.of(number), run.data.identity
        references = self._rows.setdefault(identity, {})
        countries = sorted({node.country for node in mine.values()})
        new = [name for name in countries if (identity, number, name) not in self._delivered]
        for name in new:
            if name not in references:
                references[name] = self._ray.put(run.data.rows(name))
        self._delivered.update((identity, number, name) for name in new)
        rows = [references[name] for name in new]
        return self.workers[number].open.remote(run_id, identity, mine, *rows)

    def _replace(self, number: int) -> None:
        """A new worker in the place of a dead one, with its nodes of all open runs."""
        self.workers[number] = self._start()
        self._wait_for([self.workers[number]])
        self._delivered = {key for key in self._delivered if key[1] != number}
        calls = []
        for run_id, run in self._runs.items():
            calls.append(self._open_on(number, run_id, run))
            states = {i: run.states[i] for i in run.of(number) if i in run.states}
            calls.append(self.workers[number].restore.remote(run_id, states))
        self._ray.get(calls)

    def close(self, run_id: int) -> None:
        """End a run; nobody waits for the workers."""
        if self._runs.pop(run_id, None) is None:
            return
        for worker in self.workers:
            worker.close.remote(run_id)
        self._forget_unused()

    def _forget_unused(self) -> None:
        open_runs = Counter(run.data.identity for run in self._runs.values())
        for identity in [i for i in self._rows if i != self._latest and not open_runs[i]]:
            for worker in self.workers:
                worker.forget.remote(identity)
            del self._rows[identity]
            self._delivered = {key for key in self._delivered if key[0] != identity}

    def put(self, record: ArrayRecord) -> Any:
        """A reference to the record in the object store."""
        return self._ray.put(record)

    def on_workers(
        self,
        calls: Mapping[int, Callable[[int], Any]],
        timeout: float | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> dict[int, Any]:
        """What some workers return; one that dies is replaced, and does its part again.

        If anything else goes wrong, or the person interrupts, while a worker still computes, the
        pool is given up: the worker would first finish what nobody waits for.

        Args:
            calls: by the number of a worker, the remote call to make, given that number.
            timeout: seconds to wait; None: as long as it takes.
            meanwhile: called about twice a second while they compute.

        Raises:
            ClientError: a worker died again and again, or did not answer in time.
        """
        until = None if timeout is None else time.monotonic() + timeout
        done: dict[int, Any] = {}
        deaths: Counter[int] = Counter()  # a lost node takes all its workers at once
        references: dict[int, Any] = {}
        try:
            while len(done) < len(calls):
                references = {n: call(n) for n, call in calls.items() if n not in done}
                answered, dead = self._gather(references, until, meanwhile)
                done |= answered
                for number, error in dead.items():
                    deaths[number] += 1
                    if deaths[number] > _DEATHS:
                        raise error
                    _log.warning(
                        "A worker process died (out of memory?); a new one takes its place and "
                        "repeats what it was doing. Should it happen often, lower ray.num_workers."
                    )
                    self._replace(number)
            return done
        except (*self._death, self._ray.exceptions.GetTimeoutError) as error:
            self.give_up()
            raise ClientError(
                "a worker process died or did not answer (out of memory?); fewer workers need "
                f"less memory: ray.num_workers. Ray says: {error}"
            ) from error
        except BaseException as error:
            if not isinstance(error, Exception) or self._wait(list(references.values()), 0):
                self.give_up()
            raise

    def _gather(
        self,
        references: dict[int, Any],
        until: float | None,
        meanwhile: Callable[[], None] | None,
    ) -> tuple[dict[int, Any], dict[int, Exception]]:
        """What the calls return by worker, and the workers that died."""
        busy = list(references.values())
        while busy and meanwhile is not None and (until is None or time.monotonic() < until):
            busy = self._wait(busy, _POLL_SECONDS)
            meanwhile()
        done: dict[int, Any] = {}
        dead: dict[int, Exception] = {}
        for number, reference in references.items():
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                done[number] = self._ray.get(reference, timeout=left)
            except self._death as error:
                dead[number] = error
        return done, dead

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
        news: dict[int, FitProgress] = {}
        for number in answered:
            with suppress(*self._death):  # it is replaced, once it is missed
                news |= self._ray.get(asked.pop(number))
        return news

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
        self.stopped = True
        for worker in self.workers if self._ray.is_initialized() else ():
            self._ray.kill(worker)


class RayGrid(SimulationGrid):
    """The clients on the workers of a pool."""

    def __init__(self, pool: WorkerPool, data: FederationData, nodes: Iterable[Node]) -> None:
        """Begin a run over the nodes, which are countries of the data."""
        super().__init__(nodes)
        self._pool = pool
        self._run_id, self._owners = pool.open(data, self.nodes, self._states)
        self._fits: dict[int, FitProgress] = {}
        self._asked: dict[int, Any] = {}

    def _answer(self, items: list[tuple[int, Message]], timeout: float | None) -> Answers:
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

        def answer(owner: int) -> Any:
            records = [put[key] for key in arguments[owner]]
            return self._pool.workers[owner].answer.remote(self._run_id, parcels[owner], *records)

        meanwhile = self._tell if self._listener is not None else None
        parts = self._pool.on_workers(dict.fromkeys(sorted(parcels), answer), timeout, meanwhile)
        answers = Answers({}, {})
        for part in parts.values():
            answers.replies.update(part.replies)
            answers.changes.update(part.changes)
        return answers

    def _tell(self) -> None:
        self._fits |= self._pool.progress(self._run_id, self._asked)
        if self._listener is not None and self._fits:
            self._listener(dict(self._fits))

    def _restore(self, states: States) -> None:
        def restore(number: int) -> Any:
            mine = {i: state for i, state in states.items() if self._owners[i] == number}
            return self._pool.workers[number].restore.remote(self._run_id, mine)

        self._pool.on_workers(dict.fromkeys(sorted(set(self._owners.values())), restore))

    def close(self) -> None:
        """Drop the contexts of this run; the workers stay."""
        self._states.clear()
        if not self._pool.stopped:
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
        InputError: Ray does not start, no cluster answers at the address, or it has no room for
            the workers.
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
            start_ray(parameters)
            _state.started_ray = True
            atexit.register(_shutdown_at_exit)
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
            share = gpu_share(workers, gpus)
            if gpus and parameters.gpus_per_worker != "auto":
                share = parameters.gpus_per_worker
            if gpus and workers > (room := workers_on(gpus, share)):
                raise InputError(
                    f"ray.gpus_per_worker is {share:g}, which leaves room for {room} workers on "
                    f"{gpus} GPUs, not for {workers}; lower it or ray.num_workers, or set auto"
                )
            _state.pool, _state.key = WorkerPool(workers, share), key
        except BaseException:
            shutdown()
            raise
        return _state.pool


def shutdown() -> None:
    """End the workers, and Ray if it was started here. Safe to call at any time."""
    with _lock:
        import ray

        pool, _state.pool, _state.key = _state.pool, None, None
        if pool is not None:
            pool.stopped = True
        if _state.started_ray:
            _state.started_ray = False
            atexit.unregister(_shutdown_at_exit)
            stop_ray()
        elif pool is not None and ray.is_initialized():
            pool.stop()


def _shutdown_at_exit() -> None:
    """End Ray when the process ends, whatever happens: the run has its result already."""
    with suppress(Exception):
        shutdown()
