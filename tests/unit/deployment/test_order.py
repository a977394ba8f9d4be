"""The order of an approved run: nothing is answered that it does not have in this place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import run_examples
from hypothesis_profiles import examples
from ms_pfl.deployment.agreement import RefusalError, RunAgreement, Stage
from ms_pfl.deployment.answered import Answered, Place
from ms_pfl.deployment.order import Order
from ms_pfl.deployment.settings import read_parameters
from ms_pfl.deployment.sums_order import HALVINGS
from ms_pfl.federation.flower import Message, to_record
from ms_pfl.federation.messages import RefusedMessageError, read
from ms_pfl.paradigms import Training, trainings
from ms_pfl.personalization.method import SHARED
from run_examples import (
    N_FEATURES,
    Arrays,
    cluster_sums,
    evaluate,
    honest,
    model_after,
    newton_sums,
    personalize,
    predict,
    prepare,
    scaler_sums,
    train,
)
from site_examples import COUNTRIES, PROJECT, SMALL
from tree_runs import grown, histograms, last_model, look

_BASE = read_parameters(str(PROJECT), "")


def agreement(training: str, rounds: int = 3) -> RunAgreement:
    """A small one, of two seeds."""
    own = _BASE.model_dump()
    for name, section in SMALL["training"].items():  # type: ignore[index]
        own["training"][name] |= section
    own["training"]["federation"]["rounds"] = rounds
    own["training"]["strategies"]["logistic"]["steps"] = rounds
    own["training"]["strategies"]["trees"] |= {"trees": rounds, "evaluate_every": 2, "columns": 0.7}
    own |= {"seeds": [0, 1], "device": "cpu"}
    paradigm, strategy = training.split(".")
    told = type(_BASE).model_validate(own)
    return RunAgreement.of(Training(paradigm, strategy), told, COUNTRIES, "plain")


class Guard:
    """What a site keeps of the order from message to message."""

    def __init__(self, agreed: RunAgreement, evaluations: int = 1) -> None:
        self.agreed, self.evaluations = agreed, evaluations
        self.place, self.answered = Place(), Answered()
        self.keys: list[tuple[str, str]] = []

    def ask(self, message: Message) -> None:
        order = Order(self.agreed, N_FEATURES, self.evaluations, self.answered)
        allowed = order.allow(read(message), message, self.place)
        self.answered = order.note(allowed)
        self.place = Place.read(allowed.place.to_json())
        self.keys.append(allowed.key)

    def refuses(self, message: Message, why: str = "") -> None:
        before = (self.place, self.answered)
        with pytest.raises((RefusalError, RefusedMessageError), match=why):
            self.ask(message)
        assert (self.place, self.answered) == before

    def after(self, messages: Sequence[Message]) -> Guard:
        for message in messages:
            self.ask(message)
        return self


BETWEEN_SITES = [t.name for t in trainings() if t.paradigm != "centralized"]


@pytest.mark.parametrize("training", BETWEEN_SITES)
def test_an_honest_run_is_answered_and_so_it_is_again(training: str) -> None:
    agreed = agreement(training)
    messages = [message for seed in agreed.seeds for message in honest(agreed, seed)]
    guard = Guard(agreed).after(messages)
    once = guard.answered
    assert guard.after(messages).answered == once, "the same run again has no other question"


def test_early_stop_and_resume() -> None:
    agreed = agreement("adaptive.fedavg", rounds=5)
    stage = agreed.stages[0]
    whole = list(honest(agreed, 0, rounds=3))
    guard = Guard(agreed).after(whole[:4])  # scaler, prepared, two rounds
    guard.after([scaler_sums(agreed, 0), prepare(stage, 0, after_round=2), *whole[4:]])
    assert guard.place.finished
    lost = (
        Guard(agreed)
        .after(whole[:4])
        .after([prepare(stage, 0, after_round=1), train(agreed, stage, 0, 2)])
    )
    assert lost.place.step == 2, "the checkpoint before: the second round is asked again"
    Guard(agreed).after(whole[:4]).after([train(agreed, stage, 0, 2), *whole[4:]])


def ready(training: str, seed: int = 0, steps: int = 0) -> tuple[Guard, RunAgreement, Any]:
    agreed = agreement(training)
    guard = Guard(agreed).after(list(honest(agreed, seed))[: 2 + steps])
    return guard, agreed, agreed.stages[0]


def test_nothing_before_the_scaler_and_the_settings() -> None:
    agreed = agreement("adaptive.fedavg")
    stage, guard = agreed.stages[0], Guard(agreement("adaptive.fedavg"))
    guard.refuses(prepare(stage, 0), "come after the sums")
    for message in (
        train(agreed, stage, 0, 1), evaluate(stage, 0, 0), predict(stage, 0, 0),
        personalize(stage, epochs=1, **{"epochs-without-validation": 1}),
    ):  # fmt: skip
        guard.refuses(message, "before it was prepared")


def test_other_seeds_settings_sites_and_questions() -> None:
    guard, agreed, stage = ready("adaptive.fedavg")
    guard.refuses(scaler_sums(agreed, 7), "not among those")
    guard.refuses(scaler_sums(agreed, 1, sites=2), "number of sites")
    other = agreement("adaptive.fedprox").stages[0]
    wide = stage.settings.model_copy(
        update={"network": stage.settings.network.model_copy(update={"width": 9})}
    )
    guard.refuses(prepare(stage.model_copy(update={"settings": wide}), 0), "settings are not")
    guard.refuses(prepare(stage, 1), "come after the sums")
    guard.refuses(prepare(stage, 0, after_round=1), "was not reached")
    guard.refuses(train(agreed, other, 0, 1, **{"proximal-mu": 0.5}), "proximal term")
    guard.refuses(train(agreed, stage, 0, 1, epochs=2), "epochs")
    guard.refuses(train(agreed, stage, 0, 1, sites=1), "number of sites")
    alone = personalize(stage, epochs=1, **{"epochs-without-validation": 1})
    guard.refuses(alone, "another question")
    guard.refuses(newton_sums(agreed, 0, {"coefficients": np.zeros(3)}), "another question")
    guard.refuses(predict(stage, 0, 0), "when it has trained")


def test_the_first_round_begins_with_the_weights_of_the_seed() -> None:
    for training in ("adaptive.fedavg", "scaffold.fedavg"):
        guard, agreed, stage = ready(training)
        for name in ("core.0.weight", "output.bias"):
            message = train(agreed, stage, 0, 1)
            arrays = dict(model_after(stage, 0, 0)[SHARED])
            arrays[name] = arrays[name] + np.float32(1e-6)
            message.content[SHARED] = to_record(arrays)
            guard.refuses(message, "are not the initial ones")
        less = train(agreed, stage, 0, 1)
        less.content[SHARED] = to_record({"output.bias": np.zeros(1, np.float32)})
        guard.refuses(less, "are not the initial ones")
        guard.refuses(train(agreed, stage, 1, 1), "are not the initial ones")
        guard.refuses(evaluate(stage, 1, 0), "are not the initial ones")
    message = train(agreed, stage, 0, 1)
    message.content["control"] = to_record(
        {k: a + np.float32(1) for k, a in model_after(stage, 0, 0)["control"].items()}
    )
    guard.refuses(message, "not the one that the seed gives")


def test_one_model_a_round_in_order() -> None:
    guard, agreed, stage = ready("adaptive.fedavg", steps=1)
    guard.refuses(train(agreed, stage, 0, 3), "in their order")
    guard.refuses(evaluate(stage, 0, 2), "in their order")
    chosen = train(agreed, stage, 0, 1)
    chosen.content[SHARED] = to_record(model_after(stage, 0, 5)[SHARED])
    guard.refuses(chosen, "are not the initial ones")
    guard.ask(train(agreed, stage, 0, 2))
    again = train(agreed, stage, 0, 2)
    again.content[SHARED] = to_record(model_after(stage, 0, 9)[SHARED])
    guard.refuses(again, "another question was answered")
    guard.refuses(evaluate(stage, 0, 1), "another question was answered")
    guard.ask(evaluate(stage, 0, 2))
    guard.ask(evaluate(stage, 0, 2))
    guard.refuses(evaluate(stage, 0, 1), "in their order")
    guard.refuses(train(agreed, stage, 0, 5), "more rounds")
    # from the beginning the same may be asked, and nothing else
    guard.after([scaler_sums(agreed, 0), prepare(stage, 0), train(agreed, stage, 0, 1)])
    guard.refuses(again, "another question was answered")
    other = prepare(stage, 0)
    other.content["inputs"] = to_record({"mean": np.ones(3), "sd": np.ones(3)})
    guard.refuses(other, "another question was answered")


def test_chosen_models_are_not_predicted_with() -> None:
    guard, _, stage = ready("adaptive.fedavg", steps=3)
    guard.refuses(predict(stage, 0, 1), "when the last round is scored")
    guard.ask(evaluate(stage, 0, 3))
    for best, why in ((0, "when the last"), (4, "when the last"), (3, "not that of the best")):
        message = predict(stage, 0, best)
        if best == 3:
            message.content[SHARED] = to_record(model_after(stage, 0, 8)[SHARED])
        guard.refuses(message, why)
    guard.refuses(predict(stage, 0, 2, **{"keep-as": "federated.fedavg"}), "name of the training")
    guard.ask(predict(stage, 0, 2))
    guard.ask(predict(stage, 0, 2))
    guard.refuses(predict(stage, 0, 3), "another question was answered")
    guard.refuses(evaluate(stage, 0, 3), "none after predictions")


def test_no_model_is_scored_after_the_last_round() -> None:
    guard, _, stage = ready("adaptive.fedavg", steps=3)
    guard.ask(evaluate(stage, 0, 3))
    guard.refuses(evaluate(stage, 0, 4), "more rounds than were agreed on")


def test_a_site_that_trains_by_itself_predicts_with_its_own_model() -> None:
    guard, _, alone = ready("local.none", steps=1)
    given_ = predict(alone, 0, 0)
    given_.content[SHARED] = to_record({"output.bias": np.zeros(1, np.float32)})
    guard.refuses(given_, "with its own model")
    guard.refuses(predict(alone, 0, 1), "with its own model")
    guard.ask(predict(alone, 0, 0))


def test_fine_tuning_goes_on_from_the_model_that_was_predicted_with() -> None:
    agreed = agreement("fine_tuned.fedavg")
    rounds, alone = agreed.stages
    messages = list(honest(agreed, 0))
    begun = Guard(agreed).after(messages[:5])
    begun.refuses(prepare(alone, 0), "when the one before it has predicted")
    guard = Guard(agreed).after(messages[:8])
    model = {SHARED: model_after(rounds, 0, 2)[SHARED]}
    other = {SHARED: model_after(rounds, 0, 1)[SHARED]}
    guard.refuses(personalize(alone, other), "not the one of the stage before")
    guard.refuses(personalize(alone), "not as it was agreed")
    for name, value in (("epochs", 3), ("patience", 9), ("epochs-without-validation", 1)):
        guard.refuses(personalize(alone, model, **{name: value}), "not those that were agreed")
    guard.refuses(personalize(alone, model, **{"reply-with-arrays": True}), "its whole model")
    guard.refuses(predict(alone, 0, 0), "when it has trained")
    guard.ask(personalize(alone, model))
    guard.refuses(predict(rounds, 0, 2), "name of the training")
    guard.ask(predict(alone, 0, 0))
    guard.refuses(personalize(alone, model), "before it predicts")


def test_newtons_sums_are_counted() -> None:
    agreed = agreement("federated.logistic", rounds=2)
    stage = agreed.stages[0]
    guard = Guard(agreed).after(list(honest(agreed, 0))[:2])
    guard.refuses(newton_sums(agreed, 0, model_after(stage, 0, 1)[SHARED]), "first model")
    most = 2 + 1 + HALVINGS
    for number in range(most):
        guard.ask(newton_sums(agreed, 0, model_after(stage, 0, number)[SHARED]))
    guard.ask(newton_sums(agreed, 0, model_after(stage, 0, 0)[SHARED]))
    guard.refuses(newton_sums(agreed, 0, model_after(stage, 0, most)[SHARED]), "another question")
    guard.refuses(evaluate(stage, 0, 2), "in their order")
    guard.refuses(evaluate(stage, 0, 0), "more steps")
    guard.refuses(evaluate(stage, 0, 3), "more steps")
    guard.refuses(newton_sums(agreed, 1, model_after(stage, 0, 0)[SHARED]), "of another seed")
    done = Guard(agreed).after(list(honest(agreed, 0)))
    done.refuses(newton_sums(agreed, 0, model_after(stage, 0, 0)[SHARED]), "of another seed")


def test_each_regression_is_fitted_by_its_own_sums() -> None:
    plain, own = agreement("federated.logistic"), agreement("adaptive.logistic")
    for agreed, other in ((plain, own), (own, plain)):
        stage = other.stages[0]
        guard = Guard(agreed).after(list(honest(agreed, 0))[:2])
        guard.refuses(newton_sums(other, 0, model_after(stage, 0, 0)[SHARED]), "by other sums")
    guard = Guard(own).after(list(honest(own, 0))[:2])
    certain = {**model_after(own.stages[0], 0, 0)[SHARED], "variance": np.zeros(N_FEATURES + 1)}
    guard.refuses(newton_sums(own, 0, certain), "first model")


def test_trees_grow_on_top_of_what_was_answered() -> None:
    """Level by level with the features that are drawn, from the rows by label on."""
    agreed = agreement("adaptive.trees")
    stage, messages = agreed.stages[0], list(honest(agreed, 0))
    found = grown(stage, 0, N_FEATURES)
    questions = [model for kind, model in found if kind == "question"]
    models = [model for kind, model in found if kind == "model"]
    guard = Guard(agreed).after(messages[:3])
    guard.refuses(histograms(agreed, 0, questions[0]), "after the rows by label")
    guard.after(messages[3:4])
    guard.refuses(histograms(agreed, 0, questions[1]), "not grown from the one that was answered")
    guard.refuses(histograms(agreed, 1, questions[0]), "of another seed")
    drawn = questions[0]["columns"]  # two of three
    other = {**questions[0], "columns": np.array([0, 1 + (drawn[1] == 1)], np.int16)}
    assert other["columns"].tolist() != drawn.tolist()
    guard.refuses(histograms(agreed, 0, other), "not those that are drawn")
    guard.refuses(newton_sums(agreement("federated.logistic"), 0, {}), "another question")
    guard.after(messages[4:5]).after(messages[4:5])
    base = {**questions[0], "base": questions[0]["base"] + 1}
    guard.refuses(histograms(agreed, 0, base), "another question was answered in this place")
    guard.refuses(look(models[1]), "not those that were grown")
    guard.refuses(predict_trees(stage, models[1]), "when it has trained")
    guard.after(messages[5:])
    assert guard.place.finished
    guard.refuses(histograms(agreed, 0, questions[0]), "of another seed")
    fewer = agreement("adaptive.trees", rounds=1)
    guard = Guard(fewer).after(list(honest(fewer, 0))[:-1])
    guard.refuses(look(models[2]), "more trees than were agreed on")


@pytest.mark.parametrize("training", ["adaptive.trees", "federated.logistic", "adaptive.logistic"])
def test_arrays_that_are_no_model_are_refused_before_they_are_used(training: str) -> None:
    agreed = agreement(training)
    stage, messages = agreed.stages[0], list(honest(agreed, 0))
    about_model = [m for m in messages if SHARED in m.content.array_records][-2:]
    first = next(
        m for m in messages
        if m.metadata.message_type == "query.sums"
        and m.content["config"]["question"] in ("histograms", "logistic", "mixed")
    )  # fmt: skip
    place = messages.index(first)
    whole = {name: array.numpy() for name, array in first.content.array_records[SHARED].items()}
    assert stage.rounds
    assert about_model
    for name, array in whole.items():
        for wrong in (
            {key: value for key, value in whole.items() if key != name},
            {**whole, name: array[..., :0]},
            {**whole, name: array.astype(np.int64)},
            {**whole, "more": np.zeros(1)},
        ):
            guard = Guard(agreed).after(messages[:place])
            config = dict(first.content["config"])
            guard.refuses(run_examples.message("query.sums", config, {SHARED: wrong}), "")


def test_trees_that_nobody_grew_are_not_predicted_with() -> None:
    agreed = agreement("federated.trees", rounds=4)
    stage, messages = agreed.stages[0], list(honest(agreed, 0))
    guard = Guard(agreed).after(messages[:-1])
    model = dict(last_model(stage, 0, N_FEATURES))
    model["value"] = model["value"] * 2
    guard.refuses(predict_trees(stage, model), "not that of the best round")
    guard.after(messages[-1:])


def predict_trees(stage: Stage, model: Arrays) -> Message:
    config = {"best-round": len(model["value"]), "keep-as": stage.training}
    return run_examples.message("query.predict", config, {SHARED: model})


def test_standard_errors_are_of_the_model_that_was_scored_last() -> None:
    agreed = agreement("federated.logistic", rounds=2)
    stage, messages = agreed.stages[0], list(honest(agreed, 0))
    last, before = (model_after(stage, 0, number)[SHARED] for number in (2, 1))
    guard = Guard(agreed).after(messages[:3])
    guard.refuses(cluster_sums(agreed, 0, model_after(stage, 0, 0)[SHARED]), "was scored")
    guard.after(messages[3:7])
    guard.refuses(cluster_sums(agreed, 0, before), "was scored")
    guard.refuses(cluster_sums(agreed, 1, last), "of another seed")
    guard.ask(cluster_sums(agreed, 0, last))
    guard.ask(cluster_sums(agreed, 0, last))
    guard.after(messages[7:])
    guard.refuses(cluster_sums(agreed, 0, last), "of another seed")
    own = agreement("adaptive.logistic", rounds=2)
    guard = Guard(own).after(list(honest(own, 0))[:7])
    guard.refuses(cluster_sums(own, 0, last), "has no standard errors")


def test_more_evaluations_where_the_policy_has_them() -> None:
    agreed = agreement("adaptive.fedavg")
    stage = agreed.stages[0]
    guard = Guard(agreed, evaluations=2).after(list(honest(agreed, 0))[:4])

    def other(number: int) -> Message:
        message = train(agreed, stage, 0, 2)
        message.content[SHARED] = to_record(model_after(stage, 0, number)[SHARED])
        return message

    guard.refuses(other(7), "only where the same is asked")
    begin = [scaler_sums(agreed, 0), prepare(stage, 0), train(agreed, stage, 0, 1)]
    guard.after([*begin, other(7)])
    guard.after(begin).refuses(other(8), "another question was answered")
    resumed = prepare(stage, 0, after_round=1)
    resumed.content["inputs"] = to_record({"mean": np.ones(3), "sd": np.ones(3)})
    guard.refuses(resumed, "goes on with the inputs that it began with")


Change = Callable[[Message], None]


def _model(by: float) -> Change:
    def change(message: Message) -> None:
        for name, record in list(message.content.array_records.items()):
            message.content[name] = to_record({k: a.numpy() + by for k, a in record.items()})

    return change


@given(data=st.data())
@settings(max_examples=examples(30), deadline=None)
def test_whatever_the_order_each_place_has_one_answer_and_the_places_are_in_order(
    data: st.DataObject,
) -> None:
    training = data.draw(
        st.sampled_from(["adaptive.fedavg", "fine_tuned.fedavg", "scaffold.fedavg", "local.none",
                         "federated.logistic", "fine_tuned.logistic", "adaptive.logistic",
                         "adaptive.trees"])
    )  # fmt: skip
    agreed = agreement(training, rounds=2)
    pool = [message for seed in agreed.seeds for message in honest(agreed, seed)]
    guard = Guard(agreed)
    begin = data.draw(st.integers(0, len(pool)))
    guard.after(pool[:begin])
    for _ in range(25):
        message = data.draw(st.sampled_from(pool))
        if data.draw(st.booleans()) and message.content.array_records:
            message = Message(
                content=message.content.copy(), message_type=message.metadata.message_type,
                dst_node_id=1,
            )  # fmt: skip
            _model(data.draw(st.sampled_from([0.5, 1.0, 2.0])))(message)
        before = guard.place
        try:
            guard.ask(message)
        except (RefusalError, RefusedMessageError):
            assert guard.place == before
    for seed, places in guard.answered.items():
        assert int(seed) in agreed.seeds
        models = 2 * (1 + agreed.stages[0].settings.mixed)
        limits = {key: 1 + models + HALVINGS if key.endswith("sums") else 1 for key in places}
        assert all(len(found) <= limits[key] for key, found in places.items())
        order = list(places)
        assert order[0] in ("scaler", "first-cells")
        for number, stage in enumerate(agreed.stages):
            steps = [int(k.split("/")[1]) for k in order if k.split("/")[0] == f"{number}"
                     and k.split("/")[1].isdigit()]  # fmt: skip
            if stage.kind == "trees":
                assert steps == sorted(steps), "no look before the one before it"
            else:
                assert steps == list(range(1, len(steps) + 1)), "no round before the one before it"
            assert len(steps) <= max(stage.rounds, 0) + 1
            if f"{number}/predict" in places:
                assert steps
                assert order.index(f"{number}/predict") > order.index(f"{number}/prepare")
            if number and f"{number}/prepare" in places:
                assert f"{number - 1}/predict" in places
