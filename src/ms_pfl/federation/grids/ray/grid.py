"""RayGrid: the clients of a simulation on the Ray workers of a pool.

Each worker owns some nodes of a run and keeps their contexts. A round's messages to one worker
travel in one remote call; arrays that several messages carry go into the object store once. While
workers compute, they are asked twice a second how far their fits are.
"""

from collections import ChainMap
from collections.abc import Iterable
from typing import Any

import ray

from ms_pfl.federation.exchange import Node
from ms_pfl.federation.flower import Message, RecordDict
from ms_pfl.federation.grids.ray.pool import Parcel, WorkerPool
from ms_pfl.federation.grids.simulated import Answers, Changes, SimulationGrid
from ms_pfl.federation.history import FitProgress
from ms_pfl.federation.partitions import FederationData


class RayGrid(SimulationGrid):
    """The clients on the workers of a pool."""

    def __init__(
        self,
        pool: WorkerPool,
        data: FederationData,
        nodes: Iterable[Node],
        *,
        secure: bool = False,
    ) -> None:
        """Begin a run over the nodes, which are countries of the data."""
        super().__init__(data, nodes, secure=secure)
        self._pool = pool
        self._run_id, self._owners = pool.open(data, self.nodes, self._states)
        self._fits: dict[int, FitProgress] = {}
        self._asked: dict[int, Any] = {}

    def _answer(self, items: list[tuple[int, Message]]) -> Answers:
        put: dict[int, Any] = {}  # references in Ray's store
        parcels: dict[int, list[Parcel]] = {}
        for index, message in items:
            arrays = message.content.array_records
            for record in arrays.values():
                if id(record) not in put:
                    put[id(record)] = ray.put(record)
            rest = {n: record for n, record in message.content.items() if n not in arrays}
            bare = Message(RecordDict(rest), metadata=message.metadata)
            keys = {name: id(record) for name, record in arrays.items()}
            owner = self._owners[message.metadata.dst_node_id]
            parcels.setdefault(owner, []).append(Parcel(index, bare, keys))

        def answer(owner: int) -> Any:
            needed = {key for parcel in parcels[owner] for key in parcel.arrays.values()}
            records = [put[key] for key in needed]
            return self._pool.workers[owner].answer.remote(
                self._run_id, parcels[owner], list(needed), *records
            )

        meanwhile = self._tell if self._listener is not None else None
        parts = self._pool.on_workers(sorted(parcels), answer, meanwhile)
        return Answers(
            dict(ChainMap(*(part.replies for part in parts.values()))),
            dict(ChainMap(*(part.changes for part in parts.values()))),
        )

    def _tell(self) -> None:
        self._fits |= self._pool.progress(self._run_id, self._asked)
        if self._listener is not None and self._fits:
            self._listener(dict(self._fits))

    def _restore(self, states: Changes) -> None:
        def restore(number: int) -> Any:
            mine = {i: state for i, state in states.items() if self._owners[i] == number}
            return self._pool.workers[number].restore.remote(self._run_id, mine)

        self._pool.on_workers(sorted(set(self._owners.values())), restore)

    def close(self) -> None:
        """Drop the contexts of this run; the workers stay."""
        self._states.clear()
        if not self._pool.stopped:
            self._pool.close(self._run_id)
