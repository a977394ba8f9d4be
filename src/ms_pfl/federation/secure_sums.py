r"""Sums that the server can read only as a total: pairwise masks over fixed-point words.

Bonawitz et al., *Practical secure aggregation for privacy-preserving machine learning*, CCS 2017,
without the recovery of sites that drop out: here a sum needs every site. Two sites :math:`j < k`
have a secret in common that nobody else can compute, X25519 of one's private and the other's public
key. To the words of its sum site :math:`j` adds a stream of random words that follows from the
secret, and site :math:`k` subtracts the same stream. What a site sends is uniformly random to
whoever lacks its secrets; in the total all streams cancel, so that the total is the same bits as
without masks.

**A stream hangs on the question.** Its key is HKDF-SHA256 of the common secret and of a digest of
all that the sites were asked alike: the agreement, the run, the question, the arrays that came with
it, and the participants with their keys. The same question asked again has the same masks, any
other question has others. Sites that were asked different things send masks that do not cancel:
noise. The stream is that of AES-256 in counter mode. As a key is used once, the counter begins at
0.

**A mask is used once.** Two answers under one mask would tell their difference. A site keeps a
digest of what it has masked (``note`` of :class:`Masks`) and refuses another answer to a question.

**A site refuses** to mask with fewer than three participants, of whom each would know the other's
sum, with a participant whose key it has not pinned, and another set of participants in a run that
has one (:class:`Agreed`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ms_pfl.errors import InputError
from ms_pfl.federation.fixed_point import Words, add, negative
from ms_pfl.federation.flower import ArrayRecord
from ms_pfl.text import shown

KEY_BYTES = 32
"""Of a private key, and of a public one."""
LEAST = 3
"""Participants of a masked sum: of two, each knows the other's."""
_LABEL = b"ms_pfl masks 1"
Records = Mapping[str, Mapping[str, Words]]
"""Words by record and name of the array, each of shape ``(words, ...)``."""


class MaskError(InputError):
    """A site does not mask a sum; the message holds nothing of a patient or of a key."""


def new_key() -> bytes:
    """Return a private key, :data:`KEY_BYTES` random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def public_key(private: bytes) -> bytes:
    """Return the public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def check_public_key(public: bytes) -> None:
    """See that a public key leads to secrets.

    Raises:
        MaskError: it is of another length, or one of the few points whose secrets all know.
    """
    if len(public) != KEY_BYTES:
        raise MaskError(f"a public key has {KEY_BYTES} bytes, not {len(public)}")
    try:
        _common_secret(new_key(), public)
    except ValueError:
        raise MaskError("the public key is one with which everybody knows the secret") from None


@dataclass(frozen=True)
class Question:
    """What all participants of a masked sum were asked alike.

    Attributes:
        participants: sorted.
        digest: SHA-256 of the question, of the participants and of their keys.
    """

    participants: tuple[str, ...]
    digest: bytes


def _no_note(question: bytes, answer: bytes) -> None:
    pass


@dataclass(frozen=True)
class Masks:
    """What a site masks its sums with.

    Attributes:
        name: of the site.
        key: its private key.
        pinned: the public keys of the participants by name, its own among them.
        note: given the digest of a question and a keyed digest of the answer before it is masked;
            raises where the question was answered by something else.
        agreement: what the participants have agreed on; a part of each question.
    """

    name: str
    key: bytes = field(repr=False)
    pinned: Mapping[str, bytes]
    note: Callable[[bytes, bytes], None] = _no_note
    agreement: str = ""

    def question(
        self,
        participants: Sequence[str],
        told: Mapping[str, Any],
        records: Mapping[str, ArrayRecord],
    ) -> Question:
        """Return the question that is answered by a sum of some participants.

        Args:
            participants: who takes part, by name.
            told: what was asked alike, in words and numbers.
            records: the arrays that came with it.

        Raises:
            MaskError: there are fewer than three, one is named twice, this site is not among them,
                or a key is not pinned.
        """
        names = tuple(sorted(participants))
        check_participants(names, self.name)
        if unknown := [name for name in names if name not in self.pinned]:
            raise MaskError(
                f"no key of '{shown(unknown[0], 60)}' is pinned here, so that no sum can be masked "
                "with it; its people send theirs, and you pin it"
            )
        if self.pinned[self.name] != public_key(self.key):
            raise MaskError(
                f"the key that is pinned for {self.name} is not that of the private key here"
            )
        keys = {name: self.pinned[name].hex() for name in names}
        digest = hashlib.sha256(_LABEL)
        what = {"agreement": self.agreement, "told": told, "keys": keys}
        text = json.dumps(what, sort_keys=True).encode()
        digest.update(hashlib.sha256(text).digest())
        for record, arrays in sorted(records.items()):
            for name, array in sorted(arrays.items()):
                head = json.dumps([record, name, array.dtype, list(array.shape), array.stype])
                digest.update(hashlib.sha256(head.encode()).digest())
                digest.update(hashlib.sha256(array.data).digest())
        return Question(names, digest.digest())

    def mask(self, records: Records, question: Question) -> dict[str, dict[str, Words]]:
        """Return records of words with this site's masks for a question.

        Args:
            records: of words; all sites have the same names and shapes.
            question: of :meth:`question`; one question has one answer.

        Raises:
            MaskError: the question was answered before, by something else.
        """
        places = sorted((record, name) for record, held in records.items() for name in held)
        held = {place: records[place[0]][place[1]] for place in places}
        self.note(question.digest, self._digest(held))
        narrow = [place for place in places if len(held[place]) == 1]
        wide = [place for place in places if len(held[place]) == 2]
        if len(narrow) + len(wide) < len(places):
            raise ValueError("numbers have one word or two")
        one = _joined([held[place] for place in narrow], 1)
        two = _joined([held[place] for place in wide], 2)
        for other in question.participants:
            if other == self.name:
                continue
            stream = self._stream(other, question.digest, one.size + two.size)
            own, both = stream[: one.size].reshape(1, -1), stream[one.size :].reshape(2, -1)
            if self.name < other:
                one += own
                two = add([two, both])
            else:
                one -= own
                two = add([two, negative(both)])
        found: dict[str, dict[str, Words]] = {record: {} for record in records}
        for joined, these in ((one, narrow), (two, wide)):
            end = 0
            for place in these:
                words = held[place]
                begin, end = end, end + words[0].size
                found[place[0]][place[1]] = joined[:, begin:end].reshape(words.shape)
        return found

    def _stream(self, other: str, question: bytes, size: int) -> Words:
        """Return the words that this site and another one have in common for a question."""
        secret = _common_secret(self.key, self.pinned[other])
        key = HKDF(hashes.SHA256(), 32, salt=None, info=_LABEL + question).derive(secret)
        stream = bytearray(8 * size + 16)
        encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        encryptor.update_into(bytes(8 * size), stream)
        return np.frombuffer(stream, np.dtype("<u8"), size)

    def _digest(self, held: Mapping[tuple[str, str], Words]) -> bytes:
        """Return a digest of an answer that tells nobody without the private key anything of it."""
        digest = hmac.new(self.key, _LABEL, hashlib.sha256)
        for (record, name), words in held.items():
            head = json.dumps([record, name, list(words.shape)])
            digest.update(hashlib.sha256(head.encode()).digest())
            digest.update(np.ascontiguousarray(words).data)
        return digest.digest()


def check_participants(participants: Sequence[str], name: str) -> None:
    """See that a site can mask a sum of some participants.

    Raises:
        MaskError: there are fewer than three, one is named twice, or the site is not among them.
    """
    if len(set(participants)) < len(participants):
        raise MaskError("a participant of a masked sum is named twice")
    if len(participants) < LEAST:
        raise MaskError(
            f"a sum of {len(participants)} participants cannot be masked: it takes {LEAST}, as of "
            "two each would know the other's sum"
        )
    if name not in participants:
        raise MaskError(f"{name} is asked for a masked sum of others")


@dataclass(frozen=True)
class Agreed:
    """Who takes part in the masked sums of a run at a client: one set, once it is known.

    Attributes:
        run: of the participants.
        participants: sorted; empty: the run has masked nothing yet.
        place: the round that was answered last.
        trainers: who trained in it.
    """

    run: str = ""
    participants: tuple[str, ...] = ()
    place: str = ""
    trainers: tuple[str, ...] = ()

    def after(
        self, run: str, participants: Sequence[str], place: str = "", trainers: Sequence[str] = ()
    ) -> Agreed:
        """Return what holds when a question is answered.

        Args:
            run: of the question.
            participants: of all its sums; none: it asks for a sum in the clear.
            place: of the round, where some of the participants alone train.
            trainers: those who do.

        Raises:
            MaskError: the run has masked sums and this one is to go in the clear; other
                participants took part in the run, or in this round; who trains is no part of them.
        """
        names, some = tuple(sorted(participants)), tuple(sorted(trainers))
        before = self if self.run == run else Agreed(run)
        if before.participants and not names:
            raise MaskError("the run has masked sums: no sum is told in the clear any more")
        if before.participants not in ((), names):
            raise MaskError(
                "a second set of participants in one run: the difference of two totals would be "
                "the sum of single sites"
            )
        if not set(some) <= set(names):
            raise MaskError("who trains in a round has to be among the participants")
        if not place:
            return Agreed(run, names, before.place, before.trainers)
        if before.place == place and before.trainers != some:
            raise MaskError(
                "a second set of participants in one round: the difference of two totals would be "
                "the sum of single sites"
            )
        return Agreed(run, names, place, some)


def drill_key(name: str) -> bytes:
    """Return the private key of a client of a simulation, which everybody can compute."""
    return hashlib.sha256(b"a drill, no secret: " + name.encode()).digest()


def drill_masks(name: str, participants: Sequence[str]) -> Masks:
    """Return what a client of a simulation masks its sums with: real masks under known keys."""
    return Masks(name, drill_key(name), {other: _drill_public(other) for other in participants})


@lru_cache(maxsize=4096)
def _drill_public(name: str) -> bytes:
    return public_key(drill_key(name))


@lru_cache(maxsize=4096)
def _common_secret(private: bytes, public: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private)
    return key.exchange(X25519PublicKey.from_public_bytes(public))


def _joined(parts: Sequence[Words], words: int) -> Words:
    """Numbers of arrays beside each other, shape ``(words, numbers)``, as a copy."""
    rows = [part.reshape(words, -1) for part in parts]
    return np.concatenate([np.empty((words, 0), np.uint64), *rows], axis=1)
