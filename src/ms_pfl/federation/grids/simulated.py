"""The grid of a simulation: it sees the states of its clients."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.client import PRIVATE
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import ArrayRecord, Message, name_message, take_identity
from ms_pfl.federation.grids.host import Answers, Changes, Failure, States, change
from ms_pfl.federation.grids.named import NamedGrid, Node, PrivateStates
from ms_pfl.federation.progress import ProgressListener
from ms_pfl.federation.records import to_arrays


class SimulationGrid(NamedGrid):
    """The grid of a simulation; used in a ``with`` statement.

    The grid knows every client's state as of the last exchange that succeeded. A simulation can
    look into its clients; a deployment cannot, and nothing that is trained depends on it.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Number the nodes in the order of their names."""
        super().__init__(nodes)
        take_identity()
        self._replies: dict[str, Message] = {}
        self._message_ids = itertools.count(1)
        self._listener: ProgressListener | None = None
        self._states: States = {}

    def __exit__(self, *_: object) -> None:
        """End the run."""
        self.close()

    @contextmanager
    def watched_by(self, listener: ProgressListener) -> Iterator[None]:
        """Tell the listener how far fits are while messages are out, a few times a second or more.

        A simulation can; a deployment cannot, and nothing that is trained depends on it.
        """
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have the messages answered; the ids fetch the replies with ``pull_messages``."""
        messages = list(messages)
        for reply in self.send_and_receive(messages):
            self._replies[reply.metadata.reply_to_message_id] = reply
        return [message.metadata.message_id for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies to messages that were pushed; each is handed out once."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Have the messages answered, and return the replies in the order of the nodes.

        Raises:
            InputError: a client met what a person can mend; the error names it, on one line.
            ClientError: a client raised otherwise; the error names it and holds its traceback.
        """
        messages = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        for message in messages:
            name_message(message, f"m{next(self._message_ids)}")
        answers = self._answer(list(enumerate(messages)), timeout)
        ordered: list[Message] = []
        for index, reply in sorted(answers.replies.items()):
            if isinstance(reply, Failure):
                name = self.name_of(messages[index].metadata.dst_node_id)
                if reply.message is not None:
                    raise InputError(f"{name}: {reply.message}")
                raise ClientError(
                    f"the client {name} failed at {messages[index].metadata.message_type}:\n"
                    f"{reply.traceback}"
                )
            ordered.append(reply)
        self._note(answers.changes)
        return ordered

    def _note(self, changes: Changes) -> None:
        """Take down what has changed in the clients' states."""
        for node_id, records in changes.items():
            change(self._states.setdefault(node_id, {}), records)

    def states(self, record: str) -> dict[Node, ArrayRecord]:
        """One record of arrays of every client's state.

        Raises:
            ClientError: a client has no such record.
        """
        for node_id in self.nodes:
            if record not in self._states.get(node_id, {}):
                name = self.name_of(node_id)
                raise ClientError(f"the client {name} holds no {record!r}: it was not prepared")
        return {node: self._states[node_id][record] for node_id, node in self.nodes.items()}

    def private(self) -> dict[str, dict[str, ArrayRecord]]:
        """The records of the clients' private state by country and name."""
        self.states("scaler")  # a client that was not prepared has none yet
        return {node.country: self._private_of(node_id) for node_id, node in self.nodes.items()}

    def _private_of(self, node_id: int) -> dict[str, ArrayRecord]:
        states = self._states.get(node_id, {})
        return {name: record for name, record in states.items() if name.startswith(PRIVATE)}

    def restore_private(self, private: PrivateStates) -> None:
        """Give the clients back what :meth:`private` told; all nodes are of one seed."""
        given: Changes = {
            node_id: {
                **dict.fromkeys(self._private_of(node_id)),
                **private.get(node.country, {}),
            }
            for node_id, node in self.nodes.items()
        }
        self._restore(given)
        self._note(given)

    def export_state(self, record: str) -> dict[Node, dict[str, np.ndarray]]:
        """The same as arrays."""
        return {node: to_arrays(arrays) for node, arrays in self.states(record).items()}

    @abstractmethod
    def _answer(self, items: list[tuple[int, Message]], timeout: float | None) -> Answers:
        """Have the messages answered."""

    @abstractmethod
    def _restore(self, states: Changes) -> None:
        """Write records into clients' states; None removes one."""

    @abstractmethod
    def close(self) -> None:
        """Drop the contexts of this run."""
