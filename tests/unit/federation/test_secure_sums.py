"""Masks: totals are those without, what is sent is uniform, and what a site refuses."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ms_pfl.federation.fixed_point import MODEL, ROWS, FixedPoint, Words, add
from ms_pfl.federation.flower import ArrayRecord, to_record
from ms_pfl.federation.secure_sums import (
    KEY_BYTES,
    Agreed,
    MaskError,
    Masks,
    check_public_key,
    drill_key,
    drill_masks,
    new_key,
    public_key,
)

NAMES = ("Australia", "Czech Republic", "Turkey")
TOLD = {"run": "7", "question": "scaler", "seed": 0}
MODEL_SENT = {"arrays": to_record({"w": np.arange(6, dtype=np.float32)})}
Records = dict[str, dict[str, Words]]


def masks_of(names: Sequence[str] = NAMES) -> dict[str, Masks]:
    """Fixed test keys, each pinned at each site."""
    return {name: drill_masks(name, names) for name in names}


def sent_by(
    answers: Mapping[str, Records],
    told: Mapping[str, Any] = TOLD,
    records: Mapping[str, ArrayRecord] = MODEL_SENT,
) -> dict[str, Records]:
    """What sites send that answer one question."""
    masks = masks_of(tuple(answers))
    return {
        name: masks[name].mask(own, masks[name].question(tuple(answers), told, records))  # type: ignore[arg-type]
        for name, own in answers.items()
    }


def zeros(size: int) -> Records:
    """The plainest answer that there is."""
    one, two = (np.zeros((words, size), np.uint64) for words in (1, 2))
    return {"arrays": {"w": one}, "sums": {"s": two}}


def words_of(records: Records) -> np.ndarray:
    return np.concatenate([words.ravel() for own in records.values() for words in own.values()])


def p_of_bytes(words: np.ndarray) -> float:
    """Probability of bytes so uneven, if they are uniform."""
    return float(chisquare(np.bincount(words.view(np.uint8), minlength=256)).pvalue)


@given(data=st.data())
def test_totals_are_those_without_masks(data: st.DataObject) -> None:
    names = "abcdef"[: data.draw(st.integers(3, 6))]
    limit = ROWS.limit(len(names))
    numbers = st.floats(-limit, limit).map(lambda x: x / 2)
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(1, 3)))
    answers: dict[str, Records] = {}
    for name in names:
        size = shape[0] * shape[1]
        few = data.draw(st.lists(numbers, min_size=size, max_size=size))
        one = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4))
        answers[name] = {
            "a": {
                "x": np.array([one], np.uint64),
                "y": ROWS.encode(np.reshape(few, shape), len(names)),
            },
            "b": {"z": ROWS.encode(np.float64(1.5), len(names))},
        }
    sent = sent_by(answers)
    for record, held in answers[names[0]].items():
        for name in held:
            masked = add(own[record][name] for own in sent.values())
            assert masked.tolist() == add(own[record][name] for own in answers.values()).tolist()
            assert masked.shape == held[name].shape


def test_masks_are_those_of_the_published_parts() -> None:
    """Worked out from X25519, HKDF and AES-CTR alone: what the three sites add to nothing."""
    sent = sent_by({name: {"r": {"w": np.zeros((1, 3), np.uint64)}} for name in NAMES})
    digest = masks_of()["Turkey"].question(NAMES, TOLD, MODEL_SENT).digest
    keys = {name: X25519PrivateKey.from_private_bytes(drill_key(name)) for name in NAMES}
    wanted = {name: [0, 0, 0] for name in NAMES}
    for first, second in itertools.combinations(NAMES, 2):
        public = X25519PublicKey.from_public_bytes(keys[second].public_key().public_bytes_raw())
        key = HKDF(hashes.SHA256(), 32, None, b"ms_pfl masks 1" + digest).derive(
            keys[first].exchange(public)
        )
        stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(24))
        for place in range(3):
            word = int.from_bytes(stream[8 * place : 8 * place + 8], "little")
            wanted[first][place] = (wanted[first][place] + word) % 2**64
            wanted[second][place] = (wanted[second][place] - word) % 2**64
    assert {name: own["r"]["w"][0].tolist() for name, own in sent.items()} == wanted


@pytest.mark.parametrize("names", [NAMES, tuple("abcdefgh")], ids=["three", "eight"])
def test_what_a_site_sends_is_uniform_and_so_is_the_difference_of_two_messages(
    names: tuple[str, ...],
) -> None:
    size = 20_000
    first = sent_by({name: zeros(size) for name in names})
    others = [
        sent_by({name: zeros(size) for name in names}, {**TOLD, "seed": 1}),
        sent_by({name: zeros(size) for name in names}, TOLD, {}),
    ]
    for name in names:
        assert p_of_bytes(words_of(first[name])) > 1e-4
        for other in others:
            assert p_of_bytes(words_of(other[name])) > 1e-4
            assert p_of_bytes(words_of(first[name]) - words_of(other[name])) > 1e-4
    for one, two in itertools.combinations(names, 2):
        assert p_of_bytes(words_of(first[one]) - words_of(first[two])) > 1e-4
    # all but two that put together what they sent see noise still
    some = [words_of(first[name]) for name in names[:-1]]
    assert p_of_bytes(np.sum(some, axis=0, dtype=np.uint64)) > 1e-4
    # the arrays within a message do not have masks in common
    arrays = first[names[0]]["arrays"]["w"][0], *first[names[0]]["sums"]["s"]
    for a, b in itertools.combinations(arrays, 2):
        assert p_of_bytes(a - b) > 1e-4


@pytest.mark.parametrize("form", [MODEL, ROWS], ids=["one word", "two words"])
def test_a_coalition_of_all_but_one_learns_the_rest_as_from_any_sum(form: FixedPoint) -> None:
    """And nothing more: what the masks of the others leave is the sum of two."""
    values = {name: np.array([float(place), -1.5]) for place, name in enumerate("abcd")}
    answers = {n: {"r": {"w": form.encode(v, 4)}} for n, v in values.items()}
    sent = sent_by(answers)
    total = form.decode(add(own["r"]["w"] for own in sent.values()))
    assert total.tolist() == [6.0, -6.0]


def test_the_same_question_has_the_same_bytes_and_any_other_one_fresh_masks() -> None:
    def bytes_of(told: Mapping[str, Any], records: Mapping[str, ArrayRecord]) -> bytes:
        own = masks_of()["Turkey"]
        found = own.mask(zeros(4), own.question(NAMES, told, records))
        return words_of(found).tobytes()

    first = bytes_of(TOLD, MODEL_SENT)
    same = {"arrays": to_record({"w": np.arange(6, dtype=np.float32)})}
    assert bytes_of(dict(reversed(TOLD.items())), same) == first
    other = np.arange(6, dtype=np.float32)
    other[3] = np.nextafter(other[3], np.float32(9))
    questions: list[tuple[dict[str, Any], dict[str, ArrayRecord]]] = [
        (TOLD | {"run": "8"}, MODEL_SENT),
        (TOLD | {"question": "logistic"}, MODEL_SENT),
        (TOLD, {}),
        (TOLD, {"arrays": to_record({"w": other})}),
        (TOLD, {"arrays": to_record({"v": np.arange(6, dtype=np.float32)})}),
        (TOLD, {"control": MODEL_SENT["arrays"]}),
        (TOLD, {"arrays": to_record({"w": np.arange(6, dtype=np.float32).reshape(2, 3)})}),
        (TOLD, {"arrays": to_record({"w": np.arange(6, dtype=np.float64)})}),
    ]
    found = [bytes_of(*question) for question in questions]
    assert len({first, *found}) == 1 + len(questions)


def test_a_question_hangs_on_participants_keys_and_agreement() -> None:
    names = (*NAMES, "Wales")
    of_three, of_four = masks_of()["Turkey"], masks_of(names)["Turkey"]
    changed = Masks("Turkey", of_three.key, {**of_three.pinned, "Australia": public_key(new_key())})
    other = Masks("Turkey", of_three.key, of_three.pinned, agreement="another one")
    digests = {
        of_three.question(NAMES, TOLD, {}).digest,
        other.question(NAMES, TOLD, {}).digest,
        of_four.question(names, TOLD, {}).digest,
        changed.question(NAMES, TOLD, {}).digest,
    }
    assert len(digests) == 4
    assert of_four.question(reversed(NAMES), TOLD, {}) == of_three.question(NAMES, TOLD, {})  # type: ignore[arg-type]


def test_sites_that_are_asked_different_things_give_noise() -> None:
    """The total of answers to different arrays tells nothing: its masks do not cancel."""
    masks, size = masks_of(), 4000
    sent = []
    for name in NAMES:
        arrays = {"arrays": to_record({"w": np.full(2, len(name) % 2, np.float32)})}
        sent.append(masks[name].mask(zeros(size), masks[name].question(NAMES, TOLD, arrays)))
    total = np.sum([words_of(own) for own in sent], axis=0, dtype=np.uint64)
    assert p_of_bytes(total) > 1e-4


def test_a_site_refuses() -> None:
    own = masks_of()["Turkey"]
    for names, reason in (
        (("Australia", "Turkey"), "a sum of 2 participants cannot be masked"),
        (("Turkey",), "a sum of 1 participants cannot be masked"),
        ((), "a sum of 0 participants cannot be masked"),
        (("Australia", "Turkey", "Turkey"), "named twice"),
        (("Australia", "Czech Republic", "Wales"), "Turkey is asked for a masked sum of others"),
        ((*NAMES, "Wales"), "no key of 'Wales' is pinned here"),
    ):
        with pytest.raises(MaskError, match=reason):
            own.question(names, TOLD, {})
    stranger = Masks("Turkey", new_key(), own.pinned)
    with pytest.raises(MaskError, match="pinned for Turkey is not that of the private key here"):
        stranger.question(NAMES, TOLD, {})


def test_a_key_of_the_server_in_the_place_of_a_site_s_is_of_no_use() -> None:
    """Masks of whoever has another key do not cancel those of the pinned one."""
    names, size = NAMES, 4000
    server = {name: drill_masks(name, names) for name in names[1:]}
    secret = new_key()
    pinned = {**server["Turkey"].pinned, "Australia": public_key(secret)}
    false = Masks("Australia", secret, pinned)
    total = words_of(false.mask(zeros(size), false.question(names, TOLD, {})))
    for own in server.values():
        total = total + words_of(own.mask(zeros(size), own.question(names, TOLD, {})))
    assert p_of_bytes(total) > 1e-4


def test_points_of_small_order_are_no_keys() -> None:
    for public in (bytes(32), (1).to_bytes(32, "little")):
        with pytest.raises(MaskError, match="everybody knows the secret"):
            check_public_key(public)
    with pytest.raises(MaskError, match="32 bytes, not 31"):
        check_public_key(bytes(31))
    check_public_key(public_key(new_key()))


def test_keys_are_new_and_not_shown() -> None:
    assert len({new_key() for _ in range(100)}) == 100
    assert len(new_key()) == KEY_BYTES
    own = masks_of()["Turkey"]
    assert own.key.hex() not in repr(own)
    assert repr(own.key) not in repr(own)


def test_another_answer_to_a_question_is_refused_before_it_is_masked() -> None:
    held: dict[bytes, bytes] = {}

    def note(question: bytes, answer: bytes) -> None:
        if held.setdefault(question, answer) != answer:
            raise MaskError("the answer has changed")

    own = masks_of()["Turkey"]
    own = Masks(own.name, own.key, own.pinned, note)
    question = own.question(NAMES, TOLD, MODEL_SENT)
    first = own.mask(zeros(4), question)
    assert words_of(own.mask(zeros(4), question)).tolist() == words_of(first).tolist()
    changed = zeros(4)
    changed["sums"]["s"][1, 2] = 1
    with pytest.raises(MaskError, match="the answer has changed"):
        own.mask(changed, question)
    moved = {"sums": zeros(4)["arrays"], "arrays": {"s": zeros(4)["sums"]["s"]}}
    with pytest.raises(MaskError, match="the answer has changed"):
        own.mask(moved, question)
    own.mask(changed, own.question(NAMES, TOLD, {}))
    # what is noted tells nothing of an answer to whoever has not the key
    plain = hashlib.sha256(words_of(zeros(4)).tobytes()).digest()
    assert plain not in held.values()
    other = masks_of()["Australia"]
    other = Masks(other.name, other.key, other.pinned, note)
    with pytest.raises(MaskError, match="the answer has changed"):  # digests hang on the key
        other.mask(zeros(4), question)


def test_a_run_has_one_set_of_participants_and_a_round_one_of_those_who_train() -> None:
    names = (*NAMES, "Wales")
    first = Agreed().after("7", reversed(names), "0/1", NAMES)  # type: ignore[arg-type]
    assert first == Agreed("7", names, "0/1", NAMES)
    assert first.after("7", names, "0/1", NAMES) == first
    assert first.after("7", names) == first
    assert first.after("7", names, "0/2", names).trainers == names
    with pytest.raises(MaskError, match="second set of participants in one run"):
        first.after("7", NAMES)
    with pytest.raises(MaskError, match="no sum is told in the clear any more"):
        first.after("7", ())
    with pytest.raises(MaskError, match="second set of participants in one round"):
        first.after("7", names, "0/1", names)
    with pytest.raises(MaskError, match="has to be among the participants"):
        first.after("7", names, "0/2", (*NAMES, "Xanadu"))
    assert first.after("8", NAMES) == Agreed("8", NAMES)
    assert Agreed().after("7", ()).after("7", ()) == Agreed("7")
