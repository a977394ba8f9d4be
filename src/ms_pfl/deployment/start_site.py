"""Starts a site and watches it: what deploy/start_site.sh runs.

A site is two processes: Flower's SuperNode, which talks to the server, and the one that answers
its messages (:mod:`ms_pfl.deployment.client_process`). Each ends with the other.

Flower tries for ever where it does not get through, and gives one reason for many. So whatever can
be seen before is seen before, and an end of the SuperNode is given its cause.
"""

from __future__ import annotations

import functools
import os
import resource
import secrets
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from ms_pfl.deployment.arguments import key_values, port_number, whole_path
from ms_pfl.deployment.network import (
    Address,
    check_port,
    probe,
    without_local_proxy,
)
from ms_pfl.deployment.policy import read_policy
from ms_pfl.deployment.processes import end_with_parent, set_limit
from ms_pfl.deployment.rights import OWN_FILES_ALONE, check_own_folders, open_to_others, read_file
from ms_pfl.deployment.settings import SiteSettings, read_parameters, read_settings, toml_text
from ms_pfl.errors import InputError
from ms_pfl.folder_lock import FolderLock, hold

TRIES = 6
_SECONDS_BETWEEN = 20.0
_SECONDS_OF_A_START = 60.0
HOST = "127.0.0.1"
_TAKEN = "address already in use"
_REFUSED = "[code: 2004]"  # Flower's error code for a SuperNode that is not activated
_WHERE = "start_site.sh"
PORT_ARGUMENT = "the 7th argument must be the PORT of the site's own processes, such as 9094"
PORT_REMEDY = "name another port as the 7th argument of start_site.sh"
_LARGEST = 1_000_000  # bytes of a key
_SECRET = ".runtime-secret"
_LOOK = 0.1
_SECONDS_TO_END = 10.0


@dataclass(frozen=True)
class SiteStart:
    """The arguments of start_site.sh, checked as far as this machine alone can tell."""

    address: Address
    certificate: Path
    key: Path
    port: int
    settings: SiteSettings

    @classmethod
    def read(cls, arguments: Sequence[str]) -> SiteStart:
        """Read SUPERLINK CA_CERTIFICATE PRIVATE_KEY COUNTRY REGISTRY SITE [PORT [KEY=VALUE...]].

        Raises:
            InputError: an argument cannot be used.
        """
        if len(arguments) < 6:
            raise InputError(
                f"{_WHERE} takes SUPERLINK CA_CERTIFICATE PRIVATE_KEY COUNTRY REGISTRY_FOLDER "
                "SITE_FOLDER, and then PORT and KEY=VALUE"
            )
        superlink, certificate, key, country, registry, folder, *rest = arguments
        port = rest[0] if rest else "9094"
        number = port_number(port, f"{_WHERE}: {PORT_ARGUMENT}")
        given = {
            "country": country.strip(),
            "registry-folder": str(_readable(registry)),
            "site-folder": str(whole_path(folder)),
            **further_settings(rest[1:]),
        }
        settings = read_settings(SiteSettings, given, _WHERE)
        if settings.project:
            read_parameters(settings.project, settings.env)
        check_key(whole_path(key))
        return cls(
            Address.read(superlink), whole_path(certificate), whole_path(key), number, settings
        )

    @property
    def folder(self) -> Path:
        """The site folder."""
        return Path(self.settings.site_folder)

    @property
    def secret(self) -> Path:
        """The file by which the SuperNode knows the process that may take its messages."""
        return self.folder / _SECRET

    def answering_command(self) -> list[str]:
        """Return the command that starts the process that answers messages."""
        return [
            sys.executable, "-P", "-m", "ms_pfl.deployment.client_process", str(self.port),
            str(self.secret), self.settings.country, str(self.folder),
        ]  # fmt: skip

    def command(self) -> list[str]:
        """Return the command that starts the SuperNode, which starts no process of its own."""
        config = " ".join(
            f"{name.replace('_', '-')}={toml_text(value) if isinstance(value, str) else value}"
            for name, value in asdict(self.settings).items()
            if value != ""
        )
        return [
            "flower-supernode", "--root-certificates", str(self.certificate),
            "--auth-supernode-private-key", str(self.key), "--superlink", str(self.address),
            "--host", HOST, "--port", str(self.port), "--isolation", "process",
            "--superexec-auth-secret-file", str(self.secret), "--node-config", config,
        ]  # fmt: skip


def _readable(text: str) -> Path:
    path = whole_path(text)
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise InputError(
            f"the registry folder {path} cannot be read ({error.strerror}); name the folder of the "
            "site's tables, and let this account read it"
        ) from None
    return path


def further_settings(arguments: Sequence[str]) -> dict[str, str]:
    """Return the settings after the port: KEY=VALUE, a text maybe in TOML's quotation marks.

    Raises:
        InputError: an argument is none.
    """
    known = [field.name for field in fields(SiteSettings) if field.default == ""]
    found = key_values(arguments, known, _unquoted, _WHERE)
    if found.get("project"):
        found["project"] = str(whole_path(found["project"]))
    return found


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"') and text[1:].endswith(text[0]):
        try:
            return str(tomllib.loads(f"value = {text}")["value"])
        except tomllib.TOMLDecodeError:
            return text[1:-1]
    return text


def check_key(path: Path) -> EllipticCurvePrivateKey:
    """Return a site's private key.

    Raises:
        InputError: it cannot be used.
    """
    try:
        content = read_file(path, _LARGEST)
    except OSError as error:
        raise InputError(
            f"the private key {path} cannot be read ({error.strerror}); make a pair by make_key.sh "
            "and give the file without .pub, which this account must be able to read"
        ) from None
    try:
        key = load_ssh_private_key(content, None)
    except TypeError:
        raise InputError(
            f"the private key {path} has a passphrase, which nobody types into a SuperNode; make a "
            "pair without one by make_key.sh"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise InputError(
            f"{path} is no private key of the kind that Flower takes (ECDSA, as OpenSSH writes "
            "it); make a pair by make_key.sh and give the file without .pub"
        )
    return key


class Watch:
    """A site's processes: started, started again where that may help, and stopped by a signal."""

    def __init__(self, site: SiteStart, lock: FolderLock, environment: Mapping[str, str]) -> None:
        """Start nothing yet."""
        self._site, self._lock, self._environment = site, lock, dict(environment)
        self._stopped = False

    def stop(self, *_: object) -> None:
        """End the site, and this watch with it; a signal handler."""
        self._stopped = True

    def run(self) -> int:
        """Watch the SuperNode until it ends for good; the exit code.

        Raises:
            InputError: it ended by a cause that the site's people can remove.
        """
        country, key = self._site.settings.country, self._site.key
        why = (
            f'The SuperLink has refused "{country}": {key}.pub is not registered there, or another '
            "SuperNode with this key is connected, or the SuperLink has not noticed yet that the "
            "site was away (a minute)"
        )
        for number in range(1, TRIES + 1):
            began = time.monotonic()
            code, said = self._once()
            if self._stopped:
                return 0
            lasted = time.monotonic() - began
            if _REFUSED not in said or lasted > _SECONDS_OF_A_START:
                return self._ended(code, said, lasted)
            if number < TRIES:
                print(
                    f"{why}; trying again in {_SECONDS_BETWEEN:.0f} seconds",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
                until = time.monotonic() + _SECONDS_BETWEEN
                while time.monotonic() < until and not self._stopped:
                    time.sleep(_LOOK)
                if self._stopped:
                    return 0
        raise InputError(f"{why}. Given up: ask the server's administrator to register the key")

    def _once(self) -> tuple[int, str]:
        """Run the site to its end; the SuperNode's exit code, and the last of what it printed.

        Raises:
            InputError: the process that answers messages has ended.
        """
        holds = [self._lock.descriptor] if self._lock.descriptor is not None else []
        _write_secret(self._site.secret)
        node = subprocess.Popen(
            self._site.command(), env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=holds,
            preexec_fn=functools.partial(_be_a_node, read_policy(self._site.folder).memory_gib),
        )  # fmt: skip
        assert node.stdout is not None
        last: deque[bytes] = deque(maxlen=200)
        reader = threading.Thread(target=_pass_on, args=(node.stdout, last))
        reader.start()
        answering = subprocess.Popen(
            self._site.answering_command(), env=self._environment, stdin=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        )  # fmt: skip
        while node.poll() is None and answering.poll() is None and not self._stopped:
            time.sleep(_LOOK)
        code = answering.poll()
        alone = node.poll() is None and code is not None
        _end(node, answering)
        reader.join(10)
        if alone and not self._stopped:
            raise InputError(
                f'The process that answers for "{self._site.settings.country}" has ended with exit '
                f"code {code}, and the site with it; what it printed stands above"
            )
        return node.returncode, b"".join(last).decode(errors="replace")

    def _ended(self, code: int, said: str, lasted: float) -> int:
        """Say why the SuperNode has ended, other than by a refusal."""
        site = self._site
        if _TAKEN in said:
            check_port(HOST, site.port, "the site's own processes", PORT_REMEDY)
            raise InputError(
                f"port {site.port}, for the site's own processes, was taken by another program "
                f"when the SuperNode started: {PORT_REMEDY}"
            )
        if lasted <= _SECONDS_OF_A_START:
            probe(site.address, site.certificate)
        told = f'The SuperNode of "{site.settings.country}" has ended after {lasted:.0f} seconds'
        if code == 0:
            raise InputError(
                f"{told} because a signal asked it to, or because the SuperLink no longer accepts "
                "its key (see above): ask the server's administrator whether the key is registered"
            )
        print(f"{told} with exit code {code}; what it printed stands above", file=sys.stderr)
        return code if code > 0 else 1


def _pass_on(output: IO[bytes], last: deque[bytes]) -> None:
    for line in output:
        last.append(line)
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _be_a_node(memory_gib: int) -> None:
    """Be a SuperNode, which holds what the server sends before anybody has looked at it."""
    end_with_parent()
    set_limit(resource.RLIMIT_DATA, memory_gib * 2**30)


def _write_secret(path: Path) -> None:
    """Write a new secret, for this account alone."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))


def _end(*processes: subprocess.Popen[bytes]) -> None:
    """Ask processes to end, and end those that do not."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + _SECONDS_TO_END
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(arguments: Sequence[str]) -> int:
    """Start the site and watch it; the exit code."""
    os.umask(OWN_FILES_ALONE)
    try:
        site = SiteStart.read(arguments)
        check_own_folders(site.folder)
        read_policy(site.folder)
        lock = hold(site.folder, "a site", "give each site a SITE_FOLDER of its own")
        try:
            return _watch(site, lock)
        finally:
            site.secret.unlink(missing_ok=True)
            lock.release()
    except InputError as error:
        print(error, file=sys.stderr)
        return 1


def _watch(site: SiteStart, lock: FolderLock) -> int:
    for path in (site.folder, Path(site.settings.registry_folder), site.key):
        if told := open_to_others(path):
            print(f"Warning: {told}", file=sys.stderr, flush=True)
    check_port(HOST, site.port, "the site's own processes", PORT_REMEDY)
    os.environ.update(without_local_proxy(os.environ))  # which the probe's client reads
    way = probe(site.address, site.certificate)
    print(f"The SuperLink at {site.address} is reached {way}", flush=True)
    home = os.environ.get("FLWR_HOME") or str(site.folder / "flwr")
    watch = Watch(site, lock, {**os.environ, "FLWR_HOME": home, "PYTHONUNBUFFERED": "1"})
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, watch.stop)
    return watch.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
