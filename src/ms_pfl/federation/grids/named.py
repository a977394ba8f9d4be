"""Flower's Grid whose nodes are known from the start, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np

from ms_pfl.federation.flower import ArrayRecord, Grid, Message, RecordDict, Run
from ms_pfl.federation.history import ProgressListener

PrivateStates = Mapping[str, Mapping[str, ArrayRecord]]
"""Records of the clients' private state by country and name."""


@dataclass(frozen=True, order=True)
class Node:
    """A client of a simulation: a country (or ``pooled``) with one seed's split of its rows."""

    country: str
    seed: int

    def __str__(self) -> str:
        """What errors call the node."""
        return f"{self.country} (seed {self.seed})"


class NamedGrid(Grid):
    """A Flower Grid whose nodes are known from the start, by name.

    Node ids count the nodes in the order of their countries' names (then seeds) from 1; replies
    come back in that order, whatever the order of the messages or of the work.

    Attributes:
        nodes: by number.
        run: Flower's description of the run.
    """

    run = Run.create_empty(run_id=1)

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Number the nodes in the order of their names."""
        self.nodes: dict[int, Node] = dict(enumerate(sorted(set(nodes)), start=1))

    def node_ids(self, seed: int) -> list[int]:
        """The nodes of one seed, in the order of the countries' names."""
        return [node_id for node_id, node in self.nodes.items() if node.seed == seed]

    def name_of(self, node_id: int) -> str:
        """The country of a node, and its seed."""
        return str(self.nodes[node_id])

    def __enter__(self) -> Self:
        """The grid itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the run, where there is something to end."""

    @contextmanager
    def watched_by(self, listener: ProgressListener) -> Iterator[None]:
        """Tell the listener how far fits are while messages are out, where the grid can see it."""
        yield

    def private(self) -> PrivateStates:
        """The records of the clients' private state, where the grid can see them; else nothing."""
        return {}

    def restore_private(self, private: PrivateStates) -> None:
        """Give the clients back what :meth:`private` told."""
        if private:
            raise ValueError("these clients keep their private state themselves")

    def export_state(self, record: str) -> dict[Node, dict[str, np.ndarray]]:
        """One record of arrays of every client's state, where the grid can see them."""
        return {}

    def set_run(self, run: Run) -> None:
        """Flower's hook: the run that this grid serves."""
        self.run = run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to a node."""
        return Message(
            content=content,
            message_type=message_type,
            dst_node_id=dst_node_id,
            group_id=group_id,
            ttl=ttl,
        )

    def get_node_ids(self) -> list[int]:
        """All nodes, in the order of the countries' names."""
        return list(self.nodes)
