"""The gate before the SuperLink, over TLS and raw sockets: what passes, and what is refused."""

from __future__ import annotations

import asyncio
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from flwr.superlink.routers.fleet.router import router
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.deployment.gate import ROUTES, GateLimits, GateLoop, GateServer, Notes, Refusal, check
from network_examples import free_port, make_certificates

PATH = "/v1/fleet/pull-messages"
HEAD = "host: gate\r\ncontent-type: application/protobuf\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("gate") / "certificates", "127.0.0.1")


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class SuperLink:
    """What stands behind the gate: it keeps what reaches it."""

    port: int = 0
    asked: list[Request] = field(default_factory=list)
    status: int = 200
    seconds: float = 0.0
    answer: bytes = b"answer"


@pytest.fixture(scope="module")
def behind(certificates: Path) -> Iterator[SuperLink]:
    kept = SuperLink()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = b""
            if "content-length" in self.headers:
                body = self.rfile.read(int(self.headers["content-length"]))
            while self.headers.get("transfer-encoding") == "chunked":
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size + 2)[:size]
                if not size:
                    break
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.asked.append(Request(self.requestline, headers, body))
            time.sleep(kept.seconds)
            self.send_response(kept.status)
            self.send_header("content-type", "application/protobuf")
            self.send_header("content-length", str(len(kept.answer)))
            self.send_header("x-further", "stays here")
            self.end_headers()
            self.wfile.write(kept.answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


class Gate:
    """A running gate: raw requests to it, and what it told."""

    def __init__(self, certificates: Path, port: int) -> None:
        self.certificates, self.port = certificates, port
        self.told: list[tuple[str, dict[str, object]]] = []

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return context.wrap_socket(raw, server_hostname="127.0.0.1")

    def send(self, text: str | bytes) -> bytes:
        """All that comes back for some bytes, until the gate closes or says no more."""
        found = b""
        with self.connect() as line:
            # the gate may answer and close before all bytes are sent: a reset, or an end of TLS
            with suppress(ConnectionError, ssl.SSLEOFError):
                line.sendall(text.encode("latin-1") if isinstance(text, str) else text)
            line.settimeout(2)
            with suppress(TimeoutError, ConnectionError, ssl.SSLEOFError):
                while part := line.recv(65536):
                    found += part
        return found

    def status(self, text: str | bytes) -> int:
        answer = self.send(text)
        return int(answer.split()[1]) if answer else 0

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", trust_env=False, timeout=20,
            verify=ssl.create_default_context(cafile=str(self.certificates / "ca.crt")),
        )  # fmt: skip


def read_answer(line: ssl.SSLSocket) -> None:
    found = b""
    while not found.endswith(b"answer"):
        part = line.recv(1000)
        assert part, found
        found += part
    assert found.startswith(b"HTTP/1.1 200")


@contextmanager
def running(
    certificates: Path, superlink_port: int, limits: GateLimits | None = None
) -> Iterator[Gate]:
    gate = Gate(certificates, free_port())
    started = threading.Event()
    ends: list[Callable[[], None]] = []

    async def serve() -> None:
        server = GateServer(
            certificates, "127.0.0.1", gate.port, f"https://127.0.0.1:{superlink_port}",
            limits or GateLimits(), lambda event, **facts: gate.told.append((event, facts)),
        )  # fmt: skip
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        ends.append(lambda: setattr(server, "should_exit", True))
        started.set()
        await serving

    def work() -> None:
        with asyncio.Runner(loop_factory=GateLoop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(20)
    try:
        yield gate
    finally:
        ends[0]()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def superlink(behind: SuperLink) -> SuperLink:
    """The same, which has seen nothing yet."""
    fresh = SuperLink(behind.port)
    vars(behind).update(vars(fresh))
    return behind


@pytest.fixture(scope="module")
def gate_of_all(certificates: Path, behind: SuperLink) -> Iterator[Gate]:
    with running(certificates, behind.port, GateLimits(notes_per_minute=10**6)) as gate:
        yield gate


@pytest.fixture
def gate(gate_of_all: Gate) -> Gate:
    gate_of_all.told.clear()
    return gate_of_all


def test_the_routes_are_those_of_a_site_with_a_registered_key() -> None:
    paths = {route.path.encode() for route in router.routes}
    by_itself = {b"/v1/fleet/register-node", b"/v1/fleet/unregister-node"}
    assert paths - by_itself == ROUTES
    assert {method for route in router.routes for method in route.methods} == {"POST"}


def test_what_a_site_sends_arrives_with_needed_headers_alone(
    gate: Gate, superlink: SuperLink
) -> None:
    headers = {
        "content-type": "application/protobuf", "accept": "application/protobuf",
        "flwr-public-key": "k", "flwr-signature": "s", "flwr-timestamp": "t",
        "flwr-package-version": "1.41.0", "flwr-task-token": "stolen", "cookie": "c",
        "x-forwarded-for": "192.0.2.1", "authorization": "Bearer x",
    }  # fmt: skip
    with gate.client() as client:
        for path in sorted(ROUTES):
            answer = client.post(path.decode(), content=b"asked", headers=headers)
            assert (answer.status_code, answer.content) == (200, b"answer")
            assert "x-further" not in answer.headers
            assert "server" not in answer.headers
    assert [one.line for one in superlink.asked] == [
        f"POST {path.decode()} HTTP/1.1" for path in sorted(ROUTES)
    ]
    for one in superlink.asked:
        assert one.body == b"asked"
        assert set(one.headers) == {
            "host", "connection", "user-agent", "accept-encoding", "content-length",
            "content-type", "accept", "flwr-public-key", "flwr-signature", "flwr-timestamp",
            "flwr-package-version",
        }  # fmt: skip
        assert one.headers["host"] == f"127.0.0.1:{superlink.port}"
    assert [event for event, _ in gate.told] == ["connected"], "activate-node alone is told of"


PATHS = [
    "/", "/v1/control/start-run", "/v1/control/list-runs", "/v1/runtime/acquire-task",
    "/v1/fleet/register-node", "/v1/fleet/unregister-node", "/v1/fleet", "/v1/fleet/",
    "/v1/fleet/pull-messages/", "//v1/fleet/pull-messages", "/v1//fleet/pull-messages",
    "/v1/fleet//pull-messages", "/v1/fleet/../control/start-run", "/v1/fleet/./pull-messages",
    "/v1/fleet/pull-messages/../../control/start-run", "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/..%2fcontrol/start-run", "/v1/fleet/%2E%2E%2Fcontrol%2Fstart-run",
    "/v1%2ffleet%2fpull-messages", "/v1/fleet/pull%2dmessages", "/V1/FLEET/PULL-MESSAGES",
    "/v1/Fleet/pull-messages", "/v1/fleet/pull-messages?x=1", "/v1/fleet/pull-messages?",
    "/v1/fleet/pull-messages;x", "/v1/fleet/pull-messages%00", "/v1/fleet/pull-messages%20",
    "/v1/fleet/%252e%252e/control/start-run", "/v1\\fleet\\pull-messages", "/docs",
    "/openapi.json", "/health", "*", "https://gate/v1/fleet/pull-messages",
    "https://127.0.0.1/v1/control/start-run", "v1/fleet/pull-messages",
    "/v1/fleet/pull-messages#/v1/control/start-run", "/v1/control/start-run?/v1/fleet/",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_other_paths_do_not_pass(path: str, gate: Gate, superlink: SuperLink) -> None:
    sent = f"POST {path} HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n"
    if path.endswith("?"):  # an empty query is none
        assert gate.status(sent) == 200
        assert superlink.asked[0].line == f"POST {PATH} HTTP/1.1"
        return
    assert gate.status(sent) in (400, 404)
    assert superlink.asked == []
    ((event, facts),) = gate.told
    assert event == "refused"
    assert facts["peer"] == "127.0.0.1"
    assert "\n" not in str(facts)


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "wanted"),
    [
        ("GET {}", "", "", 405),
        ("PUT {}", "content-length: 0\r\n", "", 405),
        ("OPTIONS {}", "", "", 405),
        ("post {}", "content-length: 0\r\n", "", 405),
        ("CONNECT 127.0.0.1:9444", "", "", 404),
        ("CONNECT {}", "", "", 405),
        ("POST {}", "connection: upgrade\r\nupgrade: websocket\r\n", "", 400),
        ("POST {}", "connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 0\r\n", "", 400),
        ("POST {}", "content-length: 3\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", 400),
        ("POST {}", "content-length: 3\r\ncontent-length: 4\r\n", "abcd", 400),
        ("POST {}", "content-length: 3, 4\r\n", "abcd", 400),
        ("POST {}", "content-length: -1\r\n", "", 400),
        ("POST {}", "content-length: 0x3\r\n", "abc", 400),
        ("POST {}", "transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n", 400),
        ("POST {}", "transfer-encoding: xchunked\r\n", "0\r\n\r\n", 400),
        ("POST {}", "transfer-encoding : chunked\r\n", "0\r\n\r\n", 400),
        ("POST {}", "transfer-encoding: chunked\r\n", "z\r\n\r\n", 400),
        ("POST {}", "flwr-public-key: a\r\nFlwr-Public-Key: b\r\ncontent-length: 0\r\n", "", 400),
        ("POST {}", "x: a\r\n b\r\n: c\r\n", "", 400),
        ("POST  {}", "content-length: 0\r\n", "", 400),
    ],
)
def test_requests_that_could_be_read_in_two_ways(
    request_line: str, headers: str, body: str, wanted: int, gate: Gate, superlink: SuperLink
) -> None:
    line = request_line.format(PATH)
    text = f"{line} HTTP/1.1\r\n{HEAD}{headers}\r\n{body}"
    hidden = f"POST /v1/control/start-run HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n"
    assert gate.status(text + hidden) == wanted
    assert [one for one in superlink.asked if one.line != f"POST {PATH} HTTP/1.1"] == []
    assert gate.told
    assert {event for event, _ in gate.told} == {"refused"}


def test_what_is_no_http_1(gate: Gate, superlink: SuperLink) -> None:
    for text in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\x01\x02\r\n\r\n"):
        assert gate.status(text) in (0, 400)
    with gate.connect() as line:
        assert line.selected_alpn_protocol() is None
    with socket.create_connection(("127.0.0.1", gate.port), timeout=5) as plain:
        plain.sendall(f"POST {PATH} HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert plain.recv(100)[:4] != b"HTTP"
    assert superlink.asked == []


@given(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(sorted(ROUTES)).flatmap(
            lambda path: st.tuples(
                st.integers(0, len(path)), st.integers(0, 3), st.binary(max_size=6)
            ).map(lambda cut: path[: cut[0]] + cut[2] + path[cut[0] + cut[1] :])
        ),
    ),
    st.sampled_from(["POST", "GET", "post"]),
)
def test_a_path_is_one_of_the_routes_to_the_byte(path: bytes, method: str) -> None:
    scope = {
        "http_version": "1.1", "raw_path": path, "query_string": b"", "method": method,
        "headers": [],
    }  # fmt: skip
    if path in ROUTES and method == "POST":
        assert check(scope) == {}
    else:
        with pytest.raises(Refusal):
            check(scope)


@pytest.mark.parametrize("told", [True, False])
def test_a_large_body_arrives_whole_in_both_directions(
    told: bool, gate: Gate, superlink: SuperLink
) -> None:
    superlink.answer = bytes(range(256)) * 40_000
    body = bytes(reversed(range(256))) * 25_000
    parts = body if told else (body[at : at + 99_999] for at in range(0, len(body), 99_999))
    with gate.client() as client:
        answer = client.post(PATH, content=parts)
    assert answer.content == superlink.answer
    assert superlink.asked[0].body == body


@pytest.mark.parametrize("told", [True, False])
def test_a_body_over_the_limit(told: bool, certificates: Path, superlink: SuperLink) -> None:
    with running(certificates, superlink.port, GateLimits(body_mb=1)) as gate:
        framing = "content-length: 1000001" if told else "transfer-encoding: chunked"
        head = f"POST {PATH} HTTP/1.1\r\n{HEAD}{framing}\r\n\r\n".encode()
        body = b"" if told else (b"fffff\r\n" + b"a" * 0xFFFFF + b"\r\n")
        assert gate.status(head + body) == 413
        assert gate.told[0][1]["reason"] == "a body over the limit"
    assert superlink.asked == []


def test_a_head_over_the_limit(gate: Gate, superlink: SuperLink) -> None:
    head = f"POST {PATH} HTTP/1.1\r\n{HEAD}" + "x: " + "a" * 200_000 + "\r\n\r\n"
    assert gate.status(head) in (0, 400)
    assert superlink.asked == []


def test_slow_clients_are_let_go(certificates: Path, superlink: SuperLink) -> None:
    limits = GateLimits(seconds_for_head=0.5, seconds_for_request=1.0)
    with running(certificates, superlink.port, limits) as gate:
        began = time.monotonic()
        assert gate.send("") == b"", "nothing is sent"
        with gate.connect() as line:
            for letter in b"POST /v1/fleet/pull":
                try:
                    line.sendall(bytes([letter]))
                except OSError:
                    break
                time.sleep(0.1)
            else:
                raise AssertionError("a head that never ends was waited for")
        assert time.monotonic() - began < 8
        head = f"POST {PATH} HTTP/1.1\r\n{HEAD}content-length: 100\r\n\r\n"
        assert gate.status(head + "abc") == 408, "a body that does not come"
        assert {facts["status"] for _, facts in gate.told} == {408}
        # a connection that has been answered has to go on, or to end
        with gate.connect() as line:
            line.sendall(f"POST {PATH} HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n".encode())
            read_answer(line)
            line.sendall(b"P")
            line.settimeout(5)
            with suppress(ConnectionError):
                assert line.recv(1000) == b""


def test_a_handshake_that_does_not_begin_is_not_waited_for(
    certificates: Path, superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GateLimits, "seconds_for_head", 0.5)
    with (
        running(certificates, superlink.port) as gate,
        socket.create_connection(("127.0.0.1", gate.port), timeout=10) as line,
        suppress(ConnectionError),
    ):
        assert line.recv(10) == b""


def test_too_many_connections(certificates: Path, superlink: SuperLink) -> None:
    with running(certificates, superlink.port, GateLimits(connections_per_address=3)) as gate:
        text = f"POST {PATH} HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n"
        lines = [gate.connect() for _ in range(3)]
        for line in lines:  # a connection is known to the gate when it is answered
            line.sendall(text.encode())
            read_answer(line)
        assert gate.status(text) == 0
        assert gate.told == [("refused", {"peer": "127.0.0.1", "reason": "too many connections"})]
        for line in lines:
            line.close()
        until = time.monotonic() + 5
        while gate.status(text) != 200:
            assert time.monotonic() < until
    assert len(superlink.asked) == 4


def test_connections_are_kept_and_long_answers_waited_for(gate: Gate, superlink: SuperLink) -> None:
    superlink.seconds = 1.0
    with gate.connect() as line:
        for _ in range(2):
            line.sendall(f"POST {PATH} HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n".encode())
            read_answer(line)
    assert gate.told == []


def test_the_superlinks_errors_are_passed_on(gate: Gate, superlink: SuperLink) -> None:
    superlink.status = 401
    with gate.client() as client:
        assert client.post(PATH).status_code == 401
        answer = client.post("/v1/fleet/activate-node", headers={"flwr-public-key": "x"})
    assert answer.status_code == 401
    assert gate.told == [
        ("refused", {"peer": "127.0.0.1", "asked": "POST /v1/fleet/activate-node",
                     "status": 401, "key": "none"})
    ]  # fmt: skip


def test_nobody_behind_the_gate(certificates: Path) -> None:
    with running(certificates, free_port()) as gate:
        assert gate.status(f"POST {PATH} HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n") == 502
        assert gate.told[0][1]["reason"] == "the SuperLink does not answer (ConnectError)"


def test_only_so_many_notes_a_minute() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    now = [0.0]
    notes = Notes(lambda event, **facts: told.append((event, facts)), 60, lambda: now[0])
    for number in range(1000):
        notes.tell("refused", number=number)
    assert len(told) == 60
    now[0] = 61.0
    notes.tell("refused", number=1000)
    assert told[60:] == [
        ("refused", {"further": 940, "reason": "not written one by one"}),
        ("refused", {"number": 1000}),
    ]
