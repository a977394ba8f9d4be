"""A pool of Ray workers on which the runs of RayGrids come and go.

Rows go into Ray's store once and serve all trainings over the same data. What a message changes in
a client's state comes back with its reply. So a worker that dies can be replaced: the new one gets
the rows and the states as they were, and does the same work again, with the same bits.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray

from ms_pfl.errors import InputError
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.exchange import ClientError, Node
from ms_pfl.federation.flower import ArrayRecord, Message, traveling
from ms_pfl.federation.grids.simulated import Answers, ClientHost, MakeApp, States
from ms_pfl.federation.history import FitProgress
from ms_pfl.federation.partitions import FederationData

_START_SECONDS = 120.0
_POLL_SECONDS = 0.5
_DEATHS = 3  # of one worker in one exchange, after which it is not tried again

# Ray's memory monitor has an error of its own for a worker that it killed
_DEATH = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parcel:
    """A message on its way to a worker, without its array records, which travel beside it.

    Attributes:
        index: its place in the exchange.
        message: the rest of it.
        arrays: by the name of a record, the key that it travels under.
    """

    index: int
    message: Message
    arrays: Mapping[str, int]


class RayClientHost(ClientHost):
    """A worker: a ClientHost whose messages come as parcels.

    Ray runs its methods one after another in one thread, in the order in which they were called;
    only ``progress`` is answered beside them, from a thread of its own.
    """

    def pid(self) -> int:
        """Return the number of this process."""
        return os.getpid()

    def answer(
        self, run_id: int, parcels: list[Parcel], keys: list[int], *records: ArrayRecord
    ) -> Answers:
        """Put the messages together again and answer them."""
        found = dict(zip(keys, records, strict=True))
        for parcel in parcels:
            for name, key in parcel.arrays.items():
                parcel.message.content[name] = found[key]
        answers = self.handle(run_id, [(parcel.index, parcel.message) for parcel in parcels])
        for reply in answers.replies.values():
            if isinstance(reply, Message):
                for name, record in reply.content.array_records.items():
                    reply.content[name] = traveling(record)
        return answers


@dataclass(frozen=True)
class _OpenRun:
    data: FederationData
    nodes: dict[int, Node]
    owners: dict[int, int]
    states: States

    def of(self, number: int) -> dict[int, Node]:
        """Return the nodes of one worker."""
        return {i: node for i, node in self.nodes.items() if self.owners[i] == number}


class WorkerPool:
    """Ray workers, started once; RayGrids come and go on them.

    Args:
        workers: number of worker processes.
        gpu_share: GPUs of each of them, or a part of one.
        make_app: makes the workers' ClientApp; see :class:`ClientHost`.
        on_give_up: called with the pool after :meth:`give_up` has ended its workers.

    Raises:
        InputError: the cluster has no room for them now.
    """

    def __init__(
        self,
        workers: int,
        gpu_share: float,
        make_app: MakeApp = make_client_app,
        on_give_up: Callable[[WorkerPool], None] = lambda _: None,
    ) -> None:
        """Start the workers and wait for them; Ray runs already."""
        actor = ray.remote(concurrency_groups={"progress": 1})(RayClientHost)
        on_a_core = actor.options(num_cpus=1, num_gpus=gpu_share)
        self._start = partial(on_a_core.remote, make_app=make_app)
        self._on_give_up = on_give_up
        self.workers = [self._start() for _ in range(workers)]
        self.stopped = False
        self._run_ids = itertools.count(1)
        self._runs: dict[int, _OpenRun] = {}
        self._latest = ""
        self._rows: dict[str, dict[str, Any]] = {}
        try:
            self._wait_for(self.workers)
        except BaseException:
            self.stop()
            raise

    def _wait_for(self, workers: list[Any]) -> None:
        started = [worker.__ray_ready__.remote() for worker in workers]
        if late := self._wait(started, _START_SECONDS):
            ready = len(started) - len(late)
            raise InputError(
                f"ray.num_workers: {ready} of {len(started)} worker processes started within "
                f"{_START_SECONDS:.0f} s; other work holds the other cores (or GPUs) of the Ray "
                "cluster, or a node of it is gone; lower ray.num_workers, or wait"
            )
        ray.get(started)

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

        self.on_workers(range(len(self.workers)), lambda number: self._open_on(number, run_id, run))
        self._runs[run_id] = run
        return run_id, run.owners

    def _open_on(self, number: int, run_id: int, run: _OpenRun) -> Any:
        mine = run.of(number)
        rows = self._rows.setdefault(run.data.identity, {})
        countries = {node.country for node in mine.values()}
        for country in countries - rows.keys():
            rows[country] = ray.put(run.data.rows(country))
        return self.workers[number].open.remote(run_id, mine, *(rows[name] for name in countries))

    def _replace(self, number: int) -> None:
        """Put a new worker in the place of a dead one, with its nodes of all open runs."""
        self.workers[number] = self._start()
        self._wait_for([self.workers[number]])
        calls = []
        for run_id, run in self._runs.items():
            calls.append(self._open_on(number, run_id, run))
            states = {i: run.states[i] for i in run.of(number) if i in run.states}
            calls.append(self.workers[number].restore.remote(run_id, states))
        ray.get(calls)

    def close(self, run_id: int) -> None:
        """End a run; nobody waits for the workers."""
        if self._runs.pop(run_id, None) is None:
            return
        for worker in self.workers:
            worker.close.remote(run_id)
        self._forget_unused()

    def _forget_unused(self) -> None:
        needed = {self._latest, *(run.data.identity for run in self._runs.values())}
        self._rows = {identity: rows for identity, rows in self._rows.items() if identity in needed}

    def on_workers(
        self,
        numbers: Sequence[int],
        call: Callable[[int], Any],
        meanwhile: Callable[[], None] | None = None,
    ) -> dict[int, Any]:
        """Return what some workers return; one that dies is replaced, and does its part again.

        If anything else goes wrong, or the person interrupts, while a worker still computes, the
        pool is given up: the worker would first finish what nobody waits for.

        Args:
            numbers: of the workers.
            call: makes the remote call to the worker of a number.
            meanwhile: called about twice a second while they compute.

        Raises:
            ClientError: a worker died again and again.
        """
        done: dict[int, Any] = {}
        deaths: Counter[int] = Counter()  # a lost node takes all its workers at once
        references: dict[int, Any] = {}
        try:
            while len(done) < len(numbers):
                references = {number: call(number) for number in numbers if number not in done}
                busy = list(references.values())
                while busy and meanwhile is not None:
                    busy = self._wait(busy, _POLL_SECONDS)
                    meanwhile()
                for number, reference in references.items():
                    try:
                        done[number] = ray.get(reference)
                    except _DEATH:
                        deaths[number] += 1
                        if deaths[number] > _DEATHS:
                            raise
                        _log.warning(
                            "A worker process died (out of memory?); a new one takes its place and "
                            "repeats what it was doing. Should it happen often, lower "
                            "ray.num_workers."
                        )
                        self._replace(number)
            return done
        except _DEATH as error:
            self.give_up()
            raise ClientError(
                "a worker process died or did not answer (out of memory?); fewer workers need "
                f"less memory: ray.num_workers. Ray says: {error}"
            ) from error
        except BaseException as error:
            if not isinstance(error, Exception) or self._wait(list(references.values()), 0):
                self.give_up()
            raise

    def progress(self, run_id: int, asked: dict[int, Any]) -> dict[int, FitProgress]:
        """Return what the workers have to tell about the fits of a run; who is slow is not asked
        twice.

        Args:
            run_id: the run.
            asked: questions on their way by worker, kept from call to call.
        """
        for number, worker in enumerate(self.workers):
            if number not in asked:
                question = worker.progress.options(concurrency_group="progress")
                asked[number] = question.remote(run_id)
        late = self._wait(list(asked.values()), _POLL_SECONDS)
        news: dict[int, FitProgress] = {}
        for number in [number for number, reference in asked.items() if reference not in late]:
            with suppress(*_DEATH):  # it is replaced, once it is missed
                news |= ray.get(asked.pop(number))
        return news

    def _wait(self, references: list[Any], seconds: float) -> list[Any]:
        """Those of the references that are still computed after so many seconds at most."""
        return list(ray.wait(references, num_returns=len(references), timeout=seconds)[1])

    def give_up(self) -> None:
        """End the worker processes at once; the next training starts new ones."""
        self.stop()
        self._on_give_up(self)

    def stop(self) -> None:
        """End the worker processes."""
        self.stopped = True
        for worker in self.workers if ray.is_initialized() else ():
            ray.kill(worker)


def assign(weights: dict[int, int], workers: int) -> dict[int, int]:
    """Nodes to workers, largest first, each to the worker with the least weight so far."""
    loads = [0] * workers
    owners: dict[int, int] = {}
    for node_id in sorted(weights, key=lambda node_id: (-weights[node_id], node_id)):
        owner = loads.index(min(loads))
        owners[node_id] = owner
        loads[owner] += weights[node_id]
    return owners
