"""A client that a server tries to trick: a message that is refused changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from federation_examples import data_of, initial, settings
from hypothesis_profiles import examples
from lying_clients import Lie, array, drop, put, raw
from ms_pfl.federation.client import (
    OWN,
    PRIVATE,
    SELECTED,
    SITE,
    NotKeptError,
    check_initial,
    initial_arrays,
    method_of,
)
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.flower import (
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
    take_identity,
    to_arrays,
    to_record,
)
from ms_pfl.federation.messages import RefusedMessageError
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.learning.parameters import LogisticParameters

DATA = data_of({"BE": 60})
ADAPTIVE = settings("adaptive", batch_size=8)
SCAFFOLD = settings("scaffold", {"learning_rate": 0.05})
NEWTON = settings().model_copy(
    update={"logistic": LogisticParameters(ridge=1.0, steps=2, tolerance=1e-9)}
)
SCALER = {"mean": np.zeros(3), "sd": np.ones(3)}
FIT = {
    "epochs": 2,
    "patience": 2,
    "epochs-without-validation": 2,
    "start-is-candidate": False,
    "reply-with-arrays": False,
}


class Site:
    """One client, asked message by message."""

    def __init__(self, run_id: int = 1, snapshot: str = "first") -> None:
        take_identity()
        rows = DATA.rows("BE").client_data(0)
        self.app = make_client_app(lambda *_: rows)
        self.state = RecordDict({SITE: ConfigRecord({"snapshot": snapshot})})
        self.run_id = run_id

    def ask(self, kind: str, content: RecordDict) -> RecordDict:
        message = Message(content=content, message_type=kind, dst_node_id=1)
        context = Context(
            run_id=self.run_id, node_id=1, node_config={}, state=self.state, run_config={}
        )
        return self.app(message, context).content

    def prepare(self, told: ClientSettings = ADAPTIVE, after_round: int = 0, **other: Any) -> None:
        self.ask("query.prepare", prepare(told, after_round, **other))

    @property
    def held(self) -> dict[str, object]:
        """A copy of all that the client keeps."""
        return {
            name: copy.deepcopy({key: getattr(v, "data", v) for key, v in record.items()})
            for name, record in self.state.items()
        }


def prepare(
    told: ClientSettings | str = ADAPTIVE,
    after_round: int = 0,
    scaler: dict[str, np.ndarray] = SCALER,
) -> RecordDict:
    text = told if isinstance(told, str) else told.model_dump_json()
    config = ConfigRecord({"seed": 0, "settings": text, "after-round": after_round})
    return RecordDict({"config": config, "inputs": to_record(scaler)})


def train(told: ClientSettings = ADAPTIVE, number: int = 1) -> RecordDict:
    config = ConfigRecord({"server-round": number, "epochs": 1, "best-round": 0, "sites": 1})
    arrays = initial(told)
    content = RecordDict({"config": config, "arrays": to_record(arrays)})
    for name, record in method_of(told).further(arrays).items():
        content[name] = to_record(record)
    return content


def evaluate() -> RecordDict:
    config = ConfigRecord({"server-round": 0})
    return RecordDict({"config": config, "arrays": to_record(initial(ADAPTIVE))})


def predict(with_arrays: bool = True) -> RecordDict:
    content = RecordDict({"config": ConfigRecord({"best-round": 0})})
    if with_arrays:
        content["arrays"] = to_record(initial(ADAPTIVE))
    return content


def newton() -> RecordDict:
    config = ConfigRecord({"question": "logistic", "seed": 0, "sites": 1})
    model = {"coefficients": np.zeros(3), "intercept": np.zeros(1)}
    return RecordDict({"config": config, "arrays": to_record(model)})


ASKS: dict[str, Callable[[], RecordDict]] = {
    "train": train,
    "evaluate": evaluate,
    "query.predict": predict,
    "query.sums": newton,
    "train.personalize": lambda: RecordDict({"config": ConfigRecord(dict(FIT))}),
}


def refused(site: Site, kind: str, content: RecordDict) -> str:
    """Why a message is refused, which changes nothing."""
    before = site.held
    with pytest.raises(RefusedMessageError) as error:
        site.ask(kind, content)
    assert site.held == before
    text = str(error.value)
    assert text.isprintable()
    assert len(text) < 300
    return text


# -- state belongs to a run and a snapshot ---------------------------------------------------------


@pytest.mark.parametrize("kind", ASKS)
def test_a_run_that_has_prepared_nothing_gets_nothing(kind: str) -> None:
    told = NEWTON if kind == "query.sums" else ADAPTIVE
    assert "has prepared nothing here" in refused(Site(), kind, ASKS[kind]())
    site = Site()
    site.prepare(told)
    site.run_id = 2  # what an earlier run has left is there
    assert "has prepared nothing here" in refused(site, kind, ASKS[kind]())
    site.prepare(told)
    site.ask(kind, ASKS[kind]())
    site.state[SITE] = ConfigRecord({"snapshot": "second"})
    assert "was prepared for other rows" in refused(site, kind, ASKS[kind]())


def test_a_model_of_an_earlier_training_is_used_no_more() -> None:
    site = Site()
    site.prepare()
    site.ask("train.personalize", ASKS["train.personalize"]())
    site.ask("query.predict", predict(with_arrays=False))
    site.ask("query.predict", predict())
    assert {OWN, SELECTED} <= site.state.keys()
    site.prepare()
    assert not {OWN, SELECTED} & site.state.keys()
    told = refused(site, "query.predict", predict(with_arrays=False))
    assert told == "query.predict: this run has trained no own model here"


def test_private_state_lasts_for_the_same_seed_settings_and_rows_alone() -> None:
    site = Site()
    site.prepare()
    site.ask("train", train())
    trained = site.held[f"{PRIVATE}1"]
    site.run_id = 2
    site.prepare(after_round=1)
    assert site.held[f"{PRIVATE}1"] == trained
    before = site.held
    site.state[SITE] = ConfigRecord({"snapshot": "second"})
    with pytest.raises(NotKeptError, match="start the training again"):
        site.prepare(after_round=1)
    site.state[SITE] = ConfigRecord({"snapshot": "first"})
    assert site.held == before
    with pytest.raises(NotKeptError, match="start the training again"):
        site.prepare(settings("adaptive", batch_size=4), after_round=1)
    assert site.held == before
    site.prepare()
    assert f"{PRIVATE}1" not in site.state


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (prepare(settings("nobody\n")), r"there is no paradigm 'nobody\n' in this version"),
        (prepare(settings("federated", {"pull": 1})), "federated has no settings of its own"),
        (prepare(settings("scaffold", {"rate": 1})), "query.prepare: learning_rate: Field requ"),
        (prepare(settings("scaffold")), "query.prepare: Input should be a valid dictionary"),
        (prepare("{}"), "query.prepare: settings.paradigm: Field required"),
        (prepare(scaler={"mean": np.zeros(3)}), "query.prepare: the array 'sd' is missing"),
        (prepare(scaler={**SCALER, "n": np.zeros(3)}), "the array 'n' is not expected"),
        (prepare(scaler={**SCALER, "sd": np.ones(1)}), "the array 'sd' is float64 of shape (1,)"),
        (prepare(scaler={**SCALER, "sd": np.zeros(3)}), "sd of the scaler has to be above 0"),
        (prepare(scaler={**SCALER, "sd": -np.ones(3)}), "sd of the scaler has to be above 0"),
        (prepare(scaler={**SCALER, "mean": np.full(3, np.nan)}), "'mean' holds a number that is"),
    ],
)
def test_a_refused_prepare_leaves_everything_as_it_was(content: RecordDict, told: str) -> None:
    site = Site()
    assert told in refused(site, "query.prepare", content)
    site.prepare()
    site.ask("train", train())
    assert told in refused(site, "query.prepare", content)
    site.ask("train", train(number=2))


# -- arrays ----------------------------------------------------------------------------------------

NAME = "core.0.weight"
BYTES = {"data": lambda data: bytes(data)[:-4]}
ONE = {"shape": (1,), "data": to_record({"a": np.zeros(1, np.float32)})["a"].data}
ARRAYS: list[tuple[Lie, str]] = [
    (array("arrays", NAME, lambda w: w * np.nan), f"the array '{NAME}' holds a number that is not"),
    (array("arrays", NAME, lambda w: w + np.inf), f"the array '{NAME}' holds a number that is not"),
    (array("arrays", NAME, lambda w: w.astype(float)), f"the array '{NAME}' is float64 of shape"),
    (array("arrays", NAME, lambda w: w[0]), f"the array '{NAME}' is float32 of shape (3,), and"),
    (drop("arrays", NAME), f"the array '{NAME}' is missing"),
    (raw("arrays", NAME, **BYTES), f"the bytes of the array '{NAME}' are not those of float32"),
    (raw("arrays", NAME, **ONE), f"the array '{NAME}' is float32 of shape (1,), and has to be"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["train", "evaluate", "query.predict"])
@pytest.mark.parametrize(("lie", "told"), ARRAYS)
def test_arrays_that_the_settings_do_not_give_are_refused(kind: str, lie: Lie, told: str) -> None:
    site = Site()
    site.prepare()
    content = ASKS[kind]()
    lie(content)
    assert refused(site, kind, content).startswith(f"{kind}: {told}")


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (drop("control"), "the record 'control' is missing"),
        (put("private/1", to_record({})), "the record 'private/1' is unknown"),
        (array("control", NAME, lambda w: w + np.nan), f"the array '{NAME}' holds a number"),
        (drop("arrays"), "the record 'arrays' is missing"),
        (put("metrics", MetricRecord({})), "one record of settings, 'config', has to be there"),
    ],
)
def test_records_that_the_method_does_not_send_are_refused(lie: Lie, told: str) -> None:
    site = Site()
    site.prepare(SCAFFOLD)
    content = train(SCAFFOLD)
    lie(content)
    assert refused(site, "train", content).startswith(f"train: {told}")
    site.ask("train", train(SCAFFOLD))


def test_a_network_and_a_logistic_regression_are_not_asked_the_same() -> None:
    site = Site()
    site.prepare()
    assert "is not fitted by 'logistic'" in refused(site, "query.sums", newton())
    site.prepare(NEWTON)
    site.ask("query.sums", newton())
    assert "has no rounds" in refused(site, "train", train(settings()))


# -- a trap layer ----------------------------------------------------------------------------------


def test_round_1_begins_with_the_weights_that_the_seed_gives() -> None:
    check_initial(ADAPTIVE, 0, 3, initial(ADAPTIVE))
    for other in (initial(ADAPTIVE, seed=1), {}, initial(settings())):
        with pytest.raises(RefusedMessageError, match="are not the initial ones of seed 0, which"):
            check_initial(ADAPTIVE, 0, 3, other)


@hypothesis_settings(max_examples=examples(50))
@given(data=st.data())
def test_a_single_other_bit_is_noticed(data: st.DataObject) -> None:
    arrays = initial_arrays(ADAPTIVE, method_of(ADAPTIVE), 3, 0)
    name = data.draw(st.sampled_from(sorted(arrays)))
    bits = np.frombuffer(bytearray(arrays[name].tobytes()), np.uint8)
    bits[data.draw(st.integers(0, len(bits) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    arrays[name] = bits.view(np.float32).reshape(arrays[name].shape)
    with pytest.raises(RefusedMessageError):
        check_initial(ADAPTIVE, 0, 3, arrays)


def test_an_answer_that_cannot_be_sent_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The private state of a round is kept once all that leaves is there."""
    site = Site()
    site.prepare()
    before = site.held
    monkeypatch.setattr("ms_pfl.federation.client_app.MetricRecord", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        site.ask("train", train())
    assert site.held == before
    assert to_arrays(site.state[f"{PRIVATE}0"])
