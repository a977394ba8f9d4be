"""The order of the questions about sums: for inputs, Newton's steps, standard errors, and trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ms_pfl.deployment.agreement import RefusalError, Stage
from ms_pfl.deployment.answered import (
    Allowed,
    Answers,
    Place,
    check_same,
    digest_of_arrays,
)
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import ArrayRecord, to_record
from ms_pfl.federation.inputs import questions_of
from ms_pfl.federation.messages import LABELS, Evaluate, Summed, SumsQuestion
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.tree_questions import last_question, level_of, question_before
from ms_pfl.learning.tree_steps import COLUMNS, draw
from ms_pfl.learning.trees import count
from ms_pfl.personalization.method import SHARED, Arrays

HALVINGS = 30
"""Of Newton's steps in one fit: each asks for the sums of one more model."""


class SumsOrder(Answers):
    """Which sums an approved run may ask for next."""

    def _sums(
        self, asked: SumsQuestion, arrays: Mapping[str, ArrayRecord], place: Place
    ) -> Allowed:
        match asked.question:
            case "logistic" | "mixed":
                return self._newton_sums(asked, arrays, place)
            case "clusters":
                return self._cluster_sums(asked, arrays, place)
            case "labels" | "histograms":
                return self._tree_sums(asked, arrays, place)
        return self._input_sums(asked, arrays, place)

    def _check_participants(self, asked: Summed) -> None:
        """See that a sum is masked over all sites of the agreement, or in the clear, as agreed."""
        if not self.agreement.masked:
            if asked.participants:
                raise RefusalError("masked sums are asked for, and plain ones were agreed on")
        elif not asked.participants:
            raise RefusalError("a plain sum is asked for, and masked ones were agreed on")
        elif tuple(sorted(asked.participants)) != self.agreement.sites:
            raise RefusalError("a masked sum of other participants than was agreed on")

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
            check_same(start, given)
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


def _questions_of(stage: Stage) -> tuple[str, ...]:
    learner = learner_from_sums(stage.settings)
    return () if learner is None else learner.questions


def _tree_key(place: Place, question: Arrays) -> str:
    """Return the place of a question about a level of a tree: its columns are among what is
    asked."""
    return f"{place.stage}/tree {count(question)}/{level_of(question)}"
