"""What the server reads in masked replies: that they answer one question, and their totals.

Each reply by itself is noise. What can be checked of it are names, types and shapes, and whether
all were made for the same question; the totals are checked as a sum in the clear is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.fixed_point import ROWS, add
from ms_pfl.federation.flower import ArrayRecord, Form, RecordDict, received, views
from ms_pfl.federation.masking import FITTED, LOSS, SCORED, TRAINED
from ms_pfl.federation.messages import Digest, first_reason
from ms_pfl.federation.replies import (
    MASKED,
    Asked,
    Heard,
    HeardStep,
    ReplyError,
    check_records,
    numbers,
)

_LOSS_FORMS = {LOSS: Form("uint64", (ROWS.words, 1))}
_DIGESTS = TypeAdapter(dict[str, Digest])


def questions_in(content: RecordDict, names: Collection[str]) -> dict[str, str]:
    """Return the digests of the questions that a masked reply answers.

    Args:
        content: of the reply, whose records have been checked.
        names: of the questions.

    Raises:
        ReplyError: it tells of others, or not that the client has checked its sums itself.
    """
    told = dict(content.config_records[MASKED])
    if told.pop("checked", None) is not True:
        raise ReplyError("it does not say that the client has checked its sums itself")
    try:
        found = _DIGESTS.validate_python(told, strict=True)
    except ValidationError as error:
        raise ReplyError(first_reason(error)) from None
    if found.keys() != set(names):
        raise ReplyError("it tells of other masked questions than were asked")
    return found


def check_alike(questions: Mapping[str, Mapping[str, str]]) -> None:
    """See that all sites have masked for the same questions.

    Args:
        questions: by site the digests of its questions, by name.

    Raises:
        ClientError: one has not, so that the total would be noise.
    """
    first: dict[str, tuple[str, str]] = {}
    for site, own in questions.items():
        for name, digest in own.items():
            other, known = first.setdefault(name, (site, digest))
            if digest != known:
                raise ClientError(
                    f"{site} and {other} have masked their sums for different questions "
                    f"({name}): one of them has pinned other keys than the other (compare what "
                    "`python -m ms_pfl site keys` shows at both), or computes for another agreement"
                )


def total_loss(contents: Iterable[RecordDict], record: str) -> float:
    """Return the sum of the log-losses that masked replies hold.

    Raises:
        ClientError: it is below 0, so that one of them is not what it should be.
    """
    parts = [views(content.array_records[record])[LOSS] for content in contents]
    total = ROWS.exactly(add(parts))
    if total < 0:
        raise ClientError(
            "the total of the masked log-losses is below 0: a site has sent another number than "
            "its own, or with other masks"
        )
    return total


def check_loss(record: ArrayRecord) -> None:
    """See that a record holds a log-loss.

    Raises:
        ArrayError: it does not.
    """
    received(record, _LOSS_FORMS, finite=False)


@dataclass(frozen=True)
class MaskedRound:
    """What masked replies to the messages of a round are measured by.

    Attributes:
        asked: what replies in the clear would be.
        questions: by node, once it is read.
    """

    asked: Asked
    questions: dict[int, dict[str, str]] = field(default_factory=dict)

    def trained(self, node_id: int, content: RecordDict) -> HeardStep:
        """Return the metrics of a reply to ``train``, all of which has been checked.

        Raises:
            ReplyError: something of it cannot be used.
            ArrayError: an array is not what it has to be.
        """
        names = (*self.asked.records, SCORED, FITTED)
        check_records(content, names, metrics=True, masked=True)
        told = numbers(content, HeardStep)
        self.asked.rows.check(node_id, "train", told.num_examples)
        self.asked.rows.check(node_id, self.asked.selection, told.num_validation)
        for name, forms in self.asked.forms.items():
            received(content.array_records[name], forms, finite=False)
        check_loss(content.array_records[FITTED])
        check_loss(content.array_records[SCORED])
        self.questions[node_id] = questions_in(content, (SCORED, TRAINED))
        return told

    def scored(self, node_id: int, content: RecordDict) -> Heard:
        """Return the metrics of a reply to ``evaluate``.

        Raises:
            ReplyError: something of it cannot be used.
            ArrayError: an array is not what it has to be.
        """
        check_records(content, (SCORED,), metrics=True, masked=True)
        told = numbers(content, Heard)
        self.asked.rows.check(node_id, self.asked.selection, told.num_validation)
        check_loss(content.array_records[SCORED])
        self.questions[node_id] = questions_in(content, (SCORED,))
        return told
