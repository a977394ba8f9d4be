"""What a client does to an answer that is masked: it checks the sums itself, then masks them.

Of a masked answer the server sees the total over all participants alone, so that it cannot check
what each of them sends. The client does, by the same code as the server does of sums in the clear,
and says so in the answer (``checked``), which its SuperNode's registered key vouches for. Beside it
stands a digest of each question that was masked for (:mod:`ms_pfl.federation.secure_sums`): the
server sees whether all sites were asked the same and have pinned the same keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ms_pfl.errors import InputError
from ms_pfl.federation.fixed_point import ROWS, Words
from ms_pfl.federation.flower import ArrayRecord, ConfigRecord, Context, Message, to_record
from ms_pfl.federation.messages import Summed, TrainRound
from ms_pfl.federation.replies import MASKED
from ms_pfl.federation.secure_sums import Agreed, MaskError, Masks, drill_masks

MakeMasks = Callable[[Context, Sequence[str]], Masks]
"""From a client's context and the participants to what it masks with."""
SCORED, FITTED = "scored", "fitted"
"""The records of an answer with the log-loss on the rows to select by, and to train on."""
TRAINED = "trained"
"""The question that the arrays of a round answer."""
LOSS = "loss"
"""The number in them: a sum over rows."""
PARTICIPANTS = "participants"
"""The record of a client's state that says who takes part in the masked sums of a run."""
_AGREED = TypeAdapter(Agreed)


class OwnCheckError(MaskError):
    """What a client would have masked fails its own check; the text may tell of its sums."""


def drill(context: Context, participants: Sequence[str]) -> Masks:
    """Return what a client of a simulation masks its sums with."""
    return drill_masks(str(context.node_config["country"]), participants)


@contextmanager
def own_check() -> Iterator[None]:
    """Have what a client finds wrong with its own sums refuse to send them."""
    try:
        yield
    except InputError as error:
        raise OwnCheckError(f"what it would send fails its own check: {error}") from None


@dataclass(frozen=True)
class Part:
    """Records that are masked together: one question with its answer.

    Attributes:
        name: of the question.
        participants: whose sums are added up.
        told: what they were asked alike beside the run, in words and numbers.
        asked: the arrays that came with it.
        answer: words by record and name.
    """

    name: str
    participants: Sequence[str]
    told: Mapping[str, Any]
    asked: Mapping[str, ArrayRecord]
    answer: Mapping[str, Mapping[str, Words]]


@dataclass(frozen=True)
class Masking:
    """How a client masks the answer to one message."""

    masks: Masks
    run: str

    def of(self, parts: Sequence[Part]) -> dict[str, ArrayRecord | ConfigRecord]:
        """Return the records of an answer.

        Raises:
            MaskError: the client does not mask it.
        """
        found: dict[str, ArrayRecord | ConfigRecord] = {}
        digests: dict[str, str] = {}
        for part in parts:
            told = {"run": self.run, "part": part.name, **part.told}
            question = self.masks.question(part.participants, told, part.asked)
            digests[part.name] = question.digest.hex()
            masked = self.masks.mask(part.answer, question)
            found |= {record: to_record(arrays) for record, arrays in masked.items()}
        return {**found, MASKED: ConfigRecord({"checked": True, **digests})}


def masking_of(
    make: MakeMasks, asked: Summed, message: Message, context: Context, seed: int | None = None
) -> Masking | None:
    """Return how the answer to a message is masked; None: it is told in the clear.

    Who takes part is taken down in the client's state.

    Args:
        make: the client's masks.
        asked: what the message asks.
        message: from the server.
        context: of the client.
        seed: of the fit, where there are rounds.

    Raises:
        MaskError: the sum would be one of other participants than before in this run, or of too
            few, or is to be told in the clear though the run has masked sums.
    """
    trainers = asked.trainers if isinstance(asked, TrainRound) else ()
    place = f"{seed}/{asked.server_round}" if isinstance(asked, TrainRound) else ""
    agreed = _held(context).after(str(context.run_id), asked.participants, place, trainers)
    if not asked.participants:
        return None
    masks = make(context, asked.participants)
    _hold(context, agreed)
    return Masking(masks, str(context.run_id))


def _held(context: Context) -> Agreed:
    """Return who takes part in a client's masked sums, as its state has it."""
    held = context.state.config_records.get(PARTICIPANTS)
    return Agreed() if held is None else _AGREED.validate_python(dict(held))


def _hold(context: Context, agreed: Agreed) -> None:
    told = _AGREED.dump_python(agreed, mode="json")  # tuples as lists
    context.state[PARTICIPANTS] = ConfigRecord({k: value for k, value in told.items() if value})


def loss_words(loss: float, sites: int) -> dict[str, Words]:
    """Return a sum of log-losses over rows as it travels.

    Raises:
        InputError: it is so large that the total could overflow.
    """
    return {LOSS: ROWS.encode(np.array([loss]), sites)}
