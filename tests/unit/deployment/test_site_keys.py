"""sites.yml: which country has which key, as ssh-keygen prints it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.deployment.site_keys import (
    fingerprint,
    fingerprint_of_file,
    fingerprint_of_node,
    read_sites_file,
)
from ms_pfl.errors import InputError
from network_examples import PROJECT

BIN = Path(sys.executable).parent
NAMES = ("Turkey", "Korea, Republic of", "Côte d'Ivoire")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in NAMES:
        script = PROJECT / "deploy" / "make_key.sh"
        subprocess.run([script, folder, name], check=True, capture_output=True)
    return folder


def printed(path: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True)
    return done.stdout.split()[1]


def test_fingerprints_are_those_of_ssh_keygen_and_of_flower(keys: Path) -> None:
    for name in NAMES:
        path = keys / f"{name}.pub"
        wanted = printed(path)
        assert fingerprint_of_file(path) == wanted
        key = serialization.load_ssh_public_key(path.read_bytes())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert fingerprint_of_node(public_key_to_bytes(key)) == wanted


def test_the_file_of_a_folder_of_keys(keys: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [PROJECT / "deploy" / "make_sites_file.sh", keys],
        env=os.environ | {"PYTHONPATH": str(PROJECT / "src"), "MS_PFL_BIN": str(BIN)},
        check=True, capture_output=True,
    )  # fmt: skip
    path = tmp_path / "sites.yml"
    path.write_bytes(done.stdout)
    assert read_sites_file(path) == {name: printed(keys / f"{name}.pub") for name in NAMES}


def test_a_country_may_name_its_file(keys: Path) -> None:
    path = keys / "sites.yml"
    path.write_text("Turkey: Turkey.pub\n")
    assert read_sites_file(path) == {"Turkey": printed(keys / "Turkey.pub")}


PRINT = "SHA256:" + "a" * 43


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "it needs a line for each country"),
        ("- Turkey", "it needs a line for each country"),
        (f"Turkey: {PRINT}\nTurkey: {PRINT[:-1]}b\n", "Turkey stands there twice"),
        (f"Turkey: {PRINT}\nPeru: {PRINT}\n", '"Turkey" and "Peru" have the same key'),
        ("Turkey: SHA256:abc\n", "SHA256:abc cannot be read (No such file"),
        ("Turkey: sites.yml\n", "is no public key of a site"),
        (f"NO: {PRINT}\n", "put a name in quotes"),
        ("Turkey: {a: b}\n", "it needs a line for each country"),
        ("Turkey: [", "cannot be used: while parsing"),
        ("\x00", "cannot be used: unacceptable character"),
        ("a" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_what_binds_nobody(text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "sites.yml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_sites_file(path)
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sites.yml")
    with pytest.raises(InputError, match="no regular file"):
        read_sites_file(tmp_path / "sites.yml")
    with pytest.raises(InputError, match="no regular file"):
        read_sites_file(tmp_path)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_fingerprint_or_none(text: bytes) -> None:
    assert fingerprint_of_node(text) == ""


def test_a_key_of_another_kind_has_none(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert fingerprint_of_node(pem) == ""
    path = tmp_path / "a.pub"
    path.write_bytes(
        key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    with pytest.raises(InputError, match="is no public key of a site"):
        fingerprint_of_file(path)
    assert fingerprint(ec.generate_private_key(ec.SECP384R1()).public_key()).startswith("SHA256:")
