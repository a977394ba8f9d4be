"""A federation in which one client sends another reply than it should."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from federation_examples import data_of
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.flower import (
    Array,
    ArrayRecord,
    Message,
    MetricRecord,
    RecordDict,
    to_arrays,
    to_record,
)
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.partitions import FederationData
from ms_pfl.paradigms import Training
from ms_pfl.training.resume import UnfinishedTraining
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.train import SeedResult, Sites, train
from paradigm_examples import parameters

LIAR = "BE"
DATA = data_of({"AU": 30, "BE": 60, "CZ": 15})
TOLD = parameters(
    federation={"rounds": 2, "patience": None, "client_fraction": 1.0},
    local={"epochs": 2, "patience": 2, "epochs_without_validation": 2},
    centralized={"epochs": 2, "patience": 2, "batch_size": 16},
)
NOTHING = UnfinishedTraining(None)
Lie = Callable[[RecordDict], None]


class LyingGrid(LocalGrid):
    """A LocalGrid; ``lie`` changes the liar's replies to messages of one type."""

    def __init__(self, data: FederationData, nodes: Iterable[Node], kind: str, lie: Lie) -> None:
        super().__init__(data, nodes)
        self._kind, self._lie = kind, lie

    def _answer(self, items):  # type: ignore[no-untyped-def]
        answers = super()._answer(items)
        for index, message in items:
            node = self.nodes[message.metadata.dst_node_id]
            reply = answers.replies.get(index)
            if (
                isinstance(reply, Message)
                and message.metadata.message_type == self._kind
                and node.country in (LIAR, "pooled")
            ):
                content = RecordDict({name: r.copy() for name, r in reply.content.items()})
                self._lie(content)
                answers.replies[index] = Message(content, metadata=reply.metadata)
        return answers


def results(
    training: Training,
    kind: str = "",
    lie: Lie = lambda _: None,
    told: TrainingSettings = TOLD,
    store: UnfinishedTraining = NOTHING,
) -> list[SeedResult]:
    """The results of a training in which the liar's replies to one type of message are changed."""
    return list(
        train(
            training,
            Sites(tuple(DATA.countries), DATA.features),
            told,
            DATA.seeds,
            device="cpu",
            open_grid=lambda names, seeds: LyingGrid(
                DATA, [Node(name, seed) for name in names for seed in seeds], kind, lie
            ),
            store=store,
            report=lambda _: None,
        )
    )


@cache
def honest(training: Training) -> str:
    """What an honest run of a training comes to, see :func:`content_of`."""
    return content_of(results(training))


def content_of(found: list[SeedResult]) -> str:
    """All of some results, as text that is equal where each bit is; but for the seconds."""
    parts: list[Any] = []
    for result in found:
        arrays = {"shared": result.shared, "inputs": result.inputs.arrays()}
        arrays |= {f"p/{name}": own for name, own in result.probabilities.items()}
        arrays |= {f"o/{name}": dict(own) for name, own in result.personal.items()}
        parts += [
            (name, key, str(array.dtype), array.shape, np.asarray(array).tobytes().hex())
            for name, own in sorted(arrays.items())
            for key, array in sorted(own.items())
        ]
        parts += [sorted((asdict(row) | {"seconds": 0}).items()) for row in result.history]
        parts.append(sorted(result.metrics.items()))
    return repr(parts)


# -- lies ------------------------------------------------------------------------------------------


def number(name: str, value: object) -> Lie:
    """Replace a metric, or remove it (None)."""

    def lie(content: RecordDict) -> None:
        if value is None:
            del content["metrics"][name]
        else:
            content["metrics"][name] = value

    return lie


def array(record: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Lie:
    """Replace an array by what a function makes of it."""

    def lie(content: RecordDict) -> None:
        arrays = to_arrays(content[record])
        content[record] = to_record(arrays | {name: change(arrays[name])})

    return lie


def raw(record: str, name: str, **fields: object) -> Lie:
    """Replace fields of an array as it travels; a function gets what was there."""

    def lie(content: RecordDict) -> None:
        held: Array = content[record][name]
        changed = {key: f(held.__dict__[key]) if callable(f) else f for key, f in fields.items()}
        other = Array(np.zeros(0))
        other.__dict__.clear()
        other.__dict__.update({**held.__dict__, **changed})
        content[record][name] = other

    return lie


def drop(record: str, name: str | None = None) -> Lie:
    """Remove a record, or one of its entries."""

    def lie(content: RecordDict) -> None:
        if name is None:
            del content[record]
        else:
            del content[record][name]

    return lie


def put(record: str, value: ArrayRecord | MetricRecord | Any) -> Lie:
    """Add or replace a record."""

    def lie(content: RecordDict) -> None:
        content[record] = value

    return lie
