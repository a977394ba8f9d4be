"""Which country has which key: ``sites.yml`` of the server, and what it is compared with.

The server's administrator makes the file of the public keys that the sites have sent (and whose
fingerprints they have read out on the telephone)::

    deploy/make_sites_file.sh /srv/ms_pfl/keys > /srv/ms_pfl/sites.yml

A country stands there with the fingerprint of its key, as ``ssh-keygen -lf`` prints it, or with the
name of a public key file, which is read from the folder of ``sites.yml``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
    load_ssh_public_key,
)
from pydantic import TypeAdapter, ValidationError

from ms_pfl.errors import InputError
from ms_pfl.names import normal
from ms_pfl.text import shown
from ms_pfl.yaml_text import NAMED_KEYS, Name, YamlText

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_MOST_BYTES = 10**6
_FILE = TypeAdapter(Annotated[dict[Name, YamlText], NAMED_KEYS])


def fingerprint(key: EllipticCurvePublicKey) -> str:
    """Return the fingerprint of a key, as ``ssh-keygen -lf`` prints it."""
    text = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(text.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def fingerprint_of_node(public_key: bytes) -> str:
    """Return the fingerprint of a key as Flower has it: PEM, in HTTP headers as base64.

    An empty text is returned for what is no such key.
    """
    try:
        if not public_key.startswith(b"-----"):
            public_key = base64.b64decode(public_key, validate=True)
        key = load_pem_public_key(public_key)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return ""
    return fingerprint(key) if isinstance(key, EllipticCurvePublicKey) else ""


def fingerprint_of_file(path: Path) -> str:
    """Return the fingerprint of a public key file, as ``make_key.sh`` makes it.

    Raises:
        InputError: it cannot be read, or is no such key.
    """
    remedy = "name the .pub file that the site has sent (make_key.sh makes it)"
    try:
        key = load_ssh_public_key(_read(path))
    except OSError as error:
        raise InputError(
            f"the public key {path} cannot be read ({error.strerror}); {remedy}"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise InputError(f"{path} is no public key of a site; {remedy}")
    return fingerprint(key)


def read_sites_file(path: Path) -> dict[str, str]:
    """Return the fingerprint of each country that ``sites.yml`` names.

    Raises:
        InputError: the file or a key of it cannot be read, or two countries have one key.
    """
    example = "Turkey: SHA256:... as ssh-keygen -lf prints it, or Turkey: Turkey.pub"
    try:
        text = _read(path)
        named = _FILE.validate_python(yaml.safe_load(text))
        if twice := _named_twice(text):
            raise ValueError(f"{twice} stands there twice")
    except OSError as error:
        raise InputError(
            f"keys = {path} cannot be read ({error.strerror}); make it by make_sites_file.sh"
        ) from None
    except (ValidationError, ValueError, yaml.YAMLError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(
            f"{path} cannot be used: {shown(told)}; it needs a line for each country, such as "
            f"{example}"
        ) from None
    found: dict[str, str] = {}
    for country, key in named.items():
        is_print = _FINGERPRINT.fullmatch(key)
        value = key if is_print else fingerprint_of_file(path.parent / Path(key).expanduser())
        if same := [other for other, known in found.items() if known == value]:
            raise InputError(
                f'{path}: "{same[0]}" and "{country}" have the same key; each site needs a key of '
                "its own (make_key.sh)"
            )
        found[country] = value
    return found


def _named_twice(text: bytes) -> str | None:
    """Return the first country that stands twice in a file, where YAML takes the last one."""
    root = yaml.compose(text, yaml.SafeLoader)
    names = [normal(key.value) for key, _ in root.value] if root is not None else []
    return next((name for name in names if names.count(name) > 1), None)


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return text


def sites_file(folder: Path) -> str:
    """Return the text of ``sites.yml`` for the public keys of a folder, each named COUNTRY.pub.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    paths = sorted(folder.glob("*.pub"))
    if not paths:
        raise InputError(
            f"there is no public key in {folder}: put the sites' files there, such as Turkey.pub"
        )
    found = {normal(path.stem): fingerprint_of_file(path) for path in paths}
    return _text(found)


def _text(sites: Mapping[str, str]) -> str:
    lines = [f"{json.dumps(name, ensure_ascii=False)}: {key}\n" for name, key in sites.items()]
    return "".join(["# Each country, and the fingerprint of its key\n", *lines])


def main(arguments: Sequence[str]) -> int:
    """Print the ``sites.yml`` of KEYS_FOLDER."""
    try:
        print(sites_file(Path(arguments[0]).expanduser().resolve()), end="")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
