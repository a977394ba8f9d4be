"""A grid whose nodes are known by name, and what the server asks all of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Grid,
    Message,
    RecordDict,
    Run,
    reason_of,
    to_record,
)
from ms_pfl.federation.history import ProgressListener
from ms_pfl.federation.messages import INPUTS
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.partitions import SplitName
from ms_pfl.federation.replies import KnownRows, check_records
from ms_pfl.learning.inputs import Inputs
from ms_pfl.text import shown

T = TypeVar("T")
PrivateStates = Mapping[str, Mapping[str, ArrayRecord]]
"""Records of the clients' private state by country and name."""


@dataclass(frozen=True, order=True)
class Node:
    """A client of a simulation: a country (or ``pooled``) with one seed's split of its rows."""

    country: str
    seed: int

    def __str__(self) -> str:
        """Return what errors call the node."""
        return f"{self.country} (seed {self.seed})"


class NamedGrid(Grid):
    """A Flower Grid whose nodes are known from the start, by name.

    Node ids count the nodes in the order of their countries' names (then seeds) from 1; replies
    come back in that order, whatever the order of the messages or of the work.

    Attributes:
        nodes: by number.
        n_features: columns of the clients' rows.
        rows: how many of them each client has, as far as it is known.
        secure: whether sums are asked for masked, so that their total alone can be read.
        tells_probabilities: whether clients tell the probabilities of their rows; else metrics.
        run: Flower's description of the run.
    """

    tells_probabilities: ClassVar[bool] = True
    run = Run.create_empty(run_id=1)

    def __init__(
        self,
        nodes: Iterable[Node],
        n_features: int,
        rows: Mapping[Node, Mapping[SplitName, int]] | None = None,
        *,
        secure: bool = False,
    ) -> None:
        """Give each node a number, in the order of their names.

        Args:
            nodes: the clients.
            n_features: columns of their rows.
            rows: how many a client has in each split, where that is known before it is asked.
            secure: whether sums are asked for masked.
        """
        self.secure = secure
        self.nodes: dict[int, Node] = dict(enumerate(sorted(set(nodes)), start=1))
        self.n_features = n_features
        known = rows or {}
        self.rows = KnownRows({i: dict(known.get(node, {})) for i, node in self.nodes.items()})

    def node_ids(self, seed: int) -> list[int]:
        """Return the nodes of one seed, in the order of the countries' names."""
        return [node_id for node_id, node in self.nodes.items() if node.seed == seed]

    def masked_over(self, nodes: Iterable[int], name: str = "participants") -> dict[str, list[str]]:
        """Return what a message says of whose masked sums are added up; nothing in the clear.

        Args:
            nodes: of one seed.
            name: of the setting.
        """
        return {name: sorted(self.nodes[i].country for i in nodes)} if self.secure else {}

    def name_of(self, node_id: int) -> str:
        """Return the country of a node, and its seed."""
        return str(self.nodes[node_id])

    def __enter__(self) -> Self:
        """Return the grid itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the run, where there is something to end."""

    @contextmanager
    def watched_by(self, listener: ProgressListener) -> Iterator[None]:
        """Tell the listener how far fits are while messages are out, where the grid can see it."""
        yield

    def private(self) -> PrivateStates:
        """Return the records of the clients' private state, where the grid can see them; else
        nothing."""
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
        """Return a message to a node."""
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
    replies: Iterable[Message], expected: Mapping[int, str], names: Mapping[int, str]
) -> list[Message]:
    """Return the replies in the order of ``expected``: one of each node, none of them an error.

    Args:
        replies: that came.
        expected: by node the type of the message that it was sent.
        names: of the nodes.

    Raises:
        ClientError: a node did not answer, answered twice, something else or with an error.
    """
    by_node: dict[int, Message] = {}
    for reply in replies:
        node_id = reply.metadata.src_node_id
        name = names.get(node_id, f"node {node_id}")
        if reply.has_error():
            raise ClientError(f"the client {name} answered with an error: {reason_of(reply.error)}")
        if node_id in by_node or node_id not in expected:
            raise ClientError(f"a reply too many came from {name}")
        if reply.metadata.message_type != expected[node_id] or not reply.has_content():
            raise ClientError(
                f"the client {name} answered {shown(reply.metadata.message_type, 60)}, and was "
                f"asked {expected[node_id]}"
            )
        by_node[node_id] = reply
    silent = [names[node_id] for node_id in expected if node_id not in by_node]
    if silent:
        raise ClientError(f"no reply came from {', '.join(silent)}")
    return [by_node[node_id] for node_id in expected]


@contextmanager
def reply_of(name: str, message_type: str) -> Iterator[None]:
    """Name the client where the body finds that its reply cannot be used."""
    try:
        yield
    except InputError as error:
        raise ClientError(
            f"the reply of {name} to {message_type} cannot be used: {error}"
        ) from None


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
    expected = dict.fromkeys(contents, message_type)
    replies = check_replies(grid.send_and_receive(messages), expected, names)
    return {reply.metadata.src_node_id: reply.content for reply in replies}


def ask_and_read(
    grid: NamedGrid,
    message_type: str,
    contents: Mapping[int, RecordDict],
    read: Callable[[int, RecordDict], T],
) -> dict[int, T]:
    """Send each node its content and return what each reply tells, in the order given.

    Args:
        grid: the nodes.
        message_type: of the messages.
        contents: of the messages, by node.
        read: from a node and the content of its reply to what it tells; raises where the reply
            cannot be used.

    Raises:
        ClientError: a node failed or did not answer, or its reply cannot be used.
    """
    found = {}
    for node_id, content in ask(grid, message_type, contents).items():
        with reply_of(grid.name_of(node_id), message_type):
            found[node_id] = read(node_id, content)
    return found


def prepare(
    grid: NamedGrid, seed: int, settings: ClientSettings, inputs: Inputs, after_round: int = 0
) -> None:
    """Give every client of the seed its settings and the inputs.

    ``after_round``: the round to go on from, where the clients keep their private state.

    Raises:
        ClientError: a client failed, or its reply cannot be used.
    """
    config = ConfigRecord(
        {"seed": seed, "settings": settings.model_dump_json(), "after-round": after_round}
    )
    content = RecordDict({"config": config, INPUTS: to_record(inputs.arrays())})
    ask_and_read(
        grid,
        "query.prepare",
        dict.fromkeys(grid.node_ids(seed), content),
        lambda _, reply: check_records(reply, (), metrics=False),
    )
