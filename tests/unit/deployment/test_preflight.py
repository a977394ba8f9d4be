"""What preflight says before a site starts: a line for each check, and what to do."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ms_pfl.deployment import preflight as checks
from ms_pfl.deployment.network import Address
from ms_pfl.deployment.policy import SitePolicy, write_policy
from ms_pfl.deployment.preflight import preflight
from ms_pfl.deployment.site_keys import fingerprint
from network_examples import HOST, expire, free_port, https_server, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("preflight") / "certificates", HOST)


@pytest.fixture(scope="module")
def superlink(certificates: Path) -> Iterator[Address]:
    with https_server(certificates) as address:
        yield address


@pytest.fixture
def given(
    tmp_path: Path, superlink: Address, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    for name in [name for name in os.environ if name.lower().endswith("proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    registry, site, key = tmp_path / "registry", tmp_path / "site", tmp_path / "key"
    for folder in (registry, site):
        folder.mkdir(0o700)
    for table in ("patients", "visits", "relapses", "treatments"):
        (registry / f"{table}.csv").write_text("x\n")
    write_policy(site, SitePolicy(disk_gib=1))
    private = ec.generate_private_key(ec.SECP384R1())
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    key.chmod(0o600)
    (tmp_path / "print").write_text(fingerprint(private.public_key()))
    return {
        "superlink": str(superlink), "certificate": str(certificates / "ca.crt"), "key": str(key),
        "country": "Turkey", "registry": str(registry), "site": str(site),
        "port": str(free_port()),
    }  # fmt: skip


def lines(given: dict[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """The exit code, and what is said of each check."""
    code = preflight([*given.values()])
    out, err = capsys.readouterr()
    assert err == ""
    return code, {
        line[7:].partition(":")[0]: line[:7].strip() + line[7:].partition(":")[2]
        for line in out.splitlines()
    }


def test_all_is_well(
    given: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = lines(given, capsys)
    assert code == 0, told
    assert list(told) == [
        "settings", "server", "certificate", "key", "port", "registry",
        "rights of the registry folder", "policy", "rights of the site folder", "disk", "app",
    ]  # fmt: skip
    assert all(text.startswith("ok ") for text in told.values())
    assert told["server"].endswith("is reached directly, and the clocks agree")
    assert (tmp_path / "print").read_text() in told["key"]


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("server", "nobody listens at"),
        ("certificate", "the server's ends on 2"),
        ("key", "is open to others: chmod 600 '"),
        ("port", ", for the site's own processes, is taken by"),
        ("registry", "holds neither visits.csv nor visits.parquet; add the file"),
        ("rights of the registry folder", "is open to every account of this machine: chmod -R o="),
        ("policy", "policy.yml is missing: write it by"),
        ("rights of the site folder", "can be written by its group: chmod -R g-w '"),
        ("disk", "and its policy lets it grow to 1 GiB: free space, or"),
        ("settings", "'country' is missing"),
    ],
)
def test_what_is_to_do(
    what: str,
    wanted: str,
    given: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = None
    match what:
        case "server":
            given["superlink"] = f"{HOST}:{free_port(HOST)}"
        case "certificate":
            monkeypatch.setattr(checks, "_DAYS", 900)
        case "key":
            Path(given["key"]).chmod(0o640)
        case "port":
            taken = socket.create_server(("127.0.0.1", int(given["port"])))
        case "registry":
            (Path(given["registry"]) / "visits.csv").unlink()
        case "rights of the registry folder":
            Path(given["registry"]).chmod(0o755)
        case "policy":
            (Path(given["site"]) / "policy.yml").unlink()
        case "rights of the site folder":
            Path(given["site"]).chmod(0o770)
        case "disk":
            usage = shutil.disk_usage("/")._replace(free=2**29)
            monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
        case "settings":
            given["country"] = " "
    code, told = lines(given, capsys)
    if taken is not None:
        taken.close()
    assert code == 1
    assert told[what].startswith("TO DO ")
    assert wanted in told[what]
    others = {name for name, text in told.items() if not text.startswith("ok ")} - {what}
    assert others <= {"certificate", "disk"}, "the rest is looked at all the same"


def test_an_expired_certificate(
    given: dict[str, str], certificates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with https_server(expire(certificates, tmp_path / "old")) as address:
        code, told = lines(given | {"superlink": str(address)}, capsys)
    assert code == 1
    assert "is out of date (certificate has expired)" in told["server"]


def test_too_few_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight(["a"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("TO DO  settings: start_site.sh takes SUPERLINK CA_CERTIFICATE")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "what", "wanted"),
    [
        ("port", "70000", "port", "must be the PORT of the site's own processes"),
        ("port", "9" * 5000, "port", "must be the PORT of the site's own processes"),
        ("key", "{pipe}", "key", "{pipe} is no file"),
        ("certificate", "{pipe}", "certificate", "{pipe} is no file"),
        ("certificate", "{pipe}", "server", "({pipe} is no file); ask the server's"),
        ("site", "{loop}", "settings", "the path {loop} cannot be followed"),
        ("registry", "~nobody-of-this-name", "settings", "cannot be followed: Could not determine"),
    ],
)
def test_arguments_that_lead_nowhere_are_a_line_each(
    name: str,
    value: str,
    what: str,
    wanted: str,
    given: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop, pipe = tmp_path / "loop", tmp_path / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    given[name] = value.format(loop=loop, pipe=pipe)
    code, told = lines(given, capsys)
    assert code == 1
    assert told[what].startswith("TO DO ")
    assert wanted.format(loop=loop, pipe=pipe) in told[what]


def test_a_country_is_no_path(given: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = lines(given | {"country": "~nobody-of-this-name"}, capsys)
    assert (code, len(told)) == (0, 11)
