"""The keys of masked sums at a site: its own, those of the others that are pinned, and a notebook.

``mask.key`` of the site folder is the private key, ``masks.yml`` the public keys of all sites, each
the site's people have compared with the others' (:func:`code_of`). No server can change them: a key
that is not in the file leads to no sum. ``masked/<run>.txt`` says of each question that was masked
what the answer was, as a keyed digest, so that no mask is used twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import TypeAdapter, ValidationError

from ms_pfl.deployment.rights import read_file, read_own
from ms_pfl.errors import InputError
from ms_pfl.federation.secure_sums import (
    KEY_BYTES,
    LEAST,
    MaskError,
    check_public_key,
    new_key,
    public_key,
)
from ms_pfl.files import whole_file
from ms_pfl.folder_lock import alone
from ms_pfl.names import normal
from ms_pfl.text import shown
from ms_pfl.yaml_text import NAMED_KEYS, Name, YamlText

KEY, PINNED, NOTES = "mask.key", "masks.yml", "masked"
"""The files of a site folder, and the folder of the notebook."""
_MOST_BYTES = 10**6
_MOST_NOTES = 10**8
_PREFIX = "x25519:"
_GROUPS, _DIGITS = 12, 5
_FILE = TypeAdapter(Annotated[dict[Name, YamlText], NAMED_KEYS])


def own_key(folder: Path) -> bytes:
    """Return the private key of a site folder; it is made where the site has pinned none yet.

    Raises:
        InputError: it is lost or damaged.
    """
    path = folder / KEY
    try:
        key = read_own(path, KEY_BYTES)
    except FileNotFoundError:
        if (folder / PINNED).exists():
            raise InputError(
                f"{path} is lost: restore it from your copy; or remove {folder / PINNED}, and the "
                "site makes a new key, which every other site has to pin in the place of the old"
            ) from None
        key = new_key()
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.touch(mode=0o600)
            with part.open("wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
        path.chmod(0o600)
    if len(key) != KEY_BYTES:
        raise InputError(f"{path} is damaged: restore it from your copy")
    return key


def line_of(country: str, key: bytes) -> str:
    """Return the line of a country and its public key, as it stands in ``masks.yml``."""
    name = json.dumps(normal(country), ensure_ascii=False)
    return f"{name}: {_PREFIX}{base64.b64encode(key).decode()}\n"


def read_keys(path: Path) -> dict[str, bytes]:
    """Return the public keys by country of a file, such as a server's administrator makes.

    Raises:
        InputError: it cannot be read, is no such file, or a key of it cannot be used.
    """
    try:
        return _keys(path, read_file(path, _MOST_BYTES))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def pinned(folder: Path) -> dict[str, bytes]:
    """Return the public keys that a site folder has pinned, by country; none where none is.

    Raises:
        InputError: the file cannot be used.
    """
    path = folder / PINNED
    try:
        return _keys(path, read_own(path, _MOST_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def _keys(path: Path, content: bytes) -> dict[str, bytes]:
    try:
        text = content.decode()
        lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
        named = _FILE.validate_python(yaml.safe_load(text))
    except (ValidationError, ValueError, RecursionError, yaml.YAMLError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(
            f"{path} cannot be used: {shown(told)}; it needs a line per country, as "
            "`python -m ms_pfl site key COUNTRY` prints it"
        ) from None
    if len(lines) != len(named):  # YAML takes the last of two lines for one country
        raise InputError(f"{path} has {len(lines)} lines and {len(named)} countries: one line each")
    found: dict[str, bytes] = {}
    for country, value in named.items():
        try:
            if not value.startswith(_PREFIX):
                raise MaskError(f"it does not begin with {_PREFIX}")
            key = base64.b64decode(value.removeprefix(_PREFIX), validate=True)
            check_public_key(key)
        except (MaskError, binascii.Error) as error:
            raise InputError(
                f"{path}: the key of '{shown(country, 60)}' cannot be used: {error}; ask that site "
                "for the line that `python -m ms_pfl site key` prints"
            ) from None
        if same := [other for other, known in found.items() if known == key]:
            raise InputError(
                f"{path}: '{shown(same[0], 60)}' and '{shown(country, 60)}' have the same key"
            )
        found[country] = key
    return found


def pin(folder: Path, keys: Mapping[str, bytes], *, replace: bool = False) -> list[str]:
    """Pin public keys, the site's own among them; return the countries whose keys are new.

    Args:
        folder: of the site.
        keys: by country.
        replace: whether another key, or another name of one, may take the place of a pinned one.

    Raises:
        InputError: the site's own key is not among them, or a pinned key or its name would be
            replaced.
    """
    own = public_key(own_key(folder))
    if own not in keys.values():
        raise InputError(
            "this site's own key is not in the file: nothing is pinned. Send the line that "
            "`python -m ms_pfl site key COUNTRY` prints to whoever makes the file"
        )
    before = pinned(folder)
    changed = [name for name, key in keys.items() if before.get(name, key) != key]
    if changed and not replace:
        raise InputError(
            f"another key of '{shown(changed[0], 60)}' is pinned here: nothing is changed. Ask "
            "that site, by telephone, whether it has a new key; then pin the file with --replace"
        )
    kept = {name: key for name, key in before.items() if name not in keys}
    renamed = [name for name, key in kept.items() if key in keys.values()]
    if renamed and not replace:
        raise InputError(
            f"the key of '{shown(renamed[0], 60)}' is pinned here, and the file has it under "
            "another name: nothing is changed. Ask that site, by telephone, what it is called; "
            "then pin the file with --replace"
        )
    merged = {name: key for name, key in kept.items() if name not in renamed} | dict(keys)
    lines = ["# The public keys of masked sums, compared by telephone; see docs/deployment.md\n"]
    lines += [line_of(name, merged[name]) for name in sorted(merged)]
    path = folder / PINNED
    with whole_file(path) as part:
        part.write_text("".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return [name for name in keys if name not in before or name in changed]


def check_keys(folder: Path, country: str, runs: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    """Return the pinned keys of a site that can mask its sums; nothing is made or changed.

    Args:
        folder: of the site.
        country: what the site is called.
        runs: the sites of the masked runs that it was asked for, by run.

    Raises:
        InputError: a key is missing, open to others, or that of another site.
    """
    path, where = folder / KEY, f"--folder {shlex.quote(str(folder))}"
    send = (
        f"send the line that `python -m ms_pfl site key {shlex.quote(country)} {where}` prints to "
        "the server's administrator, and pin the file of all keys that comes back (`site pin FILE"
    )
    if not path.exists() and not (folder / PINNED).exists():
        raise InputError(f"{path} is not there yet: {send}`)")
    own = public_key(own_key(folder))
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path} is open to others: chmod 600 {shlex.quote(str(path))}")
    keys = pinned(folder)
    if not keys:
        raise InputError(f"no key is pinned: {send}`)")
    name = next((name for name, key in keys.items() if key == own), None)
    if name is None:
        raise InputError(
            f"the pinned keys do not hold that of {path}: {send} --replace`), as each other site "
            "has to"
        )
    if name != country:
        raise InputError(
            f"this site's key is pinned for '{shown(name, 60)}', and the site is called "
            f"'{shown(country, 60)}': start it by that name; or, if the name is wrong there, "
            f"{send} --replace`), as each other site has to"
        )
    if len(keys) < LEAST:
        raise InputError(
            f"keys of {len(keys)} sites are pinned, and a masked sum takes {LEAST}: pin the file "
            "of all keys (`site pin FILE`)"
        )
    for run, sites in runs.items():
        try:
            code_of(keys, sites)
        except InputError as error:
            raise InputError(f"run {run}: {error}") from None
    return keys


def code_of(keys: Mapping[str, bytes], countries: Iterable[str] | None = None) -> str:
    """Return what the people of two sites compare by telephone: 60 digits of all keys together.

    Two sites with the same code have the same key of every country. Whoever would have them agree
    on different keys needs two lists with one code, some 2**99 tries.

    Args:
        keys: by country.
        countries: whose keys are compared; None: all.

    Raises:
        InputError: the key of a country is not there.
    """
    names = sorted(keys if countries is None else countries)
    if absent := [name for name in names if name not in keys]:
        raise InputError(
            f"no key of '{shown(absent[0], 60)}' is pinned at this site, and the run masks its "
            "sums: pin it (python -m ms_pfl site pin FILE)"
        )
    text = "".join(line_of(name, keys[name]) for name in names)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    digits = f"{number % 10 ** (_GROUPS * _DIGITS):0{_GROUPS * _DIGITS}d}"
    return " ".join(digits[i : i + _DIGITS] for i in range(0, len(digits), _DIGITS))


class Notebook:
    """What was masked in a run of Flower's: by question a keyed digest of the answer.

    The questions of another run of Flower's are other ones, so that each run has a file. None is
    ever removed: it has some 130 bytes a question.
    """

    def __init__(self, folder: Path, run: str) -> None:
        """Name the file; it is made with the first note.

        Args:
            folder: of the site.
            run: number of the run in Flower.
        """
        self._folder = folder / NOTES
        self.path = self._folder / f"{hashlib.sha256(run.encode()).hexdigest()[:32]}.txt"

    def note(self, question: bytes, answer: bytes) -> None:
        """Take down what a question is answered by, before it is masked.

        Raises:
            MaskError: the question was answered by something else.
        """
        with alone(self._folder / ".lock"):
            known = self._read().get(question.hex())
            if known == answer.hex():
                return
            if known is not None:
                raise MaskError(
                    "the answer to this question is another one than before, and two answers under "
                    "one mask would tell their difference; give a new flwr run, which has new masks"
                )
            with open(self.path, "a", opener=_for_owner) as file:
                file.write(f"{question.hex()} {answer.hex()}\n")
                file.flush()
                os.fsync(file.fileno())

    def _read(self) -> dict[str, str]:
        try:
            content = read_own(self.path, _MOST_NOTES).decode()
        except FileNotFoundError:
            return {}
        whole = content[: content.rfind("\n") + 1]
        lines = [line.split(" ") for line in whole.splitlines()]
        if whole != content or any(len(line) != 2 for line in lines):
            raise MaskError(
                "the site's notes of what it has masked are damaged, so that it masks nothing more "
                "in this run; give a new flwr run"
            )
        return {question: answer for question, answer in lines}


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
