"""deploy/start_superlink.sh with a stand-in of `flower-superlink`: two processes, one life."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ms_pfl.deployment import start_superlink
from ms_pfl.deployment.security_log import verify
from network_examples import PROJECT, free_port, make_certificates

SUPERLINK = """#!{python}
import http.server, json, os, signal, ssl, sys

told = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "pid": os.getpid(),
        "umask": os.umask(0o077)}}
with open(os.environ["STAND_IN"] + ".part", "w") as file:
    json.dump(told, file)
os.rename(os.environ["STAND_IN"] + ".part", os.environ["STAND_IN"])
if "STAND_IN_CODE" in os.environ:
    sys.exit(int(os.environ["STAND_IN_CODE"]))
option = lambda name: sys.argv[sys.argv.index(name) + 1]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = http.server.ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(option("--ssl-certfile"), option("--ssl-keyfile"))
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever(0.05)
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("superlink") / "certificates", "127.0.0.1")


class Place:
    """All that a SuperLink needs, and the script's arguments for it."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        self.folder, self.certificates, self.state = folder, certificates, folder / "state"
        self.told = folder / "told.json"
        self.port, self.inner = free_port(), free_port()
        self.arguments = [
            str(certificates), str(self.state), "127.0.0.1", str(self.port), str(self.inner)
        ]  # fmt: skip
        stand_ins = folder / "bin"
        stand_ins.mkdir()
        for name, text in {
            "flower-superlink": SUPERLINK.format(python=sys.executable),
            "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
        }.items():
            (stand_ins / name).write_text(text)
            (stand_ins / name).chmod(0o755)
        self.environment = os.environ | {
            "MS_PFL_BIN": str(stand_ins),
            "STAND_IN": str(self.told),
            "PYTHONPATH": str(PROJECT / "src"),
            "FLWR_INTERNAL_GRPC_CONTROL_API": "1",
        }

    def start(self, *more: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PROJECT / "deploy" / "start_superlink.sh", *self.arguments, *more],
            env=self.environment | environment, cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def started(self, process: subprocess.Popen[str]) -> dict[str, object]:
        """Wait for the gate, and return what the SuperLink was started with."""
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"The gate at 127.0.0.1:{self.port} passes the sites to the"), line
        return json.loads(self.told.read_text())

    def ask(self, path: str) -> int:
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        url = f"https://127.0.0.1:{self.port}{path}"
        return httpx.post(url, verify=context, trust_env=False, timeout=10).status_code


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def place(tmp_path: Path, certificates: Path) -> Place:
    return Place(tmp_path, certificates)


def alive(pid: object) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_end(pid: object) -> None:
    until = time.monotonic() + 15
    while alive(pid):
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.05)


def test_the_superlink_listens_at_the_loopback_behind_the_gate(place: Place) -> None:
    process = place.start("connections=9")
    told = place.started(process)
    arguments = told["arguments"]
    assert isinstance(arguments, list)
    assert arguments[-4:] == ["--host", "127.0.0.1", "--port", str(place.inner)]
    assert "--enable-supernode-auth" in arguments
    assert told["umask"] == 0o077
    environment = told["environment"]
    assert isinstance(environment, dict)
    assert environment["FLWR_HOME"] == str(place.state / "flwr")
    assert "FLWR_INTERNAL_GRPC_CONTROL_API" not in environment
    assert place.ask("/v1/fleet/get-run") == 200
    assert place.ask("/v1/control/start-run") == 404
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "gate: refused peer='127.0.0.1' asked='POST /v1/control/start-run' status=404" in out
    assert "Traceback" not in err
    assert not alive(told["pid"])
    assert verify(place.state).lines == 1
    (line,) = (place.state / "security.jsonl").read_text().splitlines()
    assert json.loads(line)["facts"]["asked"] == "POST /v1/control/start-run"


def test_one_killed_ends_the_other(place: Place) -> None:
    process = place.start()
    pid = place.started(process)["pid"]
    process.kill()
    process.communicate(timeout=20)
    wait_for_end(pid)
    process = place.start()  # the lock is free, and so are the ports
    pid = place.started(process)["pid"]
    assert isinstance(pid, int)
    other = place.start()
    _, err = other.communicate(timeout=20)
    assert (other.returncode, err.count("\n")) == (1, 1)
    assert err.startswith(f"a SuperLink runs already in {place.state}: process {process.pid} on ")
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err == (
        "The SuperLink has ended with exit code -9; what it printed stands above. The gate ends "
        "too\n"
    )


def test_a_superlink_that_ends_at_once(place: Place) -> None:
    process = place.start(STAND_IN_CODE="3")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, "")
    assert err.startswith("The SuperLink has ended with exit code 3;")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({3: "x"}, "start_superlink.sh: PORT must be a number such as 9443, not 'x'"),
        ({4: "0"}, "start_superlink.sh: INNER_PORT must be a number such as 9443, not '0'"),
        ({4: "{port}"}, "start_superlink.sh: PORT and INNER_PORT are both "),
        ({0: "/absent"}, "/absent/server.pem cannot be read (No such file or directory); CERT"),
        ({1: "/dev/null"}, "/dev/null cannot be written (File exists); name a folder"),
        ({3: "9" * 5000}, "start_superlink.sh: PORT must be a number such as 9443, not '99999"),
        ({0: "~nobody-of-this-name/x"}, "the path ~nobody-of-this-name/x cannot be followed: "),
        ({1: "{loop}"}, "the path "),
        ({0: "{pipe}"}, "{pipe}/server.pem is no file"),
        ({2: "a..b"}, "the sites cannot listen at a..b ("),
        ({5: "body-mb=much"}, "start_superlink.sh: 'body-mb=much' must be KEY=NUMBER with one of"),
        ({5: "body-mb=0"}, "start_superlink.sh: 'body-mb=0' must be KEY=NUMBER with one of"),
        ({5: "body=3"}, "start_superlink.sh: 'body=3' must be KEY=NUMBER with one of the keys bo"),
    ],
)
def test_what_cannot_work_is_seen_before(
    change: dict[int, str], wanted: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    loop, pipe = place.folder / "loop", place.folder / "pipe"
    loop.symlink_to(loop)
    pipe.mkdir()
    os.mkfifo(pipe / "server.pem")
    wanted = wanted.format(pipe=pipe)
    arguments = [*place.arguments, ""]
    for number, value in change.items():
        arguments[number] = value.format(port=place.port, loop=loop, pipe=pipe)
    assert start_superlink.main([one for one in arguments if one]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(wanted), err


def test_an_empty_host_is_not_all_networks(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.arguments[2] = ""
    assert start_superlink.main(place.arguments) == 1
    assert capsys.readouterr().err.startswith("start_superlink.sh: HOST is empty; name an address")


def test_a_taken_port_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    process = place.start()
    place.started(process)
    place.arguments[1] = str(place.folder / "other")
    for ports, what, remedy in (
        ((place.port, free_port()), "the sites", "4th"),
        ((free_port(), place.inner), "the SuperLink", "5th"),
    ):
        assert start_superlink.main([*place.arguments[:3], *map(str, ports)]) == 1
        err = capsys.readouterr().err
        assert f", for {what}, is taken by " in err
        assert err.endswith(f"name another port as the {remedy} argument of start_superlink.sh\n")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_folders_that_are_open_to_others_are_told_of(place: Place) -> None:
    place.state.mkdir()
    place.state.chmod(0o755)
    process = place.start()
    place.started(process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert err == (
        f"Warning: {place.state} is open to every account of this machine: "
        f"chmod -R o= '{place.state}'\n"
    )
