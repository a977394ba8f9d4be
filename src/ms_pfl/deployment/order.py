"""The order of the questions of an approved run, and which of them a site has answered.

A seed goes through the stages of the agreement: sums for the inputs, then in each stage settings,
rounds (or Newton's steps, or one training alone), and predictions. A question that was answered is
answered again, word by word the same: an interrupted server asks again. Another one in its
place is not, beyond the number of the policy (``evaluations``): what a site tells of models that
somebody has chosen is what can be learned about its patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ms_pfl.deployment.agreement import RefusalError, Stage
from ms_pfl.deployment.answered import Allowed, Place, check_same, digest_of_arrays
from ms_pfl.deployment.sums_order import SumsOrder
from ms_pfl.federation.client import check_initial, method_of
from ms_pfl.federation.flower import ArrayRecord, Message, to_arrays
from ms_pfl.federation.inputs import questions_of
from ms_pfl.federation.messages import (
    Evaluate,
    Personalize,
    Predict,
    Prepare,
    Question,
    Summed,
    SumsQuestion,
    TrainRound,
)
from ms_pfl.personalization.method import SHARED


class Order(SumsOrder):
    """What an approved run may ask next."""

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
            case SumsQuestion():
                return self._sums(asked, arrays, place)
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

    def _check_initial(self, stage: Stage, seed: int, arrays: Mapping[str, ArrayRecord]) -> None:
        """See that the first round begins with the weights that the seed gives."""
        shared = to_arrays(arrays[SHARED])
        check_initial(stage.settings, seed, self.width, shared)
        for name, wanted in method_of(stage.settings).further(shared).items():
            if name in arrays:
                check_same(wanted, to_arrays(arrays[name]))
