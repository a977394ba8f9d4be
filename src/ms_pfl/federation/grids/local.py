"""LocalGrid: the clients of a simulation in this process."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.flower import Message
from ms_pfl.federation.grids.simulated import Answers, Changes, ClientHost, MakeApp, SimulationGrid
from ms_pfl.federation.partitions import FederationData


class LocalGrid(SimulationGrid):
    """The clients one after another in this process."""

    _run_ids = itertools.count(1)

    def __init__(
        self,
        data: FederationData,
        nodes: Iterable[Node],
        make_app: MakeApp = make_client_app,
    ) -> None:
        """Begin a run over the nodes, countries of the data; ``make_app``: of the ClientHost."""
        super().__init__(nodes)
        self._host = ClientHost(self._tell, make_app)
        self._run_id = next(self._run_ids)
        countries = sorted({node.country for node in self.nodes.values()})
        rows = [data.rows(country) for country in countries]
        self._host.open(self._run_id, self.nodes, *rows)

    def _answer(self, items: list[tuple[int, Message]]) -> Answers:
        return self._host.handle(self._run_id, items)

    def _restore(self, states: Changes) -> None:
        self._host.restore(self._run_id, states)

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener(self._host.progress(self._run_id))

    def close(self) -> None:
        """Drop the contexts of this run."""
        self._states.clear()
        self._host.close(self._run_id)
