"""Which questions of an approved run a site has answered, and where the run is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from ms_pfl.deployment.agreement import RefusalError, RunAgreement, Stage
from ms_pfl.federation.flower import ArrayRecord, views
from ms_pfl.federation.messages import Question
from ms_pfl.personalization.method import SHARED, Arrays

Answered = dict[str, dict[str, list[str]]]
"""By seed and place: the digests of the questions that were answered there."""


@dataclass(frozen=True)
class Place:
    """Where a run is at a site.

    Attributes:
        seed: that was prepared last; None: none was.
        stage: of the agreement.
        step: the exchange of the stage that was answered last; 0: it was prepared.
        scored: whether that exchange scored a model and trained nothing.
        finished: whether the stage has predicted.
    """

    seed: int | None = None
    stage: int = 0
    step: int = 0
    scored: bool = False
    finished: bool = False

    def to_json(self) -> str:
        """As text, for the state of the site."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Place:
        """Return the place that a text of :meth:`to_json` names; the beginning where it is
        empty."""
        return cls(**json.loads(text)) if text else cls()


@dataclass(frozen=True)
class Allowed:
    """A question that may be answered, and what is to be noted when it is.

    Attributes:
        place: where the run is afterwards.
        key: seed and place of the question.
        digest: of the question.
        seed: that it is about.
    """

    place: Place
    key: tuple[str, str]
    digest: str
    seed: int


@dataclass(frozen=True)
class Answers:
    """What was agreed on, and which questions were answered.

    Attributes:
        agreement: that was approved.
        width: columns of the episodes as the learner sees them, once a stage is prepared.
        evaluations: different questions in one place, from the policy.
        answered: questions so far, under this approval.
    """

    agreement: RunAgreement
    width: int
    evaluations: int
    answered: Answered = field(default_factory=dict)

    def note(self, allowed: Allowed) -> Answered:
        """Return the questions that are answered with this one."""
        seed, key = allowed.key
        places = self.answered.get(seed, {})
        digests = places.get(key, [])
        if allowed.digest not in digests:
            digests = [*digests, allowed.digest]
        return {**self.answered, seed: {**places, key: digests}}

    def _check_sites(self, sites: int) -> None:
        if sites != len(self.agreement.sites):
            raise RefusalError("the number of sites is not the one that was agreed on")

    def _stage(self, place: Place, *kinds: str) -> Stage:
        self._seed(place)
        stage = self.agreement.stages[place.stage]
        if kinds and stage.kind not in kinds:
            raise RefusalError("the agreement has another question in this place")
        return stage

    def _seed(self, place: Place) -> int:
        if place.seed is None:
            raise RefusalError("the site was asked before it was prepared")
        return place.seed

    def _new(
        self,
        asked: Question,
        arrays: Mapping[str, ArrayRecord],
        seed: int,
        key: str,
        place: Place,
        most: int | None = None,
    ) -> Allowed:
        """Return a question in a place, where it was answered before or another one still may
        be."""
        digest = digest_of(asked, arrays)
        allowed = Allowed(place, (str(seed), key), digest, seed)
        limit = self.evaluations if most is None else most
        if not self._was(allowed) and len(self._digests(seed, key)) >= limit:
            raise RefusalError(
                "another question was answered in this place under the present approval; where the "
                "data of a site have changed since, the operators approve the run again "
                "(site approve RUN --again)"
            )
        return allowed

    def _was(self, allowed: Allowed) -> bool:
        seed, key = allowed.key
        return allowed.digest in self.answered.get(seed, {}).get(key, [])

    def _digests(self, seed: int, key: str) -> list[str]:
        return self.answered.get(str(seed), {}).get(key, [])

    def _has(self, seed: int, key: str, model: str | None = None) -> bool:
        """Whether something was answered in a place, about this model where one is given."""
        digests = self._digests(seed, key)
        if model is None:
            return bool(digests)
        return any(digest.partition(":")[2] == model for digest in digests)


def check_same(wanted: Arrays, given: Arrays) -> None:
    """See that a first model is the one that was agreed on, to the bit.

    Raises:
        RefusalError: it is not.
    """
    same = wanted.keys() == given.keys() and all(
        np.array_equal(array, given[name]) and array.dtype == given[name].dtype
        for name, array in wanted.items()
    )
    if not same:
        raise RefusalError("the first model is not the one that the seed gives")


def digest_of(asked: Question, arrays: Mapping[str, ArrayRecord]) -> str:
    """Return a digest of a question, and behind a colon that of the model in it."""
    told = json.dumps([type(asked).__name__, asked.model_dump(mode="json")], sort_keys=True)
    digest = hashlib.blake2b(told.encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(digest_of_arrays({name: arrays[name]}).encode())
    model = {SHARED: arrays[SHARED]} if SHARED in arrays else {}
    return f"{digest.hexdigest()}:{digest_of_arrays(model)}"


def digest_of_arrays(records: Mapping[str, ArrayRecord]) -> str:
    """Return a digest of records of arrays: names, types, shapes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for record, arrays in sorted(records.items()):
        for name, array in sorted(views(arrays).items()):
            head = [record, name, str(array.dtype), list(array.shape)]
            digest.update(json.dumps(head).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
