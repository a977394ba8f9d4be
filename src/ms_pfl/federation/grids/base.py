"""Grids: Flower's Grid whose nodes have names, over clients in this process or elsewhere."""

from __future__ import annotations

import itertools
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.flower import (
    ArrayRecord,
    ClientApp,
    ConfigRecord,
    Context,
    Grid,
    Message,
    MetricRecord,
    RecordDict,
    Run,
    name_message,
    take_identity,
)
from ms_pfl.federation.partitions import ClientData, CountryRows, FederationData
from ms_pfl.federation.progress import FitProgress, ProgressListener
from ms_pfl.federation.records import to_arrays
from ms_pfl.learning.training import TrainingDivergedError


class ClientError(RuntimeError):
    """A client failed, did not answer, or answered with an error; the message names it."""


@dataclass(frozen=True, order=True)
class Node:
    """A client of a simulation: a country (or ``pooled``) with one seed's split of its rows."""

    country: str
    seed: int

    def __str__(self) -> str:
        """What errors call the node."""
        return f"{self.country} (seed {self.seed})"


@dataclass(frozen=True)
class Failure:
    """What is left of a message whose client raised: the traceback as text.

    ``message``: what a person can mend, where the client said so; None for a defect.
    """

    traceback: str
    message: str | None = None


Record: TypeAlias = ArrayRecord | MetricRecord | ConfigRecord
States = dict[int, dict[str, Record]]
"""Records of the clients' states by node and name."""

MakeApp = Callable[
    [Callable[[Context, int], ClientData], Callable[[Context, FitProgress], None]], ClientApp
]


@dataclass(frozen=True)
class Answers:
    """Replies (or failures) by the index of their messages, and what they changed in the states."""

    replies: dict[int, Message | Failure]
    changes: States


class ClientHost:
    """Runs the ClientApp for some clients and keeps their contexts; a grid or a worker has one.

    Rows are handed in once a country and stay until :meth:`forget`; contexts, and what is made of
    the rows for a run, live as long as the run.
    """

    def __init__(
        self, on_epoch: Callable[[], None] = lambda: None, make_app: MakeApp = make_client_app
    ) -> None:
        """Without rows and runs; they come with :meth:`open`.

        Args:
            on_epoch: called after each epoch of a fit; :meth:`progress` has the news.
            make_app: makes the ClientApp from a loader of partitions and a listener to progress.
        """
        take_identity()
        self._app = make_app(self._load, self._note)
        self._on_epoch = on_epoch
        self._rows: dict[tuple[str, str], CountryRows] = {}
        self._data: dict[int, dict[tuple[str, int], ClientData]] = {}
        self._contexts: dict[int, dict[int, Context]] = {}
        self._progress: dict[int, dict[int, FitProgress]] = {}

    def open(self, run_id: int, identity: str, nodes: dict[int, Node], *rows: CountryRows) -> None:
        """Begin a run for some nodes over the data of this identity; ``rows``: the new ones."""
        self._rows.update({(identity, part.country): part for part in rows})
        self._data[run_id], self._progress[run_id] = {}, {}
        self._contexts[run_id] = {
            node_id: Context(
                run_id=run_id,
                node_id=node_id,
                node_config={"country": node.country, "data": identity},
                state=RecordDict(),
                run_config={},
            )
            for node_id, node in nodes.items()
        }

    def handle(self, run_id: int, items: Sequence[tuple[int, Message]]) -> Answers:
        """Answer messages one by one; the first failure ends the list."""
        answers = Answers({}, {})
        for index, message in items:
            node_id = message.metadata.dst_node_id
            try:
                context = self._contexts[run_id][node_id]
                before = dict(context.state.items())
                answers.replies[index] = self._app(message, context)
            except (InputError, TrainingDivergedError) as error:
                answers.replies[index] = Failure(traceback.format_exc(), str(error))
                break
            except Exception:
                answers.replies[index] = Failure(traceback.format_exc())
                break
            changed = {
                name: record
                for name, record in context.state.items()
                if before.get(name) is not record
            }
            if changed:
                answers.changes.setdefault(node_id, {}).update(changed)
        return answers

    def restore(self, run_id: int, states: States) -> None:
        """Write records into the states of clients."""
        for node_id, records in states.items():
            for name, record in records.items():
                self._contexts[run_id][node_id].state[name] = record

    def progress(self, run_id: int) -> dict[int, FitProgress]:
        """The latest of each fit of the run that has begun; safe to ask from another thread."""
        return dict(self._progress.get(run_id, {}))

    def close(self, run_id: int) -> None:
        """End a run: drop its contexts and what was made of the rows for it."""
        for kept in (self._contexts, self._data, self._progress):
            kept.pop(run_id, None)

    def forget(self, identity: str) -> None:
        """Drop the rows of the data of this identity."""
        self._rows = {key: rows for key, rows in self._rows.items() if key[0] != identity}

    def _load(self, context: Context, seed: int) -> ClientData:
        identity, country = str(context.node_config["data"]), str(context.node_config["country"])
        kept = self._data[context.run_id]
        if (country, seed) not in kept:
            kept[country, seed] = self._rows[identity, country].client_data(seed)
        return kept[country, seed]

    def _note(self, context: Context, progress: FitProgress) -> None:
        self._progress[context.run_id][context.node_id] = progress
        self._on_epoch()


class NamedGrid(Grid):
    """A Flower Grid whose nodes are known from the start, by name.

    Node ids count the nodes in the order of their countries' names (then seeds) from 1; replies
    come back in that order, whatever the order of the messages or of the work.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Number the nodes in the order of their names."""
        self.nodes: dict[int, Node] = dict(enumerate(sorted(set(nodes)), start=1))
        self._run = Run.create_empty(run_id=1)

    def node_ids(self, seed: int) -> list[int]:
        """The nodes of one seed, in the order of the countries' names."""
        return [node_id for node_id, node in self.nodes.items() if node.seed == seed]

    def name_of(self, node_id: int) -> str:
        """The country of a node, and its seed."""
        return str(self.nodes[node_id])

    def personal(self) -> dict[str, ArrayRecord]:
        """The personal arrays by country, where the grid can see them; else nothing."""
        return {}

    def restore_personal(self, personal: Mapping[str, ArrayRecord]) -> None:
        """Give the clients back what :meth:`personal` told."""
        if personal:
            raise ValueError("these clients keep their personal arrays themselves")

    def set_run(self, run: Run) -> None:
        """Flower's hook: the run that this grid serves."""
        self._run = run

    @property
    def run(self) -> Run:
        """Flower's description of the run."""
        return self._run

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

    def __enter__(self) -> SimulationGrid:
        """The grid itself."""
        return self

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
        for node_id, changed in answers.changes.items():
            self._states.setdefault(node_id, {}).update(changed)
        return ordered

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

    def personal(self) -> dict[str, ArrayRecord]:
        """The personal arrays by country."""
        return {node.country: record for node, record in self.states("personal").items()}

    def restore_personal(self, personal: Mapping[str, ArrayRecord]) -> None:
        """Give the clients back what :meth:`personal` told; all nodes are of one seed."""
        nodes = {node.country: node for node in self.nodes.values()}
        self.import_state("personal", {nodes[name]: kept for name, kept in personal.items()})

    def export_state(self, record: str) -> dict[Node, dict[str, np.ndarray]]:
        """The same as arrays."""
        return {node: to_arrays(arrays) for node, arrays in self.states(record).items()}

    def import_state(self, record: str, states: Mapping[Node, ArrayRecord]) -> None:
        """Write one record of arrays into clients' states."""
        ids = {node: node_id for node_id, node in self.nodes.items()}
        given: States = {ids[node]: {record: arrays} for node, arrays in states.items()}
        self._restore(given)
        for node_id, records in given.items():
            self._states.setdefault(node_id, {}).update(records)

    @abstractmethod
    def _answer(self, items: list[tuple[int, Message]], timeout: float | None) -> Answers:
        """Have the messages answered."""

    @abstractmethod
    def _restore(self, states: States) -> None:
        """Write records into clients' states."""

    @abstractmethod
    def close(self) -> None:
        """Drop the contexts of this run."""


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
        self._host.open(self._run_id, data.identity, self.nodes, *rows)

    def _answer(self, items: list[tuple[int, Message]], timeout: float | None) -> Answers:
        return self._host.handle(self._run_id, items)

    def _restore(self, states: States) -> None:
        self._host.restore(self._run_id, states)

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener(self._host.progress(self._run_id))

    def close(self) -> None:
        """Drop the contexts of this run."""
        self._states.clear()
        self._host.close(self._run_id)
