"""Starts the SuperLink and the gate before it: what deploy/start_superlink.sh runs.

The SuperLink listens at 127.0.0.1; this process is the gate. Each ends with the other: the gate
sees the SuperLink's end, and the system ends the SuperLink with the gate, however that ends.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from ms_pfl.deployment.arguments import key_values, port_number, whole_number, whole_path
from ms_pfl.deployment.gate import GateLimits, GateLoop, GateServer
from ms_pfl.deployment.network import check_port, without_local_proxy
from ms_pfl.deployment.processes import end_with_parent
from ms_pfl.deployment.rights import OWN_FILES_ALONE, open_to_others, read_file
from ms_pfl.deployment.security_log import Event, SecurityLog
from ms_pfl.errors import InputError
from ms_pfl.folder_lock import FolderLock, hold

INNER_HOST = "127.0.0.1"
_WHERE = "start_superlink.sh"
_GRPC = ("FLWR_INTERNAL_GRPC_CONTROL_API", "FLWR_INTERNAL_GRPC_FLEET_API")
"""What has Flower open further ports, on all networks."""
_LARGEST = 1_000_000  # bytes of a certificate or key
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
_LOOK = 0.1


@dataclass(frozen=True)
class SuperLinkStart:
    """The arguments of start_superlink.sh, checked as far as this machine alone can tell."""

    certificates: Path
    state: Path
    host: str
    port: int
    inner_port: int
    limits: GateLimits

    @classmethod
    def read(cls, arguments: Sequence[str]) -> SuperLinkStart:
        """Read CERTIFICATES STATE [HOST [PORT [INNER_PORT [KEY=VALUE...]]]].

        Raises:
            InputError: an argument cannot be used.
        """
        defaults = ("127.0.0.1", "9443", "9444")
        certificates, state, *rest = arguments
        host, port, inner = (*rest[:3], *defaults[len(rest[:3]) :])
        found = cls(
            whole_path(certificates),
            whole_path(state),
            host,
            _port(port, "PORT"),
            _port(inner, "INNER_PORT"),
            _limits(rest[3:]),
        )
        if found.port == found.inner_port:
            raise InputError(
                f"{_WHERE}: PORT and INNER_PORT are both {found.port}; the sites' port and the "
                "SuperLink's own have to differ"
            )
        if not host:  # which would be all networks
            raise InputError(
                f"{_WHERE}: HOST is empty; name an address of this machine, or 0.0.0.0 for all "
                "networks"
            )
        _check_certificates(found.certificates)
        return found

    def command(self) -> list[str]:
        """Return the command that starts the SuperLink."""
        names = {"certfile": "server.pem", "keyfile": "server.key", "ca-certfile": "ca.crt"}
        return [
            "flower-superlink",
            *(part for kind, name in names.items()
              for part in (f"--ssl-{kind}", str(self.certificates / name))),
            "--enable-supernode-auth", "--database", str(self.state / "superlink.db"),
            "--log-file", str(self.state / "superlink.log"),
            "--disable-runtime-dependency-installation",
            "--host", INNER_HOST, "--port", str(self.inner_port),
        ]  # fmt: skip


def _port(text: str, name: str) -> int:
    return port_number(text, f"{_WHERE}: {name} must be a number such as 9443")


def _limits(arguments: Sequence[str]) -> GateLimits:
    known = [field.name.replace("_", "-") for field in fields(GateLimits)]
    found = key_values(arguments, known, whole_number, _WHERE, "NUMBER")
    return GateLimits(**{name.replace("-", "_"): value for name, value in found.items()})


def _check_certificates(folder: Path) -> None:
    """See that the certificates can be used.

    Raises:
        InputError: a file is absent, closed to this account, or of another kind.
    """
    for name in ("server.pem", "server.key", "ca.crt"):
        try:
            read_file(folder / name, _LARGEST)
        except OSError as error:
            raise InputError(
                f"{folder / name} cannot be read ({error.strerror}); CERTIFICATES must be the "
                "folder that make_certificates.sh made, readable by this account"
            ) from None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key", password="")
        context.load_verify_locations(folder / "ca.crt")
    except ssl.SSLError as error:
        raise InputError(
            f"{folder}: server.pem, server.key and ca.crt do not belong together, or are not PEM "
            f"({error}); make them again by make_certificates.sh, in a new folder"
        ) from None


def main(arguments: Sequence[str]) -> int:
    """Run the SuperLink and its gate until one of them ends; the exit code."""
    os.umask(OWN_FILES_ALONE)
    try:
        start = SuperLinkStart.read(arguments)
        lock = hold(start.state, "a SuperLink", "give each SuperLink a STATE of its own")
        try:
            return _run(start, lock)
        finally:
            lock.release()
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


def _run(start: SuperLinkStart, lock: FolderLock) -> int:
    check_port(
        start.host, start.port, "the sites",
        f"name another port as the 4th argument of {_WHERE}",
    )  # fmt: skip
    check_port(
        INNER_HOST, start.inner_port, "the SuperLink",
        f"name another port as the 5th argument of {_WHERE}",
    )  # fmt: skip
    for path in (start.state, start.certificates / "server.key"):
        if told := open_to_others(path):
            print(f"Warning: {told}", file=sys.stderr, flush=True)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the gate says it in a line
    environment = without_local_proxy(os.environ, start.host)
    environment["FLWR_HOME"] = environment.get("FLWR_HOME") or str(start.state / "flwr")
    for name in _GRPC:
        environment.pop(name, None)
    with asyncio.Runner(loop_factory=GateLoop) as runner:
        return runner.run(_live(start, lock, environment))


async def _live(start: SuperLinkStart, lock: FolderLock, environment: Mapping[str, str]) -> int:
    """Run the two until a signal, or the end of one of them."""
    stopped = asyncio.Event()
    for kind in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(kind, stopped.set)
    holds = [lock.descriptor] if lock.descriptor is not None else []
    # of the main thread: the system ends the child with the thread that has started it
    superlink = subprocess.Popen(
        start.command(), env=dict(environment), stdin=subprocess.DEVNULL, pass_fds=holds,
        preexec_fn=end_with_parent,
    )  # fmt: skip
    try:
        await _listening(start.inner_port, superlink, stopped)
        if superlink.poll() is None and not stopped.is_set():
            await _serve(start, superlink, stopped)
        if stopped.is_set():
            return 0
        code = superlink.poll()
        if code is None:
            raise InputError(
                f"port {start.port}, for the sites, cannot be listened at: name another port as "
                f"the 4th argument of {_WHERE}"
            )
        print(
            f"The SuperLink has ended with exit code {code}; what it printed stands above. The "
            "gate ends too",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        return code if code > 0 else 1
    finally:
        await asyncio.shield(_end(superlink))


async def _listening(port: int, superlink: subprocess.Popen[bytes], stopped: asyncio.Event) -> None:
    """Wait until the SuperLink listens, or has ended.

    Raises:
        InputError: it does neither.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _SECONDS_TO_START
    while superlink.poll() is None and not stopped.is_set():
        with suppress(OSError), socket.create_connection((INNER_HOST, port), timeout=1):
            return
        if loop.time() > until:
            raise InputError(
                f"the SuperLink does not listen at {INNER_HOST}:{port} after "
                f"{_SECONDS_TO_START:.0f} seconds; what it printed stands above"
            )
        await asyncio.sleep(_LOOK)


async def _serve(
    start: SuperLinkStart, superlink: subprocess.Popen[bytes], stopped: asyncio.Event
) -> None:
    """Be the gate until the SuperLink ends, a signal arrives, or the port cannot be had."""
    gate = GateServer(
        start.certificates, start.host, start.port, f"https://{INNER_HOST}:{start.inner_port}",
        start.limits, functools.partial(tell, SecurityLog(start.state)),
    )  # fmt: skip
    serving = asyncio.create_task(gate.serve())
    told = False
    try:
        while superlink.poll() is None and not stopped.is_set() and not serving.done():
            if gate.started and not told:
                told = True
                print(
                    f"The gate at {start.host}:{start.port} passes the sites to the SuperLink; "
                    f"flwr reaches it at {INNER_HOST}:{start.inner_port}, from this machine alone",
                    flush=True,
                )
            await asyncio.sleep(_LOOK)
    finally:
        gate.should_exit = True
        with suppress(SystemExit):  # uvicorn's, where it cannot listen
            await serving


async def _end(superlink: subprocess.Popen[bytes]) -> None:
    """Ask the SuperLink to end, and end it if it does not."""
    if superlink.poll() is None:
        superlink.terminate()
    loop = asyncio.get_running_loop()
    until = loop.time() + _SECONDS_TO_END
    while superlink.poll() is None:
        if loop.time() > until:
            superlink.kill()
        await asyncio.sleep(_LOOK)


def tell(log: SecurityLog, event: Event, **facts: object) -> None:
    """Print what the gate tells, in one line, and note it in the security log."""
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    told = " ".join(f"{name}={value!r}" for name, value in facts.items())
    print(f"{when} gate: {event} {told}", flush=True)
    try:
        log.note(event, **facts)
    except (OSError, InputError) as error:  # the gate stays closed to the same all the same
        print(f"The security log cannot be written: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
