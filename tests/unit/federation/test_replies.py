"""A client that lies: the run ends, names it and gives one reason, before anything is averaged."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from federation_examples import STRATEGIES
from hypothesis_profiles import examples
from lying_clients import (
    DATA,
    LIAR,
    TOLD,
    Lie,
    array,
    content_of,
    drop,
    honest,
    number,
    put,
    raw,
    results,
)
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import read_arrays
from ms_pfl.federation.exchange import ClientError, check_replies
from ms_pfl.federation.fixed_point import MODEL, ROWS
from ms_pfl.federation.flower import (
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
    take_identity,
    to_record,
)
from ms_pfl.federation.parameters import StrategiesParameters
from ms_pfl.federation.replies import (
    METRICS,
    KnownRows,
    ReplyError,
    prediction_metrics,
)
from ms_pfl.paradigms import Training
from ms_pfl.training.resume import UnfinishedTraining

FEDERATED = Training("federated", "fedavg")
NEWTON = Training("federated", "logistic")
MIXED = Training("adaptive", "logistic")
POOLED_NEWTON = Training("centralized", "logistic")
LOCAL = Training("local", "none")
POOLED = Training("centralized", "pooled")
TREES = Training("adaptive", "trees")
SCAFFOLD = Training("scaffold", "fedavg")
ROWS_OF_LIAR = DATA.split_rows(LIAR, 0)
N = ROWS_OF_LIAR["train"]


def refused(training: Training, kind: str, lie: Lie) -> str:
    """The one line with which a run ends."""
    with pytest.raises(ClientError) as error:
        results(training, kind, lie)
    text = str(error.value)
    name = "pooled" if training.paradigm == "centralized" else LIAR
    assert text.startswith(f"the reply of {name} (seed 0) to {kind} cannot be used: ")
    assert text.isprintable()
    assert len(text) < 400
    return text.partition("cannot be used: ")[2]


def sums(name: str, change: Callable[[np.ndarray], object]) -> Lie:
    """Replace one of the sums over rows."""

    def as_words(words: np.ndarray) -> np.ndarray:
        found = np.asarray(change(ROWS.decode(words)), np.float64)
        return ROWS.encode(found, 1)

    return array("sums", name, as_words)


def weights(change: Callable[[np.ndarray], object], name: str = "core.0.weight") -> Lie:
    """Replace weights, times rows."""

    def as_words(words: np.ndarray) -> np.ndarray:
        return MODEL.encode(np.asarray(change(MODEL.decode(words) / N), np.float64), 1, N)

    return array("arrays", name, as_words)


def all_weights(change: Callable[[np.ndarray], np.ndarray]) -> Lie:
    def lie(content: RecordDict) -> None:
        for name in list(content["arrays"]):
            weights(change, name)(content)

    return lie


BYTES = {"data": lambda data: bytes(data)[:-4]}
ONE = {"shape": (1,), "data": to_record({"a": np.zeros(1, np.uint64)})["a"].data}

SCALER_LIES: list[tuple[Lie, str]] = [
    (sums("n", lambda n: n - 2 * N), "n has to be a number of rows"),
    (sums("n", lambda n: n + 0.5), "n has to be a number of rows"),
    (sums("n", lambda n: n + N), f"n is {2 * N} for a feature, and the client has {N} train rows"),
    (sums("sum", lambda s: s + 1e15), "the sum of a feature is larger than its number and sum of"),
    (sums("sum-of-squares", lambda s: -s), "the sum of a feature is larger than its number and"),
    (sums("sum-of-squares", lambda s: s * 0), "the sum of a feature is larger than its number and"),
    (array("sums", "n", lambda w: w[:1]), "the array 'n' is uint64 of shape (1, 3), and has to be"),
    (array("sums", "n", lambda w: w[:, :1]), "the array 'n' is uint64 of shape (2, 1), and has to"),
    (array("sums", "n", lambda w: w.astype(float)), "the array 'n' is float64 of shape (2, 3), "),
    (array("sums", "n", lambda w: ~(w * 0)), "n has to be a number of rows"),
    (array("sums", "n", lambda w: w * 0 + 2**63), "the array 'n' holds a number beyond its share"),
    (raw("sums", "sum", **BYTES), "the bytes of the array 'sum' are not those of uint64 of shape"),
    (raw("sums", "sum", **ONE), "the array 'sum' is uint64 of shape (1,), and has to be uint64"),
    (drop("sums", "sum"), "the array 'sum' is missing"),
    (drop("sums"), "the record 'sums' is missing"),
    (put("more\n", to_record({})), r"the record 'more\n' is not expected"),
    (put("sums", MetricRecord({"n": 1})), "a record is of another kind than expected"),
    (put("config", ConfigRecord({"a": "\x1b[2J"})), "the record 'config' is not expected"),
]


@pytest.mark.parametrize(("lie", "told"), SCALER_LIES)
def test_sums_for_the_scaler_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(FEDERATED, "query.sums", lie).startswith(told)


def only_logistic(lie: Lie) -> Lie:
    return lambda content: lie(content) if "gradient" in content["sums"] else None


def only_clusters(lie: Lie) -> Lie:
    return lambda content: lie(content) if "meat" in content["sums"] else None


def off_diagonal(h: np.ndarray) -> np.ndarray:
    h[0, 1] += 1
    return h


def negative(h: np.ndarray) -> np.ndarray:
    h[1, 1] = -1e-3
    return h


def beyond(h: np.ndarray) -> np.ndarray:
    h[0, 1] = h[1, 0] = 1e6
    return h


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (sums("n", lambda n: n * 1000), f"n is {N * 1000}, and the client has {N} train rows"),
        (sums("n", lambda n: n * 0), "n is 0, and the client has"),
        (sums("loss", lambda loss: -loss), "the log-loss is below 0"),
        (sums("hessian", off_diagonal), "the Hessian is not symmetric"),
        (sums("hessian", negative), "the Hessian has a number below 0 on its diagonal"),
        (sums("hessian", beyond), "the Hessian has a number that its diagonal does not allow"),
        (sums("hessian", lambda h: h * 1e9), "the intercept's gradient or Hessian is more than"),
        (sums("gradient", lambda g: g + 1e9), "the intercept's gradient or Hessian is more than"),
        (sums("loss", lambda loss: loss * 1.0001), "the log-loss is 24.955"),
        (sums("loss", lambda loss: loss * 0), "the log-loss is 0, and that of 36 rows is 24.953"),
        (sums("hessian", lambda h: h / 2), "the intercept's Hessian is 4.5, and that of 36 rows"),
        (sums("gradient", lambda g: np.r_[300, g[1:]]), "a gradient is more than the Hessian al"),
        (array("sums", "gradient", lambda w: w[:, :-1]), "the array 'gradient' is uint64 of shape"),
        (drop("sums", "loss"), "the array 'loss' is missing"),
    ],
)
def test_sums_for_newtons_step_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(NEWTON, "query.sums", only_logistic(lie)).startswith(told)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (sums("n", lambda n: n + 1), f"n is {N + 1}, and the client has {N} train rows"),
        (sums("square", lambda s: -s - 1), "the squares of its own deviations are not what"),
        (sums("square", lambda s: s + 0.1), "the squares of its own deviations are not what"),
        (sums("gradient", lambda g: g + 1), "the squares of its own deviations are not what"),
        (sums("hessian", off_diagonal), "the Hessian is not symmetric"),
        (sums("hessian", lambda h: h * 3), "the Hessian of a coefficient is more than its"),
        (drop("sums", "square"), "the array 'square' is missing"),
        (array("sums", "square", lambda w: w[:1]), "the array 'square' is uint64 of shape"),
    ],
)
def test_sums_with_an_own_intercept_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(MIXED, "query.sums", only_logistic(lie)).startswith(told)


@pytest.mark.parametrize("training", [NEWTON, POOLED_NEWTON])
@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (sums("n", lambda n: n + 1), "n is "),
        (sums("hessian", off_diagonal), "the Hessian is not symmetric"),
        (sums("meat", off_diagonal), "the sum over patients is not symmetric"),
        (sums("meat", negative), "the sum over patients has a number below 0 on its diagonal"),
        (sums("meat", beyond), "the sum over patients has a number that its diagonal does not al"),
        (sums("meat", lambda m: m * 1e9), "the intercept's Hessian or sum over patients is more"),
        (drop("sums", "meat"), "the array 'meat' is missing"),
    ],
)
def test_sums_for_standard_errors_that_cannot_be_are_refused(
    training: Training, lie: Lie, told: str
) -> None:
    assert refused(training, "query.sums", only_clusters(lie)).startswith(told)


def only_with(name: str, lie: Lie) -> Lie:
    return lambda content: lie(content) if name in content["sums"] else None


def whole(change: Callable[[np.ndarray], object], name: str = "histogram") -> Lie:
    """Replace numbers of an answer about trees: whole multiples of a unit."""

    def as_words(words: np.ndarray) -> np.ndarray:
        found = words.view(np.int64).copy()
        change(found)
        return found.view(np.uint64)

    return only_with("histogram", array("sums", name, as_words))


def put_at(place: tuple[int, ...], value: int) -> Callable[[np.ndarray], None]:
    def change(words: np.ndarray) -> None:
        words[place] = value

    return change


def scaled(factor: int) -> Callable[[np.ndarray], None]:
    def change(words: np.ndarray) -> None:
        words *= factor

    return change


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (only_with("labels", array("sums", "labels", lambda w: w + np.uint64(1))), f"its {N + 2} "),
        (only_with("labels", array("sums", "labels", lambda w: w[:, :1])), "the array 'labels' is"),
        (whole(put_at((0, 0, 0, 0, 1), -1)), "the loss, or a sum of curvatures, is below 0"),
        (whole(put_at((0, 0), -1), "loss"), "the loss, or a sum of curvatures, is below 0"),
        (whole(put_at((0, 0, 0, 0, 0), 2**20)), "the bins of one feature hold other rows than"),
        (whole(put_at((0, 0, 1, 1, 1), 2**40)), "the bins of one feature hold other rows than"),
        (whole(put_at((0, 0, 0, 0, 0), 2**62)), "the array 'histogram' holds a number beyond its"),
        (whole(put_at((0, 0, 0, 0, 0), -(2**63))), "the array 'histogram' holds a number beyond"),
        (whole(scaled(10_000)), "a slope or curvature is more than so many rows can give"),
        (only_with("histogram", array("sums", "histogram", lambda w: w[:, :, :1])), "the array 'h"),
        (only_with("histogram", drop("sums", "loss")), "the array 'loss' is missing"),
    ],
)
def test_sums_for_trees_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(TREES, "query.sums", lie).startswith(told)


TRAIN_LIES: list[tuple[Lie, str]] = [
    (number("num-examples", 10**12), f"it tells of {10**12} train rows, and told of {N} before"),
    (number("num-examples", -5), "num-examples: Input should be greater than or equal to 0"),
    (number("num-examples", 0), f"it tells of 0 train rows, and told of {N} before"),
    (number("num-examples", float(N)), "num-examples: Input should be a valid integer"),
    (number("num-examples", [N]), "num-examples: Input should be a valid integer"),
    (number("num-examples", None), "num-examples: Field required"),
    (number("num-validation", 1), "it tells of 1 validation rows, and told of 12 before"),
    (number("loss-sum", -1.0), "loss-sum: Input should be greater than or equal to 0"),
    (number("loss-sum", math.nan), "loss-sum: Input should be a finite number (given: nan)"),
    (number("loss-sum", 1e300), "loss-sum: Input should be less than or equal to"),
    (number("roc-auc", 7.0), "roc-auc: has to be between 0 and 1, or NaN where it is not defined"),
    (number("roc-auc", [0.5]), "roc-auc: Input should be a valid number"),
    (number("train-loss", math.inf), "train-loss: Input should be a finite number"),
    (number("seconds", -1.0), "seconds: Input should be greater than or equal to 0"),
    (number("more\n", 1), r"more\n: Extra inputs are not permitted"),
    (drop("metrics"), "the record 'metrics' is missing"),
    (put("metrics", to_record({})), "a record is of another kind than expected"),
    (drop("arrays"), "the record 'arrays' is missing"),
    (drop("arrays", "core.0.weight"), "the array 'core.0.weight' is missing"),
    (put("private/1", to_record({})), "the record 'private/1' is not expected"),
    (weights(lambda w: w + 1e5), "its change of the record 'arrays' has the norm"),
    (all_weights(lambda w: w * -100), "its change of the record 'arrays' has the norm"),
    (array("arrays", "output.bias", lambda w: w * 0 + 2**63), "the record 'arrays' holds a number"),
    (array("arrays", "core.0.weight", lambda w: w[0]), "the array 'core.0.weight' is uint64 of sh"),
    (raw("arrays", "output.bias", **BYTES), "the bytes of the array 'output.bias' are not those"),
    (raw("arrays", "core.0.weight", **ONE), "the array 'core.0.weight' is uint64 of shape (1,)"),
    (raw("arrays", "output.bias", dtype="float64"), "the array 'output.bias' is float64 of shape "),
]


@pytest.mark.parametrize(("lie", "told"), TRAIN_LIES)
def test_replies_to_train_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(FEDERATED, "train", lie).startswith(told)


def test_a_change_beside_the_weights_is_bounded_too() -> None:
    lie = array("control", "core.0.weight", lambda w: w * 0 + MODEL.encode(np.array(1e5), 1)[0])
    assert refused(SCAFFOLD, "train", lie).startswith("its change of the record 'control' has the")


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (number("loss-sum", -1e-9), "loss-sum: Input should be greater than or equal to 0"),
        (number("num-validation", 0), "it tells of 0 validation rows, and told of 12 before"),
        (number("num-examples", 1), "num-examples: Extra inputs are not permitted"),
        (put("arrays", to_record({})), "the record 'arrays' is not expected"),
    ],
)
def test_replies_to_evaluate_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(FEDERATED, "evaluate", lie).startswith(told)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (number("epoch", [1, 2, 3]), "epoch: 3 epochs are more than the 2 asked for"),
        (number("epoch", [0, 1]), "epoch: epochs have to count from 1"),
        (number("epoch", []), "epoch: epochs have to count from 1"),
        (number("epoch", 1), "epoch: Input should be a valid list"),
        (number("best-epoch", 0), "best-epoch: 0 is no epoch of the fit"),
        (number("train-loss", [0.5]), "train-loss: one number per epoch is needed"),
        (number("roc-auc", [0.5, 7.0]), "roc-auc.1: has to be between 0 and 1, or NaN"),
        (number("validation-loss", [0.5, -1.0]), "validation-loss.1: has to be at least 0"),
        (number("seconds", [0.5, math.nan]), "seconds.1: Input should be a finite number"),
        (number("num-examples", 7), f"it tells of 7 train rows, and told of {N} before"),
        (put("arrays", to_record({"w": np.zeros(1)})), "the record 'arrays' is not expected"),
    ],
)
def test_replies_to_personalize_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(LOCAL, "train.personalize", lie).startswith(told)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (
            array("arrays", "output.bias", lambda w: w * np.nan),
            "the array 'output.bias' holds a nu",
        ),
        (array("arrays", "output.bias", lambda w: w.astype(float)), "the array 'output.bias' is f"),
        (drop("arrays", "output.bias"), "the array 'output.bias' is missing"),
        (drop("arrays"), "the record 'arrays' is missing"),
    ],
)
def test_a_model_that_cannot_be_is_refused(lie: Lie, told: str) -> None:
    assert refused(POOLED, "train.personalize", lie).startswith(told)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (array("arrays", "test", lambda p: p[:-1]), "the array 'test' is float64 of shape (11,), "),
        (array("arrays", "test", lambda p: p + 1), "a probability is not between 0 and 1"),
        (array("arrays", "test", lambda p: p * np.nan), "the array 'test' holds a number that is"),
        (array("arrays", "test", lambda p: p.astype("f4")), "the array 'test' is float32 of shape"),
        (drop("arrays", "validation"), "the array 'validation' is missing"),
        (put("metrics", MetricRecord({})), "the record 'metrics' is not expected"),
    ],
)
def test_probabilities_that_cannot_be_are_refused(lie: Lie, told: str) -> None:
    assert refused(FEDERATED, "query.predict", lie).startswith(told)


def test_more_than_nothing_in_answer_to_prepare_is_refused() -> None:
    lie = put("metrics", MetricRecord({"a": 1}))
    assert refused(FEDERATED, "query.prepare", lie) == "the record 'metrics' is not expected"


GOOD: dict[str, int | float] = {
    f"{split}/{name}": value
    for split in ("validation", "test")
    for name, value in zip(METRICS, (12, 5, 0.75, 0.5, 0.2), strict=True)
}


def known() -> KnownRows:
    return KnownRows({1: {"train": 36, "validation": 12, "test": 12}})


def test_the_metrics_of_a_site_are_those_that_it_told() -> None:
    content = RecordDict({"metrics": MetricRecord(dict(GOOD))})
    assert prediction_metrics(content, 1, known()) == GOOD
    assert list(prediction_metrics(content, 1, known())) == list(GOOD)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"test/roc_auc": 7.0}, "test/roc_auc: has to be between 0 and 1"),
        ({"test/brier": -0.1}, "test/brier: has to be between 0 and 1"),
        ({"test/log_loss": math.inf}, "test/log_loss: has to be at least 0 and finite"),
        ({"test/n_episodes": 13}, "it tells of 13 test rows, and told of 12 before"),
        ({"test/n_positive": 13}, "test/n_positive is more than test/n_episodes"),
        ({"test/n_positive": 1.5}, "test/n_positive: it is no number of rows, and not NaN"),
        ({"test/n_positive": math.inf}, "test/n_positive: it is no number of rows, and not NaN"),
        ({"test/n_positive": -1}, "test/n_positive: it is no number of rows, and not NaN"),
        ({"test/more": 1}, "test/more: Extra inputs are not permitted"),
        ({"train/n_episodes": 1}, "the metric 'train/n_episodes' is not expected"),
        ({"test/brier": None}, "test/brier: Field required"),
    ],
)
def test_metrics_of_a_site_that_cannot_be_are_refused(
    change: dict[str, int | float | None], told: str
) -> None:
    values = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(ReplyError, match=f"^{re.escape(told)}"):
        prediction_metrics(RecordDict({"metrics": MetricRecord(values)}), 1, known())


def test_rows_that_nobody_introduced_are_those_that_are_told_first() -> None:
    rows = KnownRows()
    rows.check(1, "train", 7)
    rows.check(2, "train", 8)
    rows.check(1, "train", 7)
    assert (rows.of(1, "train"), rows.of(1, "test")) == (7, None)
    with pytest.raises(ReplyError, match=r"^it tells of 8 train rows, and told of 7 before$"):
        rows.check(1, "train", 8)
    with pytest.raises(ReplyError, match=r"^it has no row to train on$"):
        rows.check(3, "train", 0)


def test_a_reply_of_another_type_or_too_many_are_refused() -> None:
    take_identity()

    def reply(
        kind: str = "train", node: int = 1, content: RecordDict | Error | None = None
    ) -> Message:
        asked = Message(RecordDict(), message_type=kind, dst_node_id=node)
        return Message(content or RecordDict(), reply_to=asked)

    def check(*replies: Message) -> list[Message]:
        return check_replies(replies, {1: "train"}, {1: "AU", 2: "BE"})

    good = reply()
    assert check(good) == [good]
    with pytest.raises(ClientError, match=r"^the client AU answered evaluate, and was asked"):
        check(reply("evaluate"))
    with pytest.raises(ClientError, match=r"^a reply too many came from AU$"):
        check(good, reply())
    with pytest.raises(ClientError, match=r"^a reply too many came from BE$"):
        check(reply(node=2))
    with pytest.raises(ClientError, match=r"^a reply too many came from node 9$"):
        check(reply(node=9))
    error = reply(content=Error(0, "\x1b[2Jdisk\nfull" + "x" * 460_000))
    with pytest.raises(ClientError) as told:
        check(error)
    assert str(told.value).startswith(r"the client AU answered with an error: \x1b[2Jdisk\nfullxx")
    assert len(str(told.value)) < 600


# -- at random -------------------------------------------------------------------------------------

KINDS = {
    FEDERATED: ("query.sums", "query.prepare", "train", "evaluate", "query.predict"),
    SCAFFOLD: ("train",),
    NEWTON: ("query.sums", "evaluate"),
    LOCAL: ("train.personalize",),
    POOLED: ("train.personalize",),
}
WRONG: list[Any] = [math.nan, math.inf, -math.inf, -1, -0.5, 1e200, [1.0], [], [1, 1, 1]]


@st.composite
def lies(draw: st.DrawFn) -> Lie:
    """A change of the structure of whatever reply, or of a number of it to an impossible one."""
    what = draw(st.sampled_from(["number", "bytes", "field", "drop", "add", "rename", "swap"]))
    pick, value = draw(st.integers(0, 50)), draw(st.sampled_from(WRONG))
    data, place = draw(st.binary(min_size=1, max_size=150)), draw(st.integers(0, 127))
    field = draw(
        st.sampled_from(
            [
                {"dtype": "float32"}, {"dtype": "float64"}, {"dtype": "uint64"},
                {"dtype": "object"}, {"stype": "torch"}, {"shape": ()}, {"shape": (1,)},
                {"shape": (2, 2)}, {"shape": (-1,)}, {"shape": (10**12,)},
            ]
        )
    )  # fmt: skip

    def lie(content: RecordDict) -> None:
        if not content:
            content["more"] = to_record({})
            return
        record = sorted(content)[pick % len(content)]
        names = sorted(content[record])
        if not names:
            return
        name = names[pick % len(names)]
        arrays = record != "metrics"
        match what:
            case "number" if not arrays:
                content[record][name] = value
            case "bytes" if arrays:
                cut = pick % 2

                def other(held: bytes) -> bytes:
                    return held[:place] + data + held[place + cut * (len(data) + 1) :]

                raw(record, name, data=other)(content)
            case "field" if arrays:
                raw(record, name, **field)(content)
            case "drop":
                del content[record][name]
            case "add":
                content[record]["more"] = content[record][name]
            case "rename":
                content[f"{record} "] = content.pop(record)
            case "swap" if arrays:
                after = names[(pick + 1) % len(names)]
                first, second = content[record][name], content[record][after]
                if first.shape != second.shape:
                    content[record][name], content[record][after] = second, first

    return lie


@hypothesis_settings(max_examples=examples(150))
@given(data=st.data())
def test_a_random_lie_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    """Or it is a loss or ROC-AUC that may be, which changes the history and no model."""
    training = data.draw(st.sampled_from(sorted(KINDS)))
    kind = data.draw(st.sampled_from(KINDS[training]))
    try:
        found = results(training, kind, data.draw(lies()))
    except ClientError as error:
        text = str(error)
        name = "pooled" if training.paradigm == "centralized" else LIAR
        assert text.startswith(f"the reply of {name} (seed 0) to {kind} cannot be used: "), text
        assert text.isprintable()
        return
    assert without_history(content_of(found)) == without_history(honest(training))


def without_history(text: str) -> str:
    return re.sub(r"\('(train_loss|validation_loss|validation_roc_auc)', [^)]*\)", "", text)


# -- what is written down --------------------------------------------------------------------------


def test_a_lie_leaves_a_run_that_goes_on_to_the_honest_result(tmp_path: Path) -> None:
    """The state of the round before stays; the same command, without the liar, comes to it all."""

    def in_round_2(content: RecordDict) -> None:
        rounds.append(len(rounds) + 1)
        if len(rounds) == 2:
            all_weights(lambda w: w * -100)(content)

    rounds: list[int] = []
    store = UnfinishedTraining(tmp_path)
    with pytest.raises(ClientError, match=r"BE .* its change of the record 'arrays'"):
        results(FEDERATED, "train", in_round_2, store=store)
    (kept,) = tmp_path.iterdir()
    assert kept.name == "seed=0.round=000001.safetensors"
    assert all(np.isfinite(a).all() for a in read_arrays(kept)[0].values())
    assert content_of(results(FEDERATED, store=store)) == honest(FEDERATED)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_step_of_the_server_that_is_not_finite_is_not_written_down(tmp_path: Path) -> None:
    steep = STRATEGIES | {"fedadam": {**STRATEGIES["fedadam"], "eta": 1e300}}
    told = TOLD.model_copy(update={"strategies": StrategiesParameters.model_validate(steep)})
    with pytest.raises(InputError, match=r"^round 1: the server's step has made arrays/\S+ infin"):
        results(Training("federated", "fedadam"), told=told, store=UnfinishedTraining(tmp_path))
    assert not list(tmp_path.iterdir())
