"""The order of the questions of an approved run, and which of them a site has answered.

A seed goes through the stages of the agreement: sums for the inputs, then in each stage settings,
rounds (or Newton's steps, or one training alone), and predictions. A question that was answered is
answered again, word by word the same: an interrupted server asks again. Another one in its
place is not, beyond the number of the policy (``evaluations``): what a site tells of models that
somebody has chosen is what can be learned about its patients.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ms_pfl.deployment.agreement import RefusalError, RunAgreement, Stage
from ms_pfl.errors import InputError
from ms_pfl.federation.client import check_initial, method_of
from ms_pfl.federation.flower import ArrayRecord, Message, to_arrays, to_record, views
from ms_pfl.federation.inputs import questions_of
from ms_pfl.federation.messages import (
    LABELS,
    Evaluate,
    Personalize,
    Predict,
    Prepare,
    Question,
    Summed,
    SumsQuestion,
    TrainRound,
)
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.tree_questions import last_question, level_of, question_before
from ms_pfl.learning.tree_steps import COLUMNS, draw
from ms_pfl.learning.trees import count
from ms_pfl.personalization.method import SHARED, Arrays

HALVINGS = 30
"""Of Newton's steps in one fit: each asks for the sums of one more model."""

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
class Order:
    """What an approved run may ask next.

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

    def allow(self, asked: Question, message: Message, place: Place) -> Allowed:
        """See that a question is the next one, or one that was answered.

        Args:
            asked: what the message asks.
            message: with its arrays.
            place: where the run is.

        Raises:
            RefusalError: the agreement has another question in this place, or none.
        """
        arrays = message.content.array_records
        if isinstance(asked, Summed):
            self._check_participants(asked)
        match asked:
            case SumsQuestion(question="logistic" | "mixed"):
                return self._newton_sums(asked, arrays, place)
            case SumsQuestion(question="clusters"):
                return self._cluster_sums(asked, arrays, place)
            case SumsQuestion(question="labels" | "histograms"):
                return self._tree_sums(asked, arrays, place)
            case SumsQuestion():
                return self._input_sums(asked, arrays, place)
            case Prepare():
                return self._prepare(asked, arrays, place)
            case TrainRound():
                return self._train(asked, arrays, place)
            case Evaluate():
                return self._evaluate(asked, arrays, place)
            case Personalize():
                return self._personalize(asked, arrays, place)
            case Predict():
                return self._predict(asked, arrays, place)
        raise RefusalError(f"the agreement has no question {type(asked).__name__}")

    def note(self, allowed: Allowed) -> Answered:
        """Return the questions that are answered with this one."""
        seed, key = allowed.key
        places = self.answered.get(seed, {})
        digests = places.get(key, [])
        if allowed.digest not in digests:
            digests = [*digests, allowed.digest]
        return {**self.answered, seed: {**places, key: digests}}

    def _input_sums(
        self, asked: SumsQuestion, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        self._check_sites(asked.sites)
        if asked.seed not in self.agreement.seeds:
            raise RefusalError("the seed is not among those that were agreed on")
        wanted = questions_of(self.agreement.stages[0].settings.inputs)
        if asked.question not in wanted:
            raise RefusalError("the inputs that were agreed on need no such sums")
        before = wanted[: wanted.index(asked.question)]
        if not all(self._has(asked.seed, name) for name in before):
            raise RefusalError("the second grid comes after the sums before it")
        return self._new(asked, arrays, asked.seed, asked.question, place)

    def _prepare(self, asked: Prepare, arrays: Mapping[str, ArrayRecord], place: Place) -> Allowed:
        if asked.seed not in self.agreement.seeds:
            raise RefusalError("the seed is not among those that were agreed on")
        stages = [stage.settings for stage in self.agreement.stages]
        if asked.settings not in stages:
            raise RefusalError("the settings are not those that were agreed on")
        number = stages.index(asked.settings)
        if not self._has(asked.seed, questions_of(asked.settings.inputs)[-1]):
            raise RefusalError("settings come after the sums for the inputs")
        if number and not self._has(asked.seed, f"{number - 1}/predict"):
            raise RefusalError("a stage begins when the one before it has predicted")
        after = asked.after_round
        reached = self.agreement.stages[number].kind == "rounds" and (
            after == 0 or self._has(asked.seed, f"{number}/{after}")
        )
        if after and not reached:
            raise RefusalError("the round to go on from was not reached at this site")
        next_ = Place(asked.seed, number, after)
        # the round to go on from is the server's to say: it is no part of the question
        same = asked.model_copy(update={"after_round": 0})
        allowed = self._new(same, arrays, asked.seed, f"{number}/prepare", next_)
        if after and not self._was(allowed):
            raise RefusalError("a run goes on with the inputs that it began with")
        return allowed

    def _train(self, asked: TrainRound, arrays: Mapping[str, ArrayRecord], place: Place) -> Allowed:
        stage = self._stage(place, "rounds")
        self._check_sites(asked.sites)
        if (asked.epochs, asked.proximal_mu) != (stage.epochs, stage.proximal_mu):
            raise RefusalError("epochs or proximal term are not those that were agreed on")
        if asked.server_round > stage.rounds:
            raise RefusalError("there are more rounds than were agreed on")
        if self.agreement.masked:
            wanted = stage.trainers(self.agreement.sites, self._seed(place), asked.server_round)
            if tuple(sorted(asked.trainers)) != wanted:
                raise RefusalError("other sites are to train in this round than are drawn")
            if asked.largest_update != stage.largest_update:
                raise RefusalError("the largest update is not the one that was agreed on")
        return self._exchange(asked, arrays, place, asked.server_round, scored=False)

    def _evaluate(
        self, asked: Evaluate, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        stage = self._stage(place, "rounds", "newton", "trees")
        if stage.kind == "trees":
            return self._look_at_trees(asked, arrays, place, stage)
        if stage.kind == "newton":
            if not 1 <= asked.server_round <= stage.rounds:
                raise RefusalError("there are more steps than were agreed on")
            return self._exchange(asked, arrays, place, asked.server_round, scored=True)
        if asked.server_round > stage.rounds:
            raise RefusalError("there are more rounds than were agreed on")
        # the result of a round is scored in the exchange after it
        return self._exchange(asked, arrays, place, asked.server_round + 1, scored=True)

    def _exchange(
        self,
        asked: Question,
        arrays: Mapping[str, ArrayRecord],
        place: Place,
        number: int,
        *,
        scored: bool,
    ) -> Allowed:
        seed, stage = self._seed(place), self.agreement.stages[place.stage]
        if place.finished or number not in (place.step, place.step + 1):
            raise RefusalError("rounds are answered in their order, and none after predictions")
        if number == 1 and stage.kind == "rounds":
            self._check_initial(stage, seed, arrays)
        allowed = self._new(
            asked, arrays, seed, f"{place.stage}/{number}",
            replace(place, step=number, scored=scored),
        )  # fmt: skip
        if number == place.step and not self._was(allowed):
            raise RefusalError("a round is answered again only where the same is asked")
        return allowed

    def _newton_sums(
        self, asked: SumsQuestion, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        stage = self._stage(place, "newton")
        self._check_sites(asked.sites)
        if asked.seed != self._seed(place) or place.finished:
            raise RefusalError("sums of another seed than the one that was prepared")
        if asked.question not in _questions_of(stage):
            raise RefusalError("the regression that was agreed on is fitted by other sums")
        key = f"{place.stage}/sums"
        if not self._has(asked.seed, key):
            given, start = self._model(stage, arrays), logistic.start(self.width)
            if stage.settings.mixed:
                differ = given[mixed.VARIANCE] > 0
                differ[-1] = True
                start |= {mixed.VARIANCE: differ.astype(np.float64)}
            _check_same(start, given)
        # a step with another variance begins with the sums of a model of its own
        models = stage.rounds * (1 + stage.settings.mixed)
        most = self.evaluations * (models + 1 + HALVINGS)
        return self._new(asked, arrays, asked.seed, key, place, most)

    def _cluster_sums(
        self, asked: SumsQuestion, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        """Return the sums for the standard errors of the model that was scored last, once."""
        stage = self._stage(place, "newton")
        self._check_sites(asked.sites)
        if asked.question not in _questions_of(stage):
            raise RefusalError("the regression that was agreed on has no standard errors")
        seed = self._seed(place)
        if asked.seed != seed or place.finished:
            raise RefusalError("sums of another seed than the one that was prepared")
        last = f"{place.stage}/{place.step}"
        model = {SHARED: arrays[SHARED]}
        if not (place.scored and self._has(seed, last, digest_of_arrays(model))):
            raise RefusalError("the model of the standard errors is not the one that was scored")
        return self._new(asked, arrays, seed, f"{place.stage}/clusters", place)

    def _tree_sums(
        self, asked: SumsQuestion, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        """Rows by label first, then level by level, each on top of what was answered before."""
        stage = self._stage(place, "trees")
        self._check_sites(asked.sites)
        seed = self._seed(place)
        if asked.seed != seed or place.finished:
            raise RefusalError("sums of another seed than the one that was prepared")
        labels = f"{place.stage}/{LABELS}"
        if asked.question == LABELS:
            return self._new(asked, {}, seed, labels, place)
        if not self._has(seed, labels):
            raise RefusalError("trees are grown after the rows by label are known")
        question = self._model(stage, arrays)
        told = stage.settings.trees
        assert told is not None, "the stage grows some"
        if COLUMNS not in question:
            raise RefusalError("the question names no features")
        tree = count(question) - 1
        if not np.array_equal(question[COLUMNS], draw(self.width, told, seed, tree)):
            raise RefusalError("the features that are asked about are not those that are drawn")
        before = question_before(question, self.width, told, seed)
        if before is not None and not self._was_asked(place, seed, before):
            raise RefusalError("the tree is not grown from the one that was answered before")
        return self._new(asked, arrays, seed, _tree_key(place, question), place)

    def _look_at_trees(
        self, asked: Evaluate, arrays: Mapping[str, ArrayRecord], place: Place, stage: Stage
    ) -> Allowed:
        """Score trees whose last level was answered before; looks come in their order."""
        seed, number = self._seed(place), asked.server_round
        if not 1 <= number <= stage.rounds:
            raise RefusalError("there are more trees than were agreed on")
        model = self._model(stage, arrays)
        if count(model) != number or COLUMNS in model:
            raise RefusalError("the trees are not as many as the round says")
        told = stage.settings.trees
        assert told is not None, "the stage grows some"
        if not self._was_asked(place, seed, last_question(model, self.width, told, seed)):
            raise RefusalError("the trees are not those that were grown")
        if place.finished or number < place.step:
            raise RefusalError("trees are scored in their order, and none after predictions")
        next_ = replace(place, step=number, scored=True)
        allowed = self._new(asked, arrays, seed, f"{place.stage}/{number}", next_)
        if number == place.step and not self._was(allowed):
            raise RefusalError("a round is answered again only where the same is asked")
        return allowed

    def _model(self, stage: Stage, arrays: Mapping[str, ArrayRecord]) -> Arrays:
        """Return the model of a message, whose arrays are what the settings of the stage say."""
        learner = learner_from_sums(stage.settings)
        assert learner is not None, "the stage is fitted from sums"
        try:
            return learner.read(arrays[SHARED], self.width)
        except InputError as error:
            raise RefusalError(f"the model cannot be used: {error}") from None

    def _was_asked(self, place: Place, seed: int, question: Arrays) -> bool:
        digest = digest_of_arrays({SHARED: to_record(question)})
        return self._has(seed, _tree_key(place, question), digest)

    def _personalize(
        self, asked: Personalize, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        stage = self._stage(place, "alone")
        agreed = Personalize(
            epochs=stage.epochs,
            patience=stage.patience,
            epochs_without_validation=stage.epochs_without_validation,
            start_is_candidate=stage.start_is_candidate,
            reply_with_arrays=False,
        )
        if asked.reply_with_arrays:
            raise RefusalError("the site does not send its whole model")
        if asked != agreed:
            raise RefusalError("epochs or patience are not those that were agreed on")
        if (SHARED in arrays) != stage.start_is_candidate:
            raise RefusalError("the model to train on from is not as it was agreed on")
        if SHARED in arrays and not self._has(
            self._seed(place), f"{place.stage - 1}/predict", digest_of_arrays(arrays)
        ):
            raise RefusalError("the model to train on from is not the one of the stage before")
        if place.finished:
            raise RefusalError("a site trains before it predicts")
        return self._new(
            asked, arrays, self._seed(place), f"{place.stage}/1", replace(place, step=1)
        )

    def _predict(self, asked: Predict, arrays: Mapping[str, ArrayRecord], place: Place) -> Allowed:
        stage, seed = self._stage(place), self._seed(place)
        if asked.keep_as != stage.training:
            raise RefusalError("the name of the training is not the one that was agreed on")
        if not place.step:
            raise RefusalError("a site predicts when it has trained")
        if stage.kind == "alone":
            if arrays or asked.best_round:
                raise RefusalError("a site predicts with its own model in this training")
        else:
            self._check_best(asked, arrays, place, stage, seed)
        return self._new(
            asked, arrays, seed, f"{place.stage}/predict", replace(place, finished=True)
        )

    def _check_best(
        self,
        asked: Predict,
        arrays: Mapping[str, ArrayRecord],
        place: Place,
        stage: Stage,
        seed: int,
    ) -> None:
        """See that the site predicts, at the end, with a model that it has scored before."""
        number = asked.best_round + (stage.kind == "rounds")
        if not (place.scored and asked.best_round >= 1 and number <= place.step):
            raise RefusalError("a site predicts when the last round is scored")
        model = {SHARED: arrays[SHARED]} if SHARED in arrays else {}
        if not self._has(seed, f"{place.stage}/{number}", digest_of_arrays(model)):
            raise RefusalError("the model to predict with is not that of the best round")

    def _check_participants(self, asked: Summed) -> None:
        """See that a sum is masked over all sites of the agreement, or in the clear, as agreed."""
        if not self.agreement.masked:
            if asked.participants:
                raise RefusalError("masked sums are asked for, and plain ones were agreed on")
        elif not asked.participants:
            raise RefusalError("a plain sum is asked for, and masked ones were agreed on")
        elif tuple(sorted(asked.participants)) != self.agreement.sites:
            raise RefusalError("a masked sum of other participants than was agreed on")

    def _check_sites(self, sites: int) -> None:
        if sites != len(self.agreement.sites):
            raise RefusalError("the number of sites is not the one that was agreed on")

    def _check_initial(self, stage: Stage, seed: int, arrays: Mapping[str, ArrayRecord]) -> None:
        """See that the first round begins with the weights that the seed gives."""
        shared = to_arrays(arrays[SHARED])
        check_initial(stage.settings, seed, self.width, shared)
        for name, wanted in method_of(stage.settings).further(shared).items():
            if name in arrays:
                _check_same(wanted, to_arrays(arrays[name]))

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


def _questions_of(stage: Stage) -> tuple[str, ...]:
    learner = learner_from_sums(stage.settings)
    return () if learner is None else learner.questions


def _tree_key(place: Place, question: Arrays) -> str:
    """Return the place of a question about a level of a tree: its columns are among what is
    asked."""
    return f"{place.stage}/tree {count(question)}/{level_of(question)}"


def _check_same(wanted: Arrays, given: Arrays) -> None:
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
