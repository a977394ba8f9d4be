"""deploy/start_site.sh with a stand-in of `flower-supernode`: what is seen before, told after."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from flwr.common.config import parse_config_args
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ms_pfl.deployment import start_site
from ms_pfl.deployment.network import Address
from ms_pfl.deployment.policy import SitePolicy, write_policy
from ms_pfl.deployment.start_site import SiteStart
from ms_pfl.names import normal
from network_examples import HOST, PROJECT, ConnectProxy, free_port, https_server, make_certificates

SUPERNODE = """#!{python}
import json, os, signal, sys, time

told = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid()}}
with open(os.environ["STAND_IN"] + ".part", "w") as file:
    json.dump(told, file)
os.rename(os.environ["STAND_IN"] + ".part", os.environ["STAND_IN"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(os.environ.get("STAND_IN_SAYS", ""), file=sys.stderr)
time.sleep(float(os.environ.get("STAND_IN_LASTS", 0)))
sys.exit(int(os.environ.get("STAND_IN_CODE", 1)))
"""
TAKEN = (
    "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 9094): "
    "address already in use"
)


def write_key(path: Path, key: object = None) -> Path:
    key = key or ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(
        key.private_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("start") / "certificates", HOST)


@pytest.fixture(scope="module")
def superlink(certificates: Path) -> Iterator[Address]:
    with https_server(certificates) as address:
        yield address


@dataclass(frozen=True)
class Node:
    """What a SuperNode was started with."""

    arguments: list[str]
    environment: dict[str, str]
    pid: int

    @property
    def config(self) -> dict[str, object]:
        """As Flower reads it."""
        text = self.arguments[self.arguments.index("--node-config") + 1]
        return parse_config_args([text])


class Place:
    """All that a site needs, and the script's arguments for it."""

    def __init__(self, folder: Path, superlink: Address, certificates: Path) -> None:
        self.folder = folder
        self.registry, self.site = folder / "registry", folder / "site"
        self.registry.mkdir(0o700)
        self.site.mkdir(0o700)
        write_policy(self.site, SitePolicy())
        self.told = folder / "told.json"
        self.port = free_port()
        self.arguments = {
            "superlink": str(superlink),
            "certificate": str(certificates / "ca.crt"),
            "key": str(write_key(folder / "key")),
            "country": "Turkey",
            "registry": str(self.registry),
            "site": str(self.site),
            "port": str(self.port),
        }
        stand_ins = folder / "bin"
        stand_ins.mkdir()
        for name, text in {
            "flower-supernode": SUPERNODE.format(python=sys.executable),
            "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
        }.items():
            (stand_ins / name).write_text(text)
            (stand_ins / name).chmod(0o755)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.lower().endswith("proxy")
        } | {
            "MS_PFL_BIN": str(stand_ins),
            "STAND_IN": str(self.told),
            "PYTHONPATH": str(PROJECT / "src"),
        }

    def start(
        self, *more: str, environment: Mapping[str, str] | None = None, **arguments: str
    ) -> subprocess.Popen[str]:
        script = PROJECT / "deploy" / "start_site.sh"
        return subprocess.Popen(
            [script, *(self.arguments | arguments).values(), *more],
            env=self.environment | (environment or {}), cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(
        self, *more: str, environment: Mapping[str, str] | None = None, **arguments: str
    ) -> tuple[int, str, list[str]]:
        process = self.start(*more, environment=environment, **arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err.splitlines()

    def node(self) -> Node:
        until = time.monotonic() + 30
        while not self.told.exists():
            assert time.monotonic() < until, "the SuperNode was not started"
            time.sleep(0.02)
        return Node(**json.loads(self.told.read_text()))


@pytest.fixture
def place(tmp_path: Path, superlink: Address, certificates: Path) -> Place:
    return Place(tmp_path, superlink, certificates)


def test_a_site_is_started_and_stopped(place: Place) -> None:
    with ConnectProxy() as proxy:
        process = place.start(
            "env=smoke",
            environment={"https_proxy": proxy.address, "NO_PROXY": "a.org", "STAND_IN_LASTS": "60"},
        )
        node = place.node()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    way = f"through the proxy {proxy.address} (from https_proxy)"
    assert out.startswith(f"The SuperLink at {place.arguments['superlink']} is reached {way}\n")
    assert node.config == {
        "country": "Turkey",
        "registry-folder": str(place.registry),
        "site-folder": str(place.site),
        "env": "smoke",
    }
    for name in ("no_proxy", "NO_PROXY"):
        assert node.environment[name] == "a.org,127.0.0.1,localhost,::1"
    assert node.environment["FLWR_HOME"] == str(place.site / "flwr")
    assert node.arguments[:10] == [
        "--root-certificates", place.arguments["certificate"],
        "--auth-supernode-private-key", place.arguments["key"],
        "--superlink", place.arguments["superlink"], "--host", "127.0.0.1",
        "--port", str(place.port),
    ]  # fmt: skip


def children(pid: int) -> dict[int, str]:
    """The processes that a process has started, and their commands."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def answering(process: subprocess.Popen[str]) -> int:
    """The process that answers a site's messages."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for pid, command in children(process.pid).items():
            if "ms_pfl.deployment.client_process" in command:
                return pid
        time.sleep(0.02)
    raise AssertionError(children(process.pid))


def test_the_supernode_starts_nothing_and_one_process_may_take_its_messages(place: Place) -> None:
    process = place.start(environment={"STAND_IN_LASTS": "60"})
    arguments = place.node().arguments
    assert arguments[arguments.index("--isolation") + 1] == "process"
    secret = Path(arguments[arguments.index("--superexec-auth-secret-file") + 1])
    assert secret.stat().st_mode & 0o777 == 0o600
    first = secret.read_bytes()
    assert len(first) == 32
    pid = answering(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert not Path(f"/proc/{pid}").exists()
    assert not secret.exists()
    place.told.unlink()
    process = place.start(environment={"STAND_IN_LASTS": "60"})
    place.node()
    assert secret.read_bytes() != first
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_one_of_the_two_ends_the_other(place: Place) -> None:
    process = place.start(environment={"STAND_IN_LASTS": "60"})
    node = place.node()
    os.kill(answering(process), signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == (
        'The process that answers for "Turkey" has ended with exit code -9, and the site with it; '
        "what it printed stands above\n"
    )
    assert not Path(f"/proc/{node.pid}").exists()
    place.told.unlink()
    process = place.start(environment={"STAND_IN_LASTS": "60"})
    node, pid = place.node(), answering(process)
    os.kill(node.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "with exit code -9; what it printed stands above" in err
    assert not Path(f"/proc/{pid}").exists()
    place.told.unlink()
    process = place.start(environment={"STAND_IN_LASTS": "60"})
    node, pid = place.node(), answering(process)
    process.kill()  # as a power cut would: the system ends both
    process.communicate(timeout=20)
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() or Path(f"/proc/{node.pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_names_of_any_letters_arrive(place: Place) -> None:
    name = 'Korea, "Rép." [of] {x}=\\1\' $HOME `a` 한국'
    folders = {}
    for argument in ("registry", "site"):
        folder = place.folder / f"{argument} {name}"
        folder.mkdir()
        write_policy(folder, SitePolicy())
        folders[argument] = str(folder)
    project = place.folder / "project, 'new' \"é\" = \\1"
    (project / "conf" / "local").mkdir(parents=True)
    (project / "conf" / "base").symlink_to(PROJECT / "conf" / "base")
    _, _, err = place.run(f"project={project}", country=f" {name} ", **folders)
    assert name in err[-1]
    assert place.node().config == {
        "country": name,
        "registry-folder": folders["registry"],
        "site-folder": folders["site"],
        "project": str(project),
    }


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
        lambda text: bool(normal(text))
    )
)
def test_any_country_arrives(place: Place, country: str) -> None:
    arguments = [*(place.arguments | {"country": country}).values()]
    command = SiteStart.read(arguments).command()
    assert parse_config_args([command[-1]])["country"] == normal(country)


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("env=smoke", {"env": "smoke"}),
        ('env="smoke"', {"env": "smoke"}),
        ("env='it is \"x\"'", {"env": 'it is "x"'}),
        ('env="a\\\\b"', {"env": "a\\b"}),
        ("env=a=b", {"env": "a=b"}),
    ],
)  # fmt: skip
def test_further_settings(argument: str, wanted: dict[str, object], place: Place) -> None:
    command = SiteStart.read([*place.arguments.values(), argument]).command()
    got = parse_config_args([command[-1]])
    assert {name: got[name] for name in wanted} == wanted


def refuse_in_process(
    arguments: Mapping[str, str], *more: str, capsys: pytest.CaptureFixture[str]
) -> str:
    """What the launcher says in its one line; it must not have started anything."""
    began = time.monotonic()
    assert start_site.main([*arguments.values(), *more]) == 1
    assert time.monotonic() - began < 10
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err.rstrip("\n")


@pytest.mark.parametrize(
    ("change", "more", "wanted"),
    [
        ({"superlink": "fl.example.org"}, (), "the SuperLink's address 'fl.example.org' must be"),
        ({"superlink": "nowhere.invalid:9443"}, (), "the host name 'nowhere.invalid' is unknown"),
        ({"certificate": "/absent.crt"}, (), "/absent.crt cannot be read as certificates of an"),
        ({"key": "/absent"}, (), "the private key /absent cannot be read (No such file or direct"),
        ({"registry": "/absent"}, (), "the registry folder /absent cannot be read (No such file"),
        ({"site": "/dev/null"}, (), "/dev/null/policy.yml is missing: write it by `python -m"),
        ({"country": " "}, (), "start_site.sh: 'country' is missing"),
        ({"port": "env=smoke"}, (), "start_site.sh: the 7th argument must be the PORT"),
        ({"port": "0"}, (), "start_site.sh: the 7th argument must be the PORT"),
        ({"site": "~nobody-of-this-name/x"}, (), "the path ~nobody-of-this-name/x cannot"),
        ({"superlink": "a\x1bb:9443"}, (), r"'a\x1bb' is no name of a host (Invalid non-print"),
        ({}, ("env=a", "env=b"), "start_site.sh: env is given twice"),
        ({}, ("minimum-patients=5",), "start_site.sh: 'minimum-patients=5' must be KEY=VALUE with"),
        ({}, ("smoke",), "start_site.sh: 'smoke' must be KEY=VALUE with one of the keys project,"),
        ({}, ("project=/absent",), "the parameters in /absent/conf cannot be used"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_seen_before(
    change: dict[str, str],
    more: tuple[str, ...],
    wanted: str,
    place: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refuse_in_process(place.arguments | change, *more, capsys=capsys)
    assert said.startswith(wanted), said


def test_keys_of_other_kinds(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    key = Path(place.arguments["key"])
    write_key(key, ed25519.Ed25519PrivateKey.generate())
    assert "is no private key of the kind that Flower takes (ECDSA" in refuse_in_process(
        place.arguments, capsys=capsys
    )
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "secret", "-f", place.folder / "locked"],
        check=True,
    )
    for name, wanted in {
        "locked": "has a passphrase",
        "locked.pub": "is no private key of the kind that Flower takes",
    }.items():
        arguments = place.arguments | {"key": str(place.folder / name)}
        assert wanted in refuse_in_process(arguments, capsys=capsys)


def test_a_taken_port_is_named(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        code, out, err = place.run()
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].startswith(f"port {place.port}, for the site's own processes, is taken by ")
    assert err[0].endswith(": name another port as the 7th argument of start_site.sh")
    assert not place.told.exists()


def test_a_port_that_is_taken_in_between(place: Place) -> None:
    code, _, err = place.run(environment={"STAND_IN_SAYS": TAKEN})
    assert code == 1
    assert err == [
        f"port {place.port}, for the site's own processes, was taken by another program when the "
        "SuperNode started: name another port as the 7th argument of start_site.sh"
    ]


def test_two_sites_in_one_folder(place: Place) -> None:
    first = place.start(environment={"STAND_IN_LASTS": "60"})
    node = place.node()
    code, _, err = place.run(port=str(free_port()))
    assert (code, len(err)) == (1, 1)
    assert err[0].startswith(f"a site runs already in {place.site}: process {first.pid} on ")
    assert err[0].endswith("or give each site a SITE_FOLDER of its own")
    first.kill()  # which ends the SuperNode too
    first.communicate(timeout=20)
    until = time.monotonic() + 10
    while Path(f"/proc/{node.pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    place.told.unlink()
    again = place.start(environment={"STAND_IN_LASTS": "60"})
    place.node()
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=20)
    assert again.returncode == 0


@pytest.fixture
def watch(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the launcher in this process, with tries that follow each other at once."""
    monkeypatch.setattr(start_site, "_SECONDS_BETWEEN", 0.01)
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PATH", f"{place.folder / 'bin'}:{os.environ['PATH']}")

    def run(**environment: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = start_site.main([*place.arguments.values()])
        for kind, handler in before.items():
            signal.signal(kind, handler)
        return code

    return run


def test_a_key_that_is_not_registered(
    watch: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    said = "[code: 2004] Failed to activate SuperNode."
    assert watch(STAND_IN_SAYS=said) == 1
    out, err = capfd.readouterr()
    assert out.count(said) == start_site.TRIES
    lines = err.splitlines()
    assert len(lines) == start_site.TRIES
    assert all("key.pub is not registered there" in line for line in lines)
    assert all(line.endswith("trying again in 0 seconds") for line in lines[:-1])
    assert lines[-1].endswith("Given up: ask the server's administrator to register the key")


def test_other_ends(
    watch: Callable[..., int], capfd: pytest.CaptureFixture[str], place: Place
) -> None:
    assert watch(STAND_IN_SAYS="Traceback", STAND_IN_CODE="3") == 3
    err = capfd.readouterr().err
    assert re.fullmatch(
        r'The SuperNode of "Turkey" has ended after \d+ seconds with exit code 3; what it printed '
        r"stands above\n",
        err,
    )
    assert watch(STAND_IN_CODE="0") == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "because a signal asked it to, or because the SuperLink no longer accepts" in err


def test_a_superlink_that_goes_away_in_between(place: Place, certificates: Path) -> None:
    closed = place.folder / "closed"
    (place.folder / "bin" / "flower-supernode").write_text(
        f"#!/bin/sh\ntouch '{place.told}'\nwhile [ ! -e '{closed}' ]; do sleep 0.05; done; exit 1\n"
    )
    with https_server(certificates) as address:
        process = place.start(superlink=str(address))
        until = time.monotonic() + 30
        while not place.told.exists() and time.monotonic() < until:
            time.sleep(0.05)
    closed.touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith(f"nobody listens at {address} (connection refused)")
    assert err.count("\n") == 1
