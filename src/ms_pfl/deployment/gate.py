"""The gate before the SuperLink: the network reaches what sites need, and nothing else.

Flower serves everything at one port: the paths of the sites (``/v1/fleet``), which ask for a
registered key, and those by which apps are started (``/v1/control``, ``/v1/runtime``), which ask
for none. So the SuperLink listens at 127.0.0.1 alone, and the gate stands at the address that the
network knows. It passes requests whose method and path are, byte by byte, those of a route of
``ROUTES``: an encoded, doubled, dotted or differently spelled path is another path, which is
refused. What it sends on is a request of its own: the route's path, the headers of ``_HEADERS``,
and the body in a framing of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ms_pfl.deployment.site_keys import fingerprint_of_node
from ms_pfl.text import shown

ACTIVATE = b"/v1/fleet/activate-node"
ROUTES = frozenset(
    {
        ACTIVATE,
        b"/v1/fleet/deactivate-node",
        b"/v1/fleet/send-node-heartbeat",
        b"/v1/fleet/pull-messages",
        b"/v1/fleet/push-messages",
        b"/v1/fleet/get-run",
        b"/v1/fleet/get-fab",
        b"/v1/fleet/push-object",
        b"/v1/fleet/pull-object",
        b"/v1/fleet/confirm-message-received",
    }
)
"""What a SuperNode with a registered key posts to; all of Flower's fleet API but register-node and
unregister-node, by which a SuperNode without a registered key would register itself."""

_HEADERS = frozenset(
    {
        b"accept",
        b"content-type",
        b"flwr-component-name",
        b"flwr-package-name",
        b"flwr-package-version",
        b"flwr-public-key",
        b"flwr-signature",
        b"flwr-timestamp",
    }
)
_ANSWER_HEADERS = frozenset(
    {b"content-length", b"content-type", b"flwr-version-incompatibility-message"}
)
_SECONDS_TO_CONNECT = 10.0
_SECONDS_IDLE = 75.0
_HEADER_BYTES = 32 * 2**10
_SMALL = 10**6

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Tell = Callable[..., object]


@dataclass(frozen=True)
class GateLimits:
    """What one who reaches the gate can take of it.

    Attributes:
        body_mb: of a request, in MB; Flower sends arrays in pieces of 5 MB.
        connections: open at a time.
        connections_per_address: open at a time from one address, behind which there may be a proxy
            with several sites.
        seconds_for_head: from a connection, or the last answer, to the end of the next head.
        seconds_for_request: from there to the end of the answer.
        large_bodies: of more than 1 MB, or of a size that is not told, at a time; others wait. The
            SuperLink holds a body in memory before it looks at the key.
        notes_per_minute: lines that are written of requests; the others are counted.
    """

    body_mb: int = 32
    connections: int = 512
    connections_per_address: int = 64
    seconds_for_head: float = 15.0
    seconds_for_request: float = 300.0
    large_bodies: int = 32
    notes_per_minute: int = 60


class Refusal(Exception):
    """A request that the gate does not send on: the status it answers, and why."""

    def __init__(self, status: int, reason: str) -> None:
        """Keep both."""
        super().__init__(reason)
        self.status, self.reason = status, reason


def check(scope: Scope) -> dict[bytes, bytes]:
    """See that a request is one of a SuperNode, and return the headers to send on.

    Raises:
        Refusal: it is another, or could be read in two ways.
    """
    if scope["http_version"] != "1.1":
        raise Refusal(400, "no HTTP/1.1")
    if scope["raw_path"] not in ROUTES or scope["query_string"]:
        raise Refusal(404, "no path of the sites")
    if scope["method"] != "POST":
        raise Refusal(405, "sites use POST alone")
    names = Counter(name for name, _ in scope["headers"])
    if names[b"content-length"] and names[b"transfer-encoding"]:
        raise Refusal(400, "a length and a transfer encoding")
    if names[b"upgrade"]:
        raise Refusal(400, "an upgrade to another protocol")
    if twice := [name for name in names if name in _HEADERS and names[name] > 1]:
        raise Refusal(400, f"the header {twice[0].decode()} twice")
    return {name: value for name, value in scope["headers"] if name in _HEADERS}


class Gate:
    """The ASGI application: it sends a request on, or refuses it."""

    def __init__(self, superlink: httpx.AsyncClient, limits: GateLimits, notes: Notes) -> None:
        """Listen at nothing yet.

        Args:
            superlink: a client whose base is the SuperLink.
            limits: of each request.
            notes: what is refused, and who connects.
        """
        self._superlink, self._limits, self._notes = superlink, limits, notes
        self._large = asyncio.Semaphore(limits.large_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began: list[int] = []

        async def answer(event: MutableMapping[str, Any]) -> None:
            began.extend([event["status"]] if "status" in event else [])
            await send(event)

        try:
            async with asyncio.timeout(self._limits.seconds_for_request):
                await self._pass_on(scope, receive, answer)
        except _GoneError:
            return
        except (TimeoutError, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else Refusal(408, "not done in time")
            self._notes.write("refused", scope, status=refusal.status, reason=refusal.reason)
            if not began:  # else the connection ends with an answer that is not whole
                await _say(send, refusal.status)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = check(scope)
        most = self._limits.body_mb * 10**6
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length and int(length) > most:
            raise Refusal(413, "a body over the limit")
        framing = [(b"content-length", length)] if length else []
        request = self._superlink.build_request(
            "POST",
            scope["raw_path"].decode("ascii"),
            headers=[*headers.items(), *framing, (b"accept-encoding", b"identity")],
            content=_body(receive, most),
        )
        small = length and int(length) <= _SMALL
        async with nullcontext() if small else self._large:
            await self._forward(scope, request, headers, send)

    async def _forward(
        self, scope: Scope, request: httpx.Request, headers: dict[bytes, bytes], send: Send
    ) -> None:
        try:
            answer = await self._superlink.send(request, stream=True)
        except httpx.HTTPError as error:
            raise Refusal(502, f"the SuperLink does not answer ({type(error).__name__})") from None
        try:
            if scope["raw_path"] == ACTIVATE:
                key = fingerprint_of_node(headers.get(b"flwr-public-key", b"")) or "none"
                event = "connected" if answer.status_code == 200 else "refused"
                self._notes.write(event, scope, status=answer.status_code, key=key)
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status_code,
                    "headers": [
                        (name.lower(), value)
                        for name, value in answer.headers.raw
                        if name.lower() in _ANSWER_HEADERS
                    ],
                }
            )
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except httpx.HTTPError as error:
            raise Refusal(502, f"the SuperLink broke off ({type(error).__name__})") from None
        finally:
            await answer.aclose()


class _GoneError(Exception):
    """The other end has closed the connection."""


async def _body(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """Yield the body of a request, as it arrives."""
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _GoneError
        part = event.get("body", b"")
        size += len(part)
        if size > most:
            raise Refusal(413, "a body over the limit")
        yield part
        if not event.get("more_body", False):
            return


async def _say(send: Send, status: int) -> None:
    """Answer with a status alone; as the body may not have been read, the connection ends."""
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class Notes:
    """What is told of requests: a line each, and no more than so many a minute of all together."""

    def __init__(self, tell: Tell, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell nothing yet."""
        self._tell, self._most, self._clock = tell, most, clock
        self._minute, self._written, self._dropped = -1, 0, 0

    def write(self, event: str, scope: Scope, **facts: object) -> None:
        """Tell of a request."""
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        asked = f"{scope['method']} {path.decode('latin-1')}"
        self.tell(event, peer=_peer(scope["client"]), asked=shown(asked), **facts)

    def tell(self, event: str, **facts: object) -> None:
        """Tell of something else, such as a connection."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            if self._dropped:
                self._tell("refused", further=self._dropped, reason="not written one by one")
            self._minute, self._written, self._dropped = minute, 0, 0
        if self._written == self._most:
            self._dropped += 1
            return
        self._written += 1
        self._tell(event, **facts)


def _peer(client: tuple[str, int] | None) -> str:
    return shown(client[0] if client else "unknown", 60)


class _Connection(H11Protocol):
    """HTTP/1.1 of uvicorn, with a limit to connections and to the time that a head may take."""

    limits: GateLimits
    notes: Notes
    open_from: Counter[str]
    _late: asyncio.TimerHandle | None = None
    _counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = _peer(self.client)
        if (
            len(self.connections) > self.limits.connections
            or self.open_from[peer] >= self.limits.connections_per_address
        ):
            self.notes.tell("refused", peer=peer, reason="too many connections")
            transport.abort()
            return
        self.open_from[peer] += 1
        self._counted = True
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head_is_here()
        if self._counted:
            self._counted = False
            peer = _peer(self.client)
            self.open_from[peer] -= 1
            if not self.open_from[peer]:
                del self.open_from[peer]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_is_here()
        elif self._late is None:
            self._wait_for_head()

    def send_400_response(self, msg: str) -> None:
        self.notes.tell("refused", peer=_peer(self.client), status=400, reason="no HTTP/1.1")
        super().send_400_response(msg)

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(self.limits.seconds_for_head, self._give_up)

    def _head_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.notes.tell(
                "refused", peer=_peer(self.client), status=408, reason="no head of a request"
            )
            self.transport.abort()


class GateServer(uvicorn.Server):
    """The gate at its address; signals are its starter's."""

    def __init__(
        self,
        certificates: Path,
        host: str,
        port: int,
        superlink: str,
        limits: GateLimits,
        tell: Tell,
    ) -> None:
        """Listen at nothing yet.

        Args:
            certificates: folder with ``server.pem``, ``server.key`` and ``ca.crt``.
            host: to listen at.
            port: to listen at.
            superlink: the SuperLink's URL.
            limits: of requests and connections.
            tell: is given the event ("refused", "connected") and its facts.
        """
        trusted = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        timeout = httpx.Timeout(limits.seconds_for_request, connect=_SECONDS_TO_CONNECT)
        self._client = httpx.AsyncClient(
            base_url=superlink, verify=trusted, timeout=timeout, trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_SECONDS_IDLE),
        )  # fmt: skip
        notes = Notes(tell, limits.notes_per_minute)
        protocol = type(
            "Connection", (_Connection,), {"limits": limits, "notes": notes, "open_from": Counter()}
        )
        super().__init__(
            uvicorn.Config(
                Gate(self._client, limits, notes), host=host, port=port, http=protocol, ws="none",
                loop="none", lifespan="off", interface="asgi3", access_log=False, log_config=None,
                proxy_headers=False, server_header=False, timeout_keep_alive=int(_SECONDS_IDLE),
                timeout_graceful_shutdown=5, h11_max_incomplete_event_size=_HEADER_BYTES,
                ssl_certfile=certificates / "server.pem", ssl_keyfile=certificates / "server.key",
                ssl_keyfile_password="",
            )
        )  # fmt: skip

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the starter, who ends the SuperLink too."""
        yield

    async def shutdown(self, sockets: Any = None) -> None:
        """Close what is open, at both sides."""
        await super().shutdown(sockets)
        await self._client.aclose()


class GateLoop(asyncio.SelectorEventLoop):
    """An event loop whose servers give up a TLS handshake that takes as long as a head may not."""

    async def create_server(self, *arguments: Any, **settings: Any) -> asyncio.Server:
        """As asyncio does, with a shorter time for the handshake."""
        settings["ssl_handshake_timeout"] = GateLimits.seconds_for_head
        return await super().create_server(*arguments, **settings)
