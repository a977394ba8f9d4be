"""What runs in a Ray worker, and the parcels that messages travel in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ms_pfl.federation.flower import ArrayRecord, Message, RecordDict
from ms_pfl.federation.grids.host import Answers, ClientHost
from ms_pfl.federation.records import traveling


@dataclass(frozen=True)
class Slot:
    """Stands in a message for an array record that travels beside it."""

    position: int


@dataclass(frozen=True)
class Parcel:
    """A message taken apart: its place in the round, the message without content, its records."""

    index: int
    message: Message
    records: dict[str, Any]


class RayClientHost(ClientHost):
    """A worker: a ClientHost whose messages come as parcels.

    Ray runs its methods one after another in one thread, in the order in which they were called;
    only ``progress`` is answered beside them, from a thread of its own.
    """

    def pid(self) -> int:
        """The number of this process."""
        return os.getpid()

    def answer(self, run_id: int, parcels: list[Parcel], *records: ArrayRecord) -> Answers:
        """Put the messages together again and answer them."""
        items = []
        for parcel in parcels:
            parcel.message.content = RecordDict(
                {
                    name: records[record.position] if isinstance(record, Slot) else record
                    for name, record in parcel.records.items()
                }
            )
            items.append((parcel.index, parcel.message))
        answers = self.handle(run_id, items)
        for reply in answers.replies.values():
            if isinstance(reply, Message):
                for name, record in reply.content.array_records.items():
                    reply.content[name] = traveling(record)
        return answers
