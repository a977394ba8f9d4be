"""A grid whose nodes are known by name, and what the server asks all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np

from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Grid,
    Message,
    RecordDict,
    Run,
    to_arrays,
    to_record,
)
from ms_pfl.federation.history import ProgressListener
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.scaler import Scaler

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


class ClientError(RuntimeError):
    """A client failed, did not answer, or answered with an error; the message names it."""


def check_replies(
    replies: Iterable[Message], expected: Sequence[int], names: Mapping[int, str]
) -> list[Message]:
    """The replies in the order of ``expected``: one of each node, none of them an error.

    Raises:
        ClientError: a node did not answer, answered twice or with an error.
    """
    by_node: dict[int, Message] = {}
    for reply in replies:
        node_id = reply.metadata.src_node_id
        name = names.get(node_id, f"node {node_id}")
        if reply.has_error():
            raise ClientError(f"the client {name} answered with an error: {reply.error.reason}")
        if node_id in by_node or node_id not in names:
            raise ClientError(f"a reply too many came from {name}")
        by_node[node_id] = reply
    silent = [names[node_id] for node_id in expected if node_id not in by_node]
    if silent:
        raise ClientError(f"no reply came from {', '.join(silent)}")
    return [by_node[node_id] for node_id in expected]


def ask(
    grid: NamedGrid, message_type: str, contents: Mapping[int, RecordDict]
) -> dict[int, RecordDict]:
    """Send each node its content and return what each replied, in the order given.

    Raises:
        ClientError: a node failed or did not answer.
    """
    messages = [
        Message(content=content, message_type=message_type, dst_node_id=node_id)
        for node_id, content in contents.items()
    ]
    names = {node_id: grid.name_of(node_id) for node_id in contents}
    replies = check_replies(grid.send_and_receive(messages), list(contents), names)
    return {reply.metadata.src_node_id: reply.content for reply in replies}


def prepare(
    grid: NamedGrid, seed: int, settings: ClientSettings, scaler: Scaler, after_round: int = 0
) -> None:
    """Give every client of the seed its settings and the scaler.

    ``after_round``: the round to go on from, where the clients keep their private state.
    """
    config = ConfigRecord(
        {"seed": seed, "settings": settings.model_dump_json(), "after-round": after_round}
    )
    content = RecordDict({"config": config, "scaler": to_record(vars(scaler))})
    ask(grid, "query.prepare", dict.fromkeys(grid.node_ids(seed), content))


@dataclass(frozen=True)
class Finished:
    """What the clients told at the end of a fit.

    ``probabilities`` by country of its validation and test rows, in the order of its rows, where
    the clients tell them; else ``metrics`` by country, which is all that a real site tells.
    """

    probabilities: dict[str, dict[str, np.ndarray]]
    metrics: dict[str, dict[str, int | float]]


def predict(
    grid: NamedGrid, seed: int, arrays: ArrayRecord | None, best_round: int, keep_as: str
) -> Finished:
    """Have every client predict its validation and test rows.

    Args:
        grid: the clients.
        seed: of the fit.
        arrays: the shared ones; None: each client uses the model that it trained itself.
        best_round: whose private state is used.
        keep_as: name of the training; a real site keeps model and predictions under it.
    """
    config = ConfigRecord({"best-round": best_round, "keep-as": keep_as})
    content = RecordDict({"config": config})
    if arrays is not None:
        content["arrays"] = arrays
    answers = ask(grid, "query.predict", dict.fromkeys(grid.node_ids(seed), content))
    by_country = {grid.nodes[node_id].country: reply for node_id, reply in answers.items()}
    return Finished(
        {c: to_arrays(reply["arrays"]) for c, reply in by_country.items() if "arrays" in reply},
        {c: dict(reply["metrics"]) for c, reply in by_country.items() if "metrics" in reply},
    )
