"""The host of a grid's clients: it runs their ClientApp over rows of this process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ms_pfl.errors import InputError
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.flower import (
    ArrayRecord,
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
    take_identity,
)
from ms_pfl.federation.grids.named import Node
from ms_pfl.federation.partitions import ClientData, CountryRows
from ms_pfl.federation.progress import FitProgress
from ms_pfl.learning.training import TrainingDivergedError


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
        self._rows: dict[int, dict[str, CountryRows]] = {}
        self._data: dict[int, dict[tuple[str, int], ClientData]] = {}
        self._contexts: dict[int, dict[int, Context]] = {}
        self._progress: dict[int, dict[int, FitProgress]] = {}

    def open(self, run_id: int, nodes: dict[int, Node], *rows: CountryRows) -> None:
        """Begin a run for some nodes over the rows of their countries."""
        self._rows[run_id] = {part.country: part for part in rows}
        self._data[run_id], self._progress[run_id] = {}, {}
        self._contexts[run_id] = {
            node_id: Context(
                run_id=run_id,
                node_id=node_id,
                node_config={"country": node.country},
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
            change(self._contexts[run_id][node_id].state, records)

    def progress(self, run_id: int) -> dict[int, FitProgress]:
        """The latest of each fit of the run that has begun; safe to ask from another thread."""
        return dict(self._progress.get(run_id, {}))

    def close(self, run_id: int) -> None:
        """End a run: drop its contexts, its rows and what was made of them."""
        for kept in (self._contexts, self._rows, self._data, self._progress):
            kept.pop(run_id, None)

    def _load(self, context: Context, seed: int) -> ClientData:
        country = str(context.node_config["country"])
        kept = self._data[context.run_id]
        if (country, seed) not in kept:
            kept[country, seed] = self._rows[context.run_id][country].client_data(seed)
        return kept[country, seed]

    def _note(self, context: Context, progress: FitProgress) -> None:
        self._progress[context.run_id][context.node_id] = progress
        self._on_epoch()
