"""What each reply of a client tells, typed: the one check before the server uses it.

A reply is refused as a whole where a record, an array or a number is missing, unknown, of another
type or shape, or out of its range. Whoever asked names the client, see
:func:`ms_pfl.federation.exchange.ask`. What stays within all ranges cannot be told from the truth:
a client that consistently lies about its rows is believed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, TypeAlias, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ms_pfl.errors import InputError
from ms_pfl.federation.fixed_point import MODEL
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Form,
    Forms,
    MetricRecord,
    RecordDict,
    received,
)
from ms_pfl.federation.messages import TYPED, Digest, first_reason
from ms_pfl.federation.partitions import SplitName
from ms_pfl.personalization.method import SHARED, Arrays
from ms_pfl.text import shown

_SCORED: tuple[SplitName, ...] = ("validation", "test")
METRICS = ("n_episodes", "n_positive", "roc_auc", "log_loss", "brier")
"""What a real site tells of its predictions of a split."""


class ReplyError(InputError):
    """A reply cannot be used; the error gives one reason and leaves the sender to the caller."""


@dataclass
class KnownRows:
    """How many rows each client has in each split: as introduced, or as it first told.

    Attributes:
        introduced: by node, the rows of each split.
    """

    introduced: dict[int, dict[SplitName, int]] = field(default_factory=dict)

    def of(self, node_id: int, split: SplitName) -> int | None:
        """Return the rows of a split; None: not known yet."""
        return self.introduced.get(node_id, {}).get(split)

    def check(self, node_id: int, split: SplitName, told: int) -> None:
        """See that a client tells of as many rows as before.

        Raises:
            ReplyError: it does not, or has no row to train on.
        """
        known = self.introduced.setdefault(node_id, {}).setdefault(split, told)
        if told != known:
            raise ReplyError(f"it tells of {told} {split} rows, and told of {known} before")
        if split == "train" and told < 1:
            raise ReplyError("it has no row to train on")


def _share(value: float) -> float:
    if not (math.isnan(value) or 0 <= value <= 1):
        raise ValueError("has to be between 0 and 1, or NaN where it is not defined")
    return value


def _loss(value: float) -> float:
    if not (math.isnan(value) or 0 <= value <= _LARGEST_LOSS):
        raise ValueError("has to be at least 0 and finite, or NaN where it is not defined")
    return value


def _count_or_nan(value: float) -> float:
    if math.isnan(value):
        return value
    if not 0 <= value <= _MOST or value != int(value):
        raise ValueError("it is no number of rows, and not NaN")
    return int(value)


_LARGEST_LOSS = 1e100  # sums of it stay finite
_MOST = 10**12
Count: TypeAlias = Annotated[int, Field(ge=0, le=_MOST)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e9)]
LossSum: TypeAlias = Annotated[float, Field(ge=0, le=_LARGEST_LOSS)]
CountOrWithheld: TypeAlias = Annotated[
    float, Field(allow_inf_nan=True), AfterValidator(_count_or_nan)
]
"""A site does not tell of few patients."""
Share: TypeAlias = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_share)]
Loss: TypeAlias = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_loss)]


class Metrics(BaseModel):
    """The numbers of a reply."""

    model_config = TYPED


class Heard(Metrics):
    """Of the model that was sent, on the rows to select by: what is not masked."""

    num_validation: Count
    roc_auc: Share
    seconds: Seconds


class HeardStep(Heard):
    """The same of a client that trains: all that is not masked."""

    num_examples: Count


class Scored(Heard):
    """Of the model that was sent, on the rows to select by."""

    loss_sum: LossSum


class ScoredStep(Scored, HeardStep):
    """The same of a step of a logistic regression."""


class Trained(Scored, HeardStep):
    """The same, and of the local epochs."""

    train_loss: LossSum


class Personalized(Metrics):
    """The epochs of a fit to a client's own best one."""

    num_examples: Count
    num_validation: Count
    best_epoch: Count
    epoch: list[Count]
    train_loss: list[Loss]
    validation_loss: list[Loss]
    roc_auc: list[Share]
    seconds: list[Seconds]

    def check(self, epochs: int, *, start_is_candidate: bool) -> None:
        """See that the lists are those of a fit of so many epochs at most.

        Raises:
            ReplyError: they are not.
        """
        first = 0 if start_is_candidate else 1
        if self.epoch != list(range(first, first + len(self.epoch))) or not self.epoch:
            raise ReplyError(f"epoch: epochs have to count from {first}")
        if self.epoch[-1] > epochs:
            raise ReplyError(f"epoch: {self.epoch[-1]} epochs are more than the {epochs} asked for")
        for name in ("train_loss", "validation_loss", "roc_auc", "seconds"):
            if len(getattr(self, name)) != len(self.epoch):
                raise ReplyError(f"{name.replace('_', '-')}: one number per epoch is needed")
        if self.best_epoch not in self.epoch:
            raise ReplyError(f"best-epoch: {self.best_epoch} is no epoch of the fit")


Numbers = TypeVar("Numbers", bound=Metrics)


MASKED = "masked"
"""The record of a reply whose sums are masked, see :mod:`ms_pfl.federation.masking`."""


def check_records(
    content: RecordDict, arrays: Collection[str], *, metrics: bool, masked: bool = False
) -> None:
    """See that a reply has these records of arrays, and one of metrics or none.

    Args:
        content: of the reply.
        arrays: names of the records of arrays.
        metrics: whether there are metrics.
        masked: whether there is what tells of masks.

    Raises:
        ReplyError: one is missing, or another one is there.
    """
    wanted: dict[str, type] = dict.fromkeys(arrays, ArrayRecord)
    if metrics:
        wanted["metrics"] = MetricRecord
    if masked:
        wanted[MASKED] = ConfigRecord
    found = {name: type(record) for name, record in content.items()}
    if found == wanted:
        return
    if more := found.keys() - wanted.keys():
        raise ReplyError(f"the record '{shown(min(more), 60)}' is not expected")
    if lacking := wanted.keys() - found.keys():
        raise ReplyError(f"the record '{min(lacking)}' is missing")
    raise ReplyError("a record is of another kind than expected")


def numbers(content: RecordDict, kind: type[Numbers]) -> Numbers:
    """Return the metrics of a reply.

    Raises:
        ReplyError: one is missing, unknown, of another type or out of its range.
    """
    return _validated(kind, dict(content["metrics"]))


def _validated(kind: type[Numbers], told: Mapping[str, object]) -> Numbers:
    try:
        return kind.model_validate(told, strict=True, by_name=False)
    except ValidationError as error:
        raise ReplyError(first_reason(error)) from None


@dataclass(frozen=True)
class Asked:
    """What replies to the messages of a round are measured by.

    Attributes:
        records: the arrays that were sent, by record.
        rows: of the clients.
        selection: the split that rounds are selected by.
        sites: that are added up.
        largest_update: of the weights by a client: L2 norm, as a multiple of the weights' own.
    """

    records: Mapping[str, Arrays]
    rows: KnownRows
    selection: SplitName
    sites: int
    largest_update: float

    @cached_property
    def forms(self) -> dict[str, Forms]:
        """What the arrays of each record come back as."""
        return {
            name: {
                key: Form("uint64", (MODEL.words, *array.shape)) for key, array in arrays.items()
            }
            for name, arrays in self.records.items()
        }

    @cached_property
    def _sent(self) -> dict[str, np.ndarray]:
        """All numbers of each record in one row."""
        return {name: _flat(arrays.values(), np.float64) for name, arrays in self.records.items()}

    @cached_property
    def _most(self) -> float:
        """The norm that a change may have; what travels beside the weights are changes too."""
        return self.largest_update * max(1.0, _norm(self._sent[SHARED]))

    def trained(self, node_id: int, content: RecordDict) -> Trained:
        """Return the metrics of a reply to ``train``, all of which has been checked.

        Raises:
            ReplyError: something of it cannot be used.
            ArrayError: an array is not what it has to be.
        """
        check_records(content, self.records.keys(), metrics=True)
        told = numbers(content, Trained)
        self.rows.check(node_id, "train", told.num_examples)
        self.rows.check(node_id, self.selection, told.num_validation)
        for name in self._sent:
            words = received(content[name], self.forms[name], finite=False).values()
            total = MODEL.decode(_flat(words, np.uint64)[np.newaxis])
            if max(total.max(), -total.min()) > MODEL.limit(self.sites):
                raise ReplyError(f"the record '{name}' holds a number beyond its share of a sum")
            self._check_change(name, total, told.num_examples)
        return told

    def check_mean(self, name: str, mean: Arrays) -> None:
        """See that the mean of what clients sent is within the bound that each of them has.

        Args:
            name: of the record.
            mean: its arrays, float64.

        Raises:
            ReplyError: it is not.
        """
        ordered = [mean[key] for key in self.records[name]]
        self._check_change(name, _flat(ordered, np.float64), 1)

    def _check_change(self, name: str, total: np.ndarray, rows: int) -> None:
        total /= rows
        if name == SHARED:
            total -= self._sent[name]
        away = _norm(total)
        if not away <= self._most:
            raise ReplyError(
                f"its change of the record '{name}' has the norm {away:.3g}, more than the "
                f"{self._most:.3g} of training.federation.largest_update"
            )

    def scored(self, node_id: int, content: RecordDict) -> Scored:
        """Return the metrics of a reply to ``evaluate``.

        Raises:
            ReplyError: something of it cannot be used.
        """
        check_records(content, (), metrics=True)
        told = numbers(content, Scored)
        self.rows.check(node_id, self.selection, told.num_validation)
        return told


def _flat(arrays: Iterable[np.ndarray], dtype: type) -> np.ndarray:
    """All numbers of some arrays in one row, in the order of the arrays."""
    return np.concatenate([array.ravel() for array in arrays], dtype=dtype)


def _norm(values: np.ndarray) -> float:
    """Return the L2 norm; BLAS would wake threads for it, which cost more than the sum."""
    return math.sqrt(float(np.square(values).sum()))


def probabilities(content: RecordDict, node_id: int, rows: KnownRows) -> dict[str, np.ndarray]:
    """Return a client's probabilities of its validation and test rows.

    Raises:
        ArrayError: an array is not what it has to be.
        ReplyError: something of the reply cannot be used.
    """
    check_records(content, (SHARED,), metrics=False)
    record = content[SHARED]
    expected: dict[str, Form] = {}
    for split in _SCORED:
        n = rows.of(node_id, split)
        if n is None:
            raise ReplyError(f"how many {split} rows the client has is not known")
        expected[split] = Form("float64", (n,))
    found = {name: view.copy() for name, view in received(record, expected).items()}
    if any(((array < 0) | (array > 1)).any() for array in found.values()):
        raise ReplyError("a probability is not between 0 and 1")
    return found


class _SplitMetrics(Metrics):
    """What a real site tells of its predictions of a split."""

    model_config = ConfigDict(alias_generator=None)

    n_episodes: Count
    n_positive: CountOrWithheld
    roc_auc: Share
    log_loss: Loss
    brier: Share


class _Ended(Metrics):
    log: Digest


def log_digest(content: RecordDict) -> str:
    """Return the last digest of a real site's security log, which it tells when a run is over.

    Raises:
        ReplyError: the reply is no digest.
    """
    record = content.config_records.get("config")
    if record is None or len(content) != 1:
        raise ReplyError("the digest of its security log, alone, has to be there")
    return _validated(_Ended, dict(record)).log


def prediction_metrics(
    content: RecordDict, node_id: int, rows: KnownRows
) -> dict[str, int | float]:
    """Return what a real site tells of its predictions, by ``<split>/<metric>``.

    Raises:
        ReplyError: something of the reply cannot be used.
    """
    check_records(content, (), metrics=True)
    told = dict(content["metrics"])
    found: dict[str, int | float] = {}
    for split in _SCORED:
        own = {
            name.removeprefix(f"{split}/"): told.pop(name)
            for name in list(told)
            if name.startswith(f"{split}/")
        }
        try:
            metrics = _validated(_SplitMetrics, own)
        except ReplyError as error:
            raise ReplyError(f"{split}/{error}") from None
        rows.check(node_id, split, metrics.n_episodes)
        if metrics.n_positive > metrics.n_episodes:
            raise ReplyError(f"{split}/n_positive is more than {split}/n_episodes")
        found |= {f"{split}/{name}": getattr(metrics, name) for name in METRICS}
    if told:
        raise ReplyError(f"the metric '{shown(next(iter(told)), 60)}' is not expected")
    return found
