"""Answers a SuperNode's messages with the app installed here, each in a process of its own.

The parent imports once what the app needs, takes a message, sees whether it is of the agreed app
(:mod:`ms_pfl.deployment.agreed_app`), and forks a child that computes the answer within the site's
limits of memory and time. A child that is over them is ended, and the server is told that.

The parent has one thread of Python's and computes nothing, so that a fork copies no lock that is
held (numpy's own pools make themselves again in a child).
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from ms_pfl.deployment import log_to_stdout
from ms_pfl.deployment.processes import end_with_parent, set_limit
from ms_pfl.deployment.rights import OWN_FILES_ALONE
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.errors import InputError
from ms_pfl.text import shown

if TYPE_CHECKING:
    from ms_pfl.deployment.supernode import Parts, SuperNode, Task
    from ms_pfl.federation.flower import ClientApp

HOST = "127.0.0.1"
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_BETWEEN_BEATS = 10.0  # the SuperNode gives a task up after 60 without one
_SECONDS_BETWEEN_LOOKS_AT_WORK = 2.0
_NEEDED = (
    "ms_pfl.deployment.site",
    "ms_pfl.cohort.episodes",
    "ms_pfl.cohort.splits",
    "ms_pfl.evaluation.metrics",
    "ms_pfl.registry.ingest.tables",
    "pyarrow.parquet",
)
_FORK = multiprocessing.get_context("fork")
_log = logging.getLogger("ms_pfl.deployment.client_process")  # also where it is run by -m


@dataclass(frozen=True)
class Limits:
    """What one answer may take.

    Attributes:
        seconds: from the message to the answer; of computing time, as many on each core.
        memory_gib: of memory that the child asks the system for, beside what it has inherited.
    """

    seconds: float = 43_200.0
    memory_gib: float = 16.0

    def apply(self) -> None:
        """Bind this process."""
        cores = os.cpu_count() or 1
        set_limit(resource.RLIMIT_CPU, int(self.seconds * cores) + 1)
        set_limit(resource.RLIMIT_DATA, _inherited_bytes() + int(self.memory_gib * 2**30))
        set_limit(resource.RLIMIT_CORE, 0)  # a core file would hold rows
        with suppress(OSError):  # where memory runs out all the same, this process is to end
            Path("/proc/self/oom_score_adj").write_text("1000")


def _inherited_bytes() -> int:
    """Size of this process's data, as the system counts it for its limit (Linux)."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


class SupersededError(Exception):
    """There is a newer task, and so nobody waits for the present one.

    A SuperNode takes one message after the other. It has left a task behind where its run ended, or
    the SuperLink went away, while the content of the message arrived, which it then never does.
    """

    def __init__(self, newer: Task) -> None:
        """Keep the newer one."""
        super().__init__("the SuperNode has taken a newer message")
        self.newer = newer


class NoAnswerError(Exception):
    """A child has ended without an answer; the text says why, and is for the server too."""


def answer_task(
    task: Task,
    app: ClientApp,
    limits: Limits,
    log: SecurityLog,
    country: str,
    newer: Callable[[], Task | None] = lambda: None,
) -> None:
    """Answer a message, or say why not.

    Args:
        task: with the message.
        app: that answers it, if it is meant.
        limits: of the answer.
        log: of the site.
        country: what the site is called.
        newer: looks for a newer task.

    Raises:
        LostTaskError: nobody waits for the answer any more.
        SupersededError: the same, as there is a newer task.
    """
    from ms_pfl.deployment.agreed_app import AGREED, ForeignAppError, check_app
    from ms_pfl.deployment.supernode import CLIENT_APP

    task.identify()
    try:
        if task.kind != CLIENT_APP:
            raise ForeignAppError(f"it is an app of the kind {shown(task.kind, 40)}")
        check_app(task.fab, task.fab_digest)
    except ForeignAppError as error:
        reason = f"{country} starts {AGREED.name} {AGREED.version} alone: {error}"
        _note(log, what="app", run=task.run_id, fab=task.fab_digest, reason=str(error))
        _refuse(task, f"{reason}; nothing was started")
        return
    try:
        parts = _in_a_child(task, app, limits, newer)
    except NoAnswerError as error:
        _note(log, what="answer", run=task.run_id, reason=str(error))
        _refuse(task, f"{country} has no answer: {error}")
        return
    task.answer(parts)


def _note(log: SecurityLog, **facts: str | int) -> None:
    """Note a refusal; it is one also where it cannot be noted, as nothing leaves with it."""
    try:
        log.note("refused", **facts)
    except (OSError, InputError) as error:
        _log.warning("The security log cannot be written: %s", error)


def _refuse(task: Task, reason: str) -> None:
    _log.warning("%s", reason)
    task.answer(task.error(reason), failed=reason)


def _in_a_child(
    task: Task, app: ClientApp, limits: Limits, newer: Callable[[], Task | None]
) -> Parts:
    """Compute an answer in a child, and wait for it.

    Raises:
        NoAnswerError: the child was over a limit, or has ended by itself.
        LostTaskError: nobody waits for the answer any more.
        SupersededError: the same, as there is a newer task.
    """
    ours, theirs = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_compute, args=(task, app, limits, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        return _wait(task, child, ours, limits, newer)
    finally:
        child.kill()
        child.join()
        child.close()
        ours.close()


def _wait(
    task: Task,
    child: BaseProcess,
    ours: Connection,
    limits: Limits,
    newer: Callable[[], Task | None],
) -> Parts:
    began = time.monotonic()
    until = began + limits.seconds
    next_beat, next_look = 0.0, began + _SECONDS_BETWEEN_LOOKS_AT_WORK
    parts: Parts = []
    while True:
        now = time.monotonic()
        if now >= until:
            raise NoAnswerError(f"it took longer than its limit, {limits.seconds:g} seconds")
        if now >= next_beat:
            task.beat()
            next_beat = now + _SECONDS_BETWEEN_BEATS
        if now >= next_look:
            if (other := newer()) is not None:
                raise SupersededError(other)
            next_look = now + _SECONDS_BETWEEN_LOOKS_AT_WORK
        if not multiprocessing.connection.wait([ours], min(until, next_beat, next_look) - now):
            continue
        try:
            parts.append(ours.recv_bytes())
        except (EOFError, OSError):
            child.join(_SECONDS_BETWEEN_BEATS)
            if child.exitcode == 0 and parts:
                return parts
            raise NoAnswerError(_cause(child.exitcode, limits)) from None


def _cause(code: int | None, limits: Limits) -> str:
    if code == -signal.SIGXCPU:
        return f"it took more computing time than its limit, {limits.seconds:g} seconds"
    if code == -signal.SIGKILL:
        return "the system has ended it (is the machine short of memory?)"
    return f"its process has ended with code {code}"


def _compute(task: Task, app: ClientApp, limits: Limits, theirs: Connection) -> None:
    """Be the child: answer one message."""
    from ms_pfl.deployment.supernode import packed

    end_with_parent(signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid != os.getppid():
        return  # it has ended already
    limits.apply()
    try:
        message, context = task.load()
        parts = list(packed(app(message, context), context))
    except MemoryError:
        parts = task.error(f"it needed more memory than its limit, {limits.memory_gib:g} GiB")
    except Exception as error:
        # as Flower's own process tells it; what the client has kept stays as it was
        parts = task.error(f"{type(error)}:<'{error}'>")
    for part in parts:
        theirs.send_bytes(part)
    theirs.close()


def serve(
    node: SuperNode,
    app: ClientApp,
    limits: Callable[[], Limits],
    log: SecurityLog,
    country: str,
) -> None:
    """Answer one message after the other, for ever."""
    from ms_pfl.deployment.supernode import LostTaskError

    task: Task | None = None
    while True:
        task = task or node.take()
        if task is None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            continue
        present, task = task, None
        try:
            answer_task(present, app, limits(), log, country, node.take)
        except SupersededError as error:
            _log.warning("An answer has failed: %s", error)
            task = error.newer
            present.drop(str(error))
        except LostTaskError as error:
            _log.warning("An answer has failed: %s", error)
        finally:
            present.client.close()


def limits_of(site_folder: Path) -> Limits:
    """Return what the site's policy allows one answer; the ClientApp says if it cannot be read."""
    from ms_pfl.deployment.policy import read_policy

    try:
        policy = read_policy(site_folder)
    except InputError:
        return Limits()
    return Limits(policy.seconds_per_message, policy.memory_gib)


def wait_for_port(port: int) -> None:
    """Wait until the SuperNode listens."""
    while True:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def main(arguments: Sequence[str]) -> int:
    """Serve the SuperNode at PORT, whose secret is in SECRET_FILE, for COUNTRY in SITE_FOLDER."""
    port, secret_file, country, folder = arguments
    os.umask(OWN_FILES_ALONE)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    secret = Path(secret_file).read_bytes()
    wait_for_port(int(port))
    for name in _NEEDED:
        importlib.import_module(name)
    log_to_stdout()
    from ms_pfl.deployment.site import app
    from ms_pfl.deployment.supernode import SuperNode

    _log.info("Ready for messages")
    node, site = SuperNode(f"{HOST}:{port}", secret), Path(folder)
    serve(node, app, lambda: limits_of(site), SecurityLog(site), country)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
