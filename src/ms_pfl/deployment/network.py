"""The way from here to the SuperLink, and the ports of this machine: what fails, and why."""

from __future__ import annotations

import email.utils
import errno
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ms_pfl.deployment.rights import read_file
from ms_pfl.errors import InputError
from ms_pfl.text import shown

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LARGEST = 1_000_000  # bytes of a certificate
_SECONDS = 10.0
_CLOCK_SECONDS = 290  # Flower refuses a signature that is older than 300
_SERVER_ERRORS = (502, 503, 504)


@dataclass(frozen=True)
class Address:
    """A host, and a port of it."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Address:
        """Return the address that a text gives as HOST:PORT.

        Raises:
            InputError: it gives none.
        """
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):([0-9]{1,5})", text)
        if not found or not 1 <= int(found[2]) <= 65535:
            raise InputError(
                f"the SuperLink's address {text!r} must be HOST:PORT with the port that "
                "start_superlink.sh got, without https://, such as fl.example.org:9443"
            )
        return cls(found[1].strip("[]"), int(found[2]))

    def __str__(self) -> str:
        """As it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def without_local_proxy(environment: Mapping[str, str], *hosts: str) -> dict[str, str]:
    """Return the environment in which processes of this machine reach each other directly.

    Args:
        environment: as it is.
        hosts: names and addresses of this machine other than those of the loopback.
    """
    # as Flower's HTTP client reads them: the name in small letters wins, even when it is empty
    given = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    values = {"no_proxy": given, "NO_PROXY": given}
    if own := environment.get("no_grpc_proxy"):  # gRPC prefers it to no_proxy
        values["no_grpc_proxy"] = own
    return dict(environment) | {
        name: ",".join(
            dict.fromkeys([*filter(None, map(str.strip, value.split(","))), *LOOPBACK, *hosts])
        )
        for name, value in values.items()
    }


@dataclass(frozen=True)
class Proxy:
    """A proxy that Flower's HTTP client takes, and the variable that names it."""

    address: str
    variable: str

    @classmethod
    def of_environment(cls) -> Proxy | None:
        """Return the proxy for HTTPS, if there is one."""
        given = urllib.request.getproxies()
        for scheme in ("https", "all"):
            if url := given.get(scheme):
                names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
                variable = next((name for name in names if os.environ.get(name)), "the system")
                return cls(url.rpartition("@")[2].rpartition("://")[2].rstrip("/"), variable)
        return None

    def __str__(self) -> str:
        """Without the password that may be in it."""
        return f"the proxy {self.address} (from {self.variable})"


@dataclass(frozen=True)
class Reached:
    """The SuperLink was reached.

    Attributes:
        way: that was taken, in words.
        valid_until: of its certificate, in seconds since 1970.
    """

    way: str
    valid_until: float


def probe(address: Address, certificate: Path) -> str:
    """Return the way to the SuperLink, in words; see :func:`reach`."""
    return reach(address, certificate).way


def reach(address: Address, certificate: Path) -> Reached:
    """Reach the SuperLink as Flower does, which for its part tries for ever and names no cause.

    Raises:
        InputError: there is no way, and why.
    """
    way = _Way(address, certificate)
    try:
        read_file(certificate, _LARGEST)  # OpenSSL waits for ever at a pipe
        # the certificate and the environment's proxies are what Flower's own client gets
        context = ssl.create_default_context(cafile=str(certificate))
        client = httpx.Client(verify=context, timeout=_SECONDS)
    except (InputError, OSError, ssl.SSLError) as error:
        raise InputError(
            f"{certificate} cannot be read as certificates of an authority ({error}); "
            "ask the server's administrator for ca.crt"
        ) from None
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise InputError(_unusable_proxies(error)) from None
    with client:
        try:
            # as a SuperNode does, but without a key: the answer is 401
            response = client.post(
                f"https://{address}/v1/fleet/activate-node",
                headers={"content-type": "application/protobuf"},
                extensions={"trace": way.trace},
            )
        except httpx.HTTPError as error:
            raise InputError(way.cause(error)) from None
        except httpx.InvalidURL as error:
            raise InputError(
                f"'{shown(address.host)}' is no name of a host ({shown(error)}); correct the "
                "SuperLink's address"
            ) from None
    if response.status_code in _SERVER_ERRORS:
        raise InputError(
            f"{address} answers {response.status_code} {response.reason_phrase}: what listens "
            "there does not reach the SuperLink behind it; tell the server's administrator"
        )
    _check_clock(address, response.headers.get("date"))
    return Reached(way.taken(), way.valid_until)


def _unusable_proxies(error: Exception) -> str:
    given = urllib.request.getproxies()
    for scheme in ("https", "http", "all"):
        url = given.get(scheme, "")
        if "://" in url and not url.startswith(("http://", "https://")):
            kind = url.partition("://")[0]
            return (
                f"{scheme}_proxy names a {kind} proxy, and Flower takes http:// and https:// "
                f"proxies alone; unset {scheme}_proxy {scheme.upper()}_PROXY, and name an HTTP "
                "proxy in https_proxy if the SuperLink is reached through one"
            )
    return (
        f"the proxy settings of this shell cannot be read ({error}); correct no_proxy, https_proxy,"
        " http_proxy and all_proxy (host names and addresses, without brackets), or unset them"
    )


def _check_clock(address: Address, date: str | None) -> None:
    parsed = email.utils.parsedate_tz(date) if date else None
    if parsed is None:
        return
    there, here = email.utils.mktime_tz(parsed), time.time()
    if abs(here - there) > _CLOCK_SECONDS:
        ours, theirs = (email.utils.formatdate(when, usegmt=True) for when in (here, there))
        raise InputError(
            f"the clock of this machine says {ours} and that of {address} {theirs}; Flower refuses "
            "more than five minutes between them: set the wrong one right"
        )


class _Way:
    """What the HTTP client tells of its connection while it makes it."""

    def __init__(self, address: Address, certificate: Path) -> None:
        self._address, self._certificate = address, certificate
        self._proxy: Proxy | None = None
        self._reached = False  # the SuperLink, be it through a proxy
        self._connected = False
        self.valid_until = 0.0  # the server's certificate, as the last one that was shown

    def trace(self, event: str, told: Mapping[str, Any]) -> None:
        """Take an event of httpcore."""
        if event == "connection.connect_tcp.started":
            peer = (str(told["host"]), int(told["port"]))
            if peer != (self._address.host, self._address.port):
                self._proxy = Proxy.of_environment()
        elif event == "connection.connect_tcp.complete":
            self._connected = True
        elif event.endswith("start_tls.started"):
            self._reached = told["server_hostname"] == self._address.host
        elif event.endswith("start_tls.complete"):
            certificate = told["return_value"].get_extra_info("ssl_object").getpeercert()
            self.valid_until = ssl.cert_time_to_seconds(certificate["notAfter"])

    def taken(self) -> str:
        """Return the way, in words."""
        return f"through {self._proxy}" if self._proxy else "directly"

    def cause(self, error: httpx.HTTPError) -> str:
        """Return what failed, and what to do."""
        root: BaseException | None = error
        while root is not None and not isinstance(root, OSError):
            root = root.__cause__ or root.__context__  # httpcore suppresses what lies behind
        if self._proxy is not None and not self._reached:
            return self._cause_at_proxy(self._proxy, error, root)
        if isinstance(root, ssl.SSLError):
            return self._cause_in_tls(root)
        where = str(self._address)
        reason = root and root.strerror
        said = str(error).rstrip(".") or type(error).__name__
        late = isinstance(error, httpx.TimeoutException)
        return _first_that_applies(
            (
                isinstance(root, socket.gaierror),
                f"the host name {self._address.host!r} is unknown here ({reason}); correct "
                "the address, or ask the server's administrator",
            ),
            (
                late and self._connected,
                f"{where} takes the connection and then says nothing for {_SECONDS:.0f} "
                "seconds: another program listens there, or the SuperLink hangs; correct the "
                "address, or tell the server's administrator",
            ),
            (
                late,
                f"{where} does not answer within {_SECONDS:.0f} seconds: a firewall here or at the "
                "server drops the connection; ask both sides to admit it",
            ),
            (
                isinstance(root, ConnectionRefusedError),
                f"nobody listens at {where} (connection refused); start the SuperLink there, or "
                "correct the address",
            ),
            (
                True,
                f"{where} cannot be reached {self.taken()} ({said}); correct the address, or ask "
                "the server's administrator what is in the way",
            ),
        )

    def _cause_at_proxy(self, proxy: Proxy, error: httpx.HTTPError, root: OSError | None) -> str:
        bypass = f'bypass it: export no_proxy="$no_proxy,{self._address.host}"'
        said = str(error)
        reason = (root and root.strerror) or said.rstrip(".")
        if isinstance(error, httpx.TimeoutException):
            reason = f"no answer within {_SECONDS:.0f} seconds"
        answered = isinstance(error, httpx.ProxyError)
        return _first_that_applies(
            (
                answered and said.startswith("407"),
                f"{proxy} wants a user name and a password ({said}): give them as "
                f"http://USER:PASSWORD@{proxy.address} in {proxy.variable}, or {bypass}",
            ),
            (
                answered and said.startswith(tuple(map(str, _SERVER_ERRORS))),
                f"{proxy} does not reach {self._address} ({said}): see with its administrator "
                f"and the server's whether the SuperLink runs, or {bypass}",
            ),
            (
                answered,
                f"{proxy} refuses the connection to {self._address} ({said}): ask its "
                f"administrator to allow CONNECT to {self._address}, or {bypass}",
            ),
            (True, f"{proxy} cannot be used ({reason}): correct {proxy.variable}, or {bypass}"),
        )

    def _cause_in_tls(self, error: ssl.SSLError) -> str:
        host, where = self._address.host, str(self._address)
        behind = (
            f"; it is reached {self.taken()}, which must pass TLS through unopened"
            if self._proxy
            else ""
        )
        if not isinstance(error, ssl.SSLCertVerificationError):
            return f"{where} does not speak TLS ({error.reason}), so it is no SuperLink{behind}"
        reason = error.verify_message.rstrip(".")
        if "expired" in reason or "not yet valid" in reason:
            return (
                f"the certificate of {where} is out of date ({reason}): see that the clock here is "
                "right, and ask the server's administrator for a new certificate"
            )
        return (
            f"{where} does not show a certificate for {host} that is signed by {self._certificate} "
            f"({reason}): ask the server's administrator for ca.crt, and for the name it is made "
            f"for{behind}"
        )


def _first_that_applies(*told: tuple[bool, str]) -> str:
    return next(text for applies, text in told if applies)


def check_port(host: str, port: int, what: str, remedy: str) -> None:
    """See that a port of this machine can be listened at.

    Raises:
        InputError: it cannot; the program that listens there is named where the system tells it.
    """
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen()
    except UnicodeError as error:  # of a name that is none
        raise InputError(f"{what} cannot listen at {shown(host)} ({shown(error)})") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = f"is taken by {_listener(port)}"
        elif error.errno in (errno.EACCES, errno.EPERM):
            told = "is closed to this account (ports below 1024 are the system's)"
        else:
            raise InputError(
                f"{what} cannot listen at {shown(host)} ({error.strerror}): name an address of "
                "this machine"
            ) from None
        raise InputError(f"port {port}, for {what}, {told}: {remedy}") from None


def _listener(port: int) -> str:
    """Return the program that listens at a port, as far as this account may know."""
    if ss := shutil.which("ss"):
        command = [ss, "--listening", "--tcp", "--numeric", "--processes", "--no-header"]
        told = subprocess.run(
            [*command, f"sport = :{port}"], capture_output=True, text=True, check=False
        ).stdout
        if found := re.search(r'\(\("([^"]+)",pid=(\d+)', told):
            return f"{found[1]} (process {found[2]})"
    return "another program"
