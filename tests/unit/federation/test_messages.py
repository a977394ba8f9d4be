"""What a message may ask: types, bounds and records; anything else is refused in one line."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation_examples import settings
from ms_pfl.federation.flower import (
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
    take_identity,
    to_record,
)
from ms_pfl.federation.messages import (
    Evaluate,
    Introduce,
    Personalize,
    Predict,
    Prepare,
    RefusedMessageError,
    SumsQuestion,
    TrainRound,
    read,
)

TOLD = settings()
CONFIGS: dict[str, dict[str, Any]] = {
    "query.introduce": {"software": "{}", "sites": ["AU", "BE"]},
    "query.sums": {"question": "scaler", "seed": 0, "sites": 3},
    "query.prepare": {"seed": 0, "settings": TOLD.model_dump_json(), "after-round": 0},
    "train": {"server-round": 3, "epochs": 2, "best-round": 2, "sites": 3, "proximal-mu": 0.5},
    "train.personalize": {
        "epochs": 6,
        "patience": 3,
        "epochs-without-validation": 2,
        "start-is-candidate": False,
        "reply-with-arrays": False,
    },
    "evaluate": {"server-round": 3},
    "query.predict": {"best-round": 2, "keep-as": "federated.fedavg"},
}
RECORDS = {"query.prepare": ["inputs"], "train": ["arrays", "control"], "evaluate": ["arrays"]}


def message_of(kind: str, config: dict[str, Any], records: list[str] | None = None) -> Message:
    take_identity()
    content = RecordDict({"config": ConfigRecord(config)})
    for name in RECORDS.get(kind, []) if records is None else records:
        content[name] = to_record({})
    return Message(content=content, message_type=kind, dst_node_id=1)


def refused(message: Message) -> str:
    with pytest.raises(RefusedMessageError) as error:
        read(message)
    text = str(error.value)
    assert text.isprintable()
    assert len(text) < 300
    return text


def test_each_message_is_read_as_what_it_asks() -> None:
    assert [read(message_of(kind, config)) for kind, config in CONFIGS.items()] == [
        Introduce(software="{}", sites=("AU", "BE")),
        SumsQuestion(question="scaler", seed=0, sites=3),
        Prepare(seed=0, settings=TOLD.model_dump_json(), after_round=0),  # type: ignore[arg-type]
        TrainRound(server_round=3, epochs=2, best_round=2, sites=3, proximal_mu=0.5),
        Personalize(
            epochs=6,
            patience=3,
            epochs_without_validation=2,
            start_is_candidate=False,
            reply_with_arrays=False,
        ),
        Evaluate(server_round=3),
        Predict(best_round=2, keep_as="federated.fedavg"),
    ]
    prepared = read(message_of("query.prepare", CONFIGS["query.prepare"]))
    assert isinstance(prepared, Prepare)
    assert prepared.settings == TOLD


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("train", {"epochs": 10**9}, "train: epochs: Input should be less than or equal to 10000"),
        ("train", {"epochs": True}, "train: epochs: Input should be a valid integer (given: True)"),
        ("train", {"epochs": 2.0}, "train: epochs: Input should be a valid integer (given: 2.0)"),
        ("train", {"best-round": 3}, "train: best-round: the best round so far is an earlier one"),
        ("train", {"proximal-mu": math.nan}, "train: proximal-mu: Input should be a finite number"),
        ("train", {"proximal-mu": -1.0}, "train: proximal-mu: Input should be greater than or"),
        ("train", {"sites": 0}, "train: sites: Input should be greater than or equal to 1"),
        ("train", {"learning-rate": 1.0}, "train: learning-rate: Extra inputs are not permitted"),
        ("train", {"best_round": 1}, "train: best_round: Extra inputs are not permitted"),
        ("evaluate", {"server-round": -1}, "evaluate: server-round: Input should be greater than"),
        (
            "query.sums",
            {"question": "rows"},
            "query.sums: question: Input should be 'scaler', 'fir",
        ),
        ("query.sums", {"seed": [1, 2]}, "query.sums: seed: Input should be a valid integer"),
        ("query.prepare", {"settings": "{"}, "query.prepare: settings: Invalid JSON"),
        ("query.predict", {"keep-as": "../a\nb"}, r"keep-as: '../a\nb' is no name of a training"),
        ("train.personalize", {"start-is-candidate": 1}, "start-is-candidate: Input should be a"),
        ("train.personalize", {"epochs": 0}, "there is no model to choose"),
        ("train.personalize", {"epochs-without-validation": 0}, "there is no model to choose"),
    ],
)
def test_a_value_out_of_its_type_or_bounds_is_refused(
    kind: str, change: dict[str, Any], told: str
) -> None:
    assert told in refused(message_of(kind, CONFIGS[kind] | change))


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('"width":6', '"width":"6"', "settings.network.width: Input should be a valid integer"),
        ('"width":6', '"width":1000000000000', "settings.network.width: Input should be less than"),
        ('"width":6', '"depth":6', "settings.network.width: Field required"),
        ('"learning_rate":0.1', '"learning_rate":Infinity', "optimizer.learning_rate: Input sho"),
        ('"device":"cpu"', '"device":"cpu","more":1', "settings.more: Extra inputs are not"),
    ],
)
def test_settings_are_typed_as_deep_as_they_go(was: str, becomes: str, told: str) -> None:
    given = CONFIGS["query.prepare"]
    assert was in given["settings"]
    changed = given | {"settings": given["settings"].replace(was, becomes)}
    assert told in refused(message_of("query.prepare", changed))


def test_a_missing_an_unknown_and_another_record_are_refused() -> None:
    for kind in ("train", "evaluate", "query.prepare"):
        assert "is missing" in refused(message_of(kind, CONFIGS[kind], []))
    for kind in CONFIGS.keys() - {"train"}:
        names = [*RECORDS.get(kind, []), "private/1\n"]
        assert r"'private/1\n' is unknown" in refused(message_of(kind, CONFIGS[kind], names))
    assert "unknown" in refused(message_of("query.sums", CONFIGS["query.sums"], ["arrays"]))
    message = message_of("evaluate", CONFIGS["evaluate"])
    message.content["metrics"] = MetricRecord({"a": 1})
    assert "one record of settings" in refused(message)
    message = message_of("evaluate", CONFIGS["evaluate"])
    message.content["more"] = ConfigRecord({})
    assert "one record of settings" in refused(message)
    message = message_of("evaluate", CONFIGS["evaluate"])
    del message.content["config"]
    assert "one record of settings" in refused(message)


def test_a_question_that_nobody_knows_and_an_error_are_refused() -> None:
    assert "asked query.rows, which" in refused(message_of("query.rows", {}))
    error = Message(Error(0, "x"), reply_to=message_of("evaluate", CONFIGS["evaluate"]))
    assert "is an error" in refused(error)


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.binary(max_size=20),
    st.lists(st.integers(0, 9), max_size=3),
)


@given(data=st.data(), kind=st.sampled_from(sorted(CONFIGS)))
def test_a_random_change_is_refused_or_within_all_bounds(data: st.DataObject, kind: str) -> None:
    """No other error than a refusal, and what is read holds what was sent, of the same type."""
    config = dict(CONFIGS[kind])
    name = data.draw(st.sampled_from([*config, "more"]))
    if data.draw(st.booleans()):
        config[name] = data.draw(VALUES)
    else:
        config.pop(name, None)
    message = message_of(kind, config)
    try:
        asked = read(message)
    except RefusedMessageError:
        refused(message)
        return
    told = asked.model_dump(mode="json", by_alias=True)
    for key, value in config.items():
        if key not in ("settings", "sites"):
            assert told[key] == value
            assert isinstance(told[key], float) or type(told[key]) is type(value)
