"""The clients of a simulation: who runs them, and the grids that see their states."""

import itertools
import traceback
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.client import PRIVATE
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.exchange import ClientError, NamedGrid, Node, PrivateStates
from ms_pfl.federation.flower import (
    ArrayRecord,
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
    name_message,
    take_identity,
    to_arrays,
)
from ms_pfl.federation.history import FitProgress, ProgressListener
from ms_pfl.federation.messages import INPUTS
from ms_pfl.federation.partitions import ClientData, CountryRows, FederationData
from ms_pfl.learning.training import TrainingDivergedError


@dataclass(frozen=True)
class Failure:
    """What is left of a message whose client raised: the traceback as text.

    ``message``: the error that the user can fix, where the client named one; None for a defect.
    """

    traceback: str
    message: str | None = None


Record: TypeAlias = ArrayRecord | MetricRecord | ConfigRecord
States = dict[int, dict[str, Record]]
"""Records of the clients' states by node and name."""
Changes = dict[int, dict[str, Record | None]]
"""The same for those that have changed; None: the record was removed."""

MakeApp = Callable[
    [Callable[[Context, int], ClientData], Callable[[Context, FitProgress], None]], ClientApp
]


@dataclass(frozen=True)
class Answers:
    """Replies (or failures) by the index of their messages, and what they changed in the states."""

    replies: dict[int, Message | Failure]
    changes: Changes


def change(state: MutableMapping[str, Record], records: Mapping[str, Record | None]) -> None:
    """Write records into a client's state; None removes one."""
    for name, record in records.items():
        if record is not None:
            state[name] = record
        else:
            state.pop(name, None)


@dataclass
class _Run:
    """What a host holds for a run: rows by country, data by country and seed, the rest by node."""

    rows: dict[str, CountryRows]
    contexts: dict[int, Context]
    data: dict[tuple[str, int], ClientData] = field(default_factory=dict)
    progress: dict[int, FitProgress] = field(default_factory=dict)


class ClientHost:
    """Runs the ClientApp for some clients and keeps their contexts; a grid or a worker has one.

    Contexts, and what is made of the rows for a run, live as long as the run.
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
        self._runs: dict[int, _Run] = {}

    def open(self, run_id: int, nodes: dict[int, Node], *rows: CountryRows) -> None:
        """Begin a run for some nodes over the rows of their countries."""
        contexts = {
            node_id: Context(
                run_id=run_id,
                node_id=node_id,
                node_config={"country": node.country},
                state=RecordDict(),
                run_config={},
            )
            for node_id, node in nodes.items()
        }
        self._runs[run_id] = _Run({part.country: part for part in rows}, contexts)

    def handle(self, run_id: int, items: Sequence[tuple[int, Message]]) -> Answers:
        """Answer messages one by one; the first failure ends the list."""
        answers = Answers({}, {})
        for index, message in items:
            node_id = message.metadata.dst_node_id
            try:
                context = self._runs[run_id].contexts[node_id]
                before = dict(context.state.items())
                answers.replies[index] = self._app(message, context)
            except (InputError, TrainingDivergedError) as error:
                answers.replies[index] = Failure(traceback.format_exc(), str(error))
                break
            except Exception:
                answers.replies[index] = Failure(traceback.format_exc())
                break
            changed: dict[str, Record | None] = {
                name: record
                for name, record in context.state.items()
                if before.get(name) is not record
            }
            changed |= dict.fromkeys(before.keys() - context.state.keys())
            if changed:
                answers.changes.setdefault(node_id, {}).update(changed)
        return answers

    def restore(self, run_id: int, states: Changes) -> None:
        """Write records into the states of clients; None removes one."""
        for node_id, records in states.items():
            change(self._runs[run_id].contexts[node_id].state, records)

    def progress(self, run_id: int) -> dict[int, FitProgress]:
        """Return the latest of each fit of the run that has begun; safe to ask from another
        thread."""
        run = self._runs.get(run_id)
        return {} if run is None else dict(run.progress)

    def close(self, run_id: int) -> None:
        """End a run: drop its contexts, its rows and what was made of them."""
        self._runs.pop(run_id, None)

    def _load(self, context: Context, seed: int) -> ClientData:
        country = str(context.node_config["country"])
        run = self._runs[context.run_id]
        if (country, seed) not in run.data:
            run.data[country, seed] = run.rows[country].client_data(seed)
        return run.data[country, seed]

    def _note(self, context: Context, progress: FitProgress) -> None:
        self._runs[context.run_id].progress[context.node_id] = progress
        self._on_epoch()


class SimulationGrid(NamedGrid):
    """The grid of a simulation; used in a ``with`` statement.

    The grid knows every client's state as of the last exchange that succeeded. A simulation can
    look into its clients; a deployment cannot, and nothing that is trained depends on it.
    """

    def __init__(
        self, data: FederationData, nodes: Iterable[Node], *, secure: bool = False
    ) -> None:
        """Give each node, a country of the data, a number in the order of their names.

        Args:
            data: the rows.
            nodes: countries of it.
            secure: whether sums are masked, as a drill: each client knows the keys of all.
        """
        nodes = list(nodes)
        rows = {node: data.split_rows(node.country, node.seed) for node in nodes}
        super().__init__(nodes, len(data.features), rows, secure=secure)
        take_identity()
        self._replies: dict[str, Message] = {}
        self._message_ids = itertools.count(1)
        self._listener: ProgressListener | None = None
        self._states: States = defaultdict(dict)

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
        """Return the replies to messages that were pushed; each is handed out once."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Have the messages answered, and return the replies in the order of the nodes.

        ``timeout`` is not heeded: the clients get as long as it takes.

        Raises:
            InputError: a client met an error that the user can fix; it is named on one line.
            ClientError: a client raised otherwise; the error names it and holds its traceback.
        """
        messages = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        for message in messages:
            name_message(message, f"m{next(self._message_ids)}")
        answers = self._answer(list(enumerate(messages)))
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
            change(self._states[node_id], records)

    def export_state(self, record: str) -> dict[Node, dict[str, np.ndarray]]:
        """One record of arrays of every client's state.

        Raises:
            ClientError: a client has no such record.
        """
        for node_id in self.nodes:
            if record not in self._states[node_id]:
                name = self.name_of(node_id)
                raise ClientError(f"the client {name} holds no {record!r}: it was not prepared")
        return {node: to_arrays(self._states[i][record]) for i, node in self.nodes.items()}

    def private(self) -> dict[str, dict[str, ArrayRecord]]:
        """Return the records of the clients' private state by country and name."""
        self.export_state(INPUTS)  # a client that was not prepared has none yet
        return {node.country: self._private_of(node_id) for node_id, node in self.nodes.items()}

    def _private_of(self, node_id: int) -> dict[str, ArrayRecord]:
        held = self._states[node_id].items()
        return {name: record for name, record in held if name.startswith(PRIVATE)}

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

    @abstractmethod
    def _answer(self, items: list[tuple[int, Message]]) -> Answers:
        """Have the messages answered."""

    @abstractmethod
    def _restore(self, states: Changes) -> None:
        """Write records into clients' states; None removes one."""

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
        *,
        secure: bool = False,
    ) -> None:
        """Begin a run over the nodes, countries of the data; ``make_app``: of the ClientHost."""
        super().__init__(data, nodes, secure=secure)
        self._host = ClientHost(self._tell, make_app)
        self._run_id = next(self._run_ids)
        countries = sorted({node.country for node in self.nodes.values()})
        self._host.open(self._run_id, self.nodes, *map(data.rows, countries))

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
