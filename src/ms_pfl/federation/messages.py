"""What each message from the server asks, typed: the one check before a client acts on it.

A message is refused as a whole where a key is unknown or missing, a value is of another type or
out of its bounds, or a record is there that the message does not carry. Types are strict: a whole
number is neither a truth value nor a fraction, and no number is infinite or NaN. What the arrays of
a message hold is checked where it is known what they should be, see
:meth:`ms_pfl.federation.client.Client.received`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ms_pfl.errors import InputError
from ms_pfl.federation.flower import ArrayRecord, ConfigRecord, Message
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.paradigms import trainings
from ms_pfl.personalization.method import SHARED
from ms_pfl.text import shown

INPUTS = "inputs"
"""The record in a message of what rows become before a learner sees them."""
SCALER, FIRST_CELLS, SECOND_CELLS = "scaler", "first-cells", "second-cells"
"""The questions that the inputs are made from."""
LOGISTIC, MIXED = "logistic", "mixed"
"""The questions of Newton's steps, of one intercept or of each site's own."""
CLUSTERS = "clusters"
"""The question of the standard errors of a fitted regression."""
LABELS, HISTOGRAMS = "labels", "histograms"
"""The questions of boosted trees: rows by label, and a level of a tree."""
OF_A_LEARNER = (LOGISTIC, MIXED, CLUSTERS, LABELS, HISTOGRAMS)
"""The questions of a learner that is fitted from sums, after the settings."""

Seed: TypeAlias = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Round: TypeAlias = Annotated[int, Field(ge=0, le=100_000)]
Epochs: TypeAlias = Annotated[int, Field(ge=0, le=10_000)]
SiteCount: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]
Names: TypeAlias = Annotated[
    tuple[Annotated[str, Field(max_length=200)], ...],
    Field(max_length=10_000),
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]
_LONGEST_TEXT = 1_000_000  # an agreement with the cohort's whole settings has some 10,000


class RefusedMessageError(InputError):
    """A message from the server that a client does not act on; the error gives one reason."""


TYPED = ConfigDict(
    frozen=True,
    strict=True,
    extra="forbid",
    allow_inf_nan=False,
    alias_generator=lambda name: name.replace("_", "-"),
    validate_by_name=True,
)
"""How messages and replies are checked: names with hyphens, no other type, no other field."""
Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Question(BaseModel):
    """What a message asks.

    Attributes:
        needs: records of arrays that the message carries.
        may_have: records of arrays that it may carry besides; None: those that the method of the
            training sends.
    """

    model_config = TYPED
    needs: ClassVar[frozenset[str]] = frozenset()
    may_have: ClassVar[frozenset[str] | None] = frozenset()

    def records(self) -> frozenset[str]:
        """Return the records of arrays that this message carries."""
        return self.needs


Asked = TypeVar("Asked", bound=Question)


class Introduce(Question):
    """Who are you, and do you take part: the server's software, the run's sites, its agreement."""

    software: str = Field(default="", max_length=_LONGEST_TEXT)
    sites: Names = ()
    agreement: str = Field(default="", max_length=_LONGEST_TEXT)


class Summed(Question):
    """What is answered by a sum over sites.

    Attributes:
        participants: whose masked sums are added up; none: the sum is told in the clear.
    """

    participants: Names = ()


def _count_participants(sites: int, info: ValidationInfo) -> int:
    if info.data.get("participants") and len(info.data["participants"]) != sites:
        raise ValueError("it is not the number of the participants")
    return sites


class SumsQuestion(Summed):
    """Sums over the training rows of a seed; of a model or of cells, where it is about one."""

    question: Literal[
        "scaler", "first-cells", "second-cells", "logistic", "mixed", "clusters", "labels",
        "histograms",
    ]  # fmt: skip
    seed: Seed
    sites: Annotated[SiteCount, AfterValidator(_count_participants)]

    def records(self) -> frozenset[str]:
        """Return the record of the model or of the edges, where the question is about one."""
        about_none = self.question in (SCALER, FIRST_CELLS, LABELS)
        return frozenset() if about_none else frozenset({SHARED})


class Prepare(Question):
    """The settings and the inputs of a seed; the round to go on from (0: from the beginning)."""

    needs = frozenset({INPUTS})

    seed: Seed
    settings: Json[ClientSettings]
    after_round: Round


class TrainRound(Summed):
    """Score what is sent, then train it for so many epochs.

    Attributes:
        trainers: those of the participants who train in this round, where sums are masked.
        largest_update: that a site sends masked, see ``training.federation``.
    """

    needs = frozenset({SHARED})
    may_have = None

    server_round: Annotated[int, Field(ge=1, le=100_000)]
    epochs: Epochs
    best_round: Round
    sites: Annotated[SiteCount, AfterValidator(_count_participants)]
    proximal_mu: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    trainers: Names = ()
    largest_update: Annotated[float, Field(gt=0)] | None = None

    @field_validator("best_round")
    @classmethod
    def _over(cls, best_round: int, info: Any) -> int:
        if best_round >= info.data.get("server_round", best_round + 1):
            raise ValueError("the best round so far is an earlier one than the present")
        return best_round

    @model_validator(mode="after")
    def _masked_as_a_whole(self) -> Self:
        told = {bool(self.participants), bool(self.trainers), self.largest_update is not None}
        if len(told) > 1:
            raise ValueError("participants, trainers and largest-update belong together")
        return self


class Personalize(Question):
    """Train to the best validation epoch, from what is sent or from the initial weights."""

    may_have = frozenset({SHARED})

    epochs: Epochs
    patience: Annotated[int, Field(ge=0, le=1_000_000)]
    epochs_without_validation: Epochs
    start_is_candidate: bool
    reply_with_arrays: bool

    @model_validator(mode="after")
    def _ends_with_an_epoch(self) -> Self:
        if not (self.epochs and self.epochs_without_validation) and not self.start_is_candidate:
            raise ValueError("without an epoch and without a start there is no model to choose")
        return self


class Evaluate(Summed):
    """Score what is sent."""

    needs = frozenset({SHARED})

    server_round: Round


class Predict(Summed):
    """Predict with what is sent or, without it, with the client's own model.

    ``keep_as``: the training under whose name a real site keeps model and predictions; empty in a
    simulation, which keeps nothing.
    """

    may_have = frozenset({SHARED})

    best_round: Round
    keep_as: str = ""

    @field_validator("keep_as")
    @classmethod
    def _a_training(cls, keep_as: str) -> str:
        if keep_as and keep_as not in {training.name for training in trainings()}:
            raise ValueError(f"'{shown(keep_as, 60)}' is no name of a training")
        return keep_as


class End(Question):
    """The run is over; ``log``: the last digest of the server's security log, for the site's."""

    log: Digest


_QUESTIONS: Mapping[str, type[Question]] = {
    "query.introduce": Introduce,
    "query.sums": SumsQuestion,
    "query.prepare": Prepare,
    "train": TrainRound,
    "train.personalize": Personalize,
    "evaluate": Evaluate,
    "query.predict": Predict,
    "query.end": End,
}


def read(message: Message) -> Question:
    """Return what a message asks.

    Raises:
        RefusedMessageError: it asks nothing that a client knows, or not as it should; the error
            gives one reason in one line.
    """
    kind = message.metadata.message_type
    if kind not in _QUESTIONS:
        raise RefusedMessageError(f"the server asked {shown(kind, 60)}, which is no question here")
    if not message.has_content():
        raise RefusedMessageError(f"{kind}: the message is an error, not a question")
    records = dict(message.content.items())
    config = records.pop("config", None)
    found = {name for name, record in records.items() if isinstance(record, ArrayRecord)}
    if not isinstance(config, ConfigRecord) or len(found) < len(records):
        raise RefusedMessageError(f"{kind}: one record of settings, 'config', has to be there")
    try:
        asked = _QUESTIONS[kind].model_validate(dict(config), strict=True, by_name=False)
    except ValidationError as error:
        raise RefusedMessageError(f"{kind}: {first_reason(error)}") from None
    wanted = asked.records()
    if lacking := sorted(wanted - found):
        raise RefusedMessageError(f"{kind}: the record {lacking[0]!r} is missing")
    more = () if asked.may_have is None else sorted(found - wanted - asked.may_have)
    if more:
        raise RefusedMessageError(f"{kind}: the record '{shown(more[0], 60)}' is unknown")
    return asked


def read_as(kind: type[Asked], message: Message) -> Asked:
    """Return what a message asks, if it is of a kind.

    Raises:
        RefusedMessageError: as :func:`read`, or the message asks something else.
    """
    asked = read(message)
    if not isinstance(asked, kind):
        raise RefusedMessageError(
            f"{shown(message.metadata.message_type, 60)} is answered elsewhere"
        )
    return asked


def first_reason(error: ValidationError) -> str:
    """Return the first reason of an error of types or bounds, in one line."""
    first = error.errors(include_url=False)[0]
    where = shown(".".join(str(part) for part in first["loc"]), 80)
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("missing", "extra_forbidden", "value_error"):
        given = ""
    else:
        given = f" (given: {shown(repr(first['input'])[:200], 60)})"
    return shown(f"{where}: {reason}{given}" if where else f"{reason}{given}")
