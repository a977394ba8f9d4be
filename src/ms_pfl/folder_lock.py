"""One process at a time in a folder: whoever writes there holds its lock.

The system drops the lock with the process, however it ends.
"""

import datetime
import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ms_pfl.errors import InputError
from ms_pfl.files import make_folder

NAME = ".lock"
_SECONDS_TO_WRITE = 1.0  # that a holder may take from the lock to the text
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_log = logging.getLogger(__name__)


@dataclass
class FolderLock:
    """The lock of a folder, held by this process until ``release`` or until the process ends.

    Attributes:
        descriptor: of the file that is locked; a child that is to hold the lock too gets it passed
            on. None: there is nothing to hold.
    """

    descriptor: int | None = None

    def release(self) -> None:
        """Let others work in the folder; a second call does nothing."""
        if self.descriptor is None:
            return
        os.ftruncate(self.descriptor, 0)
        # a forked child may have the file open too: closing it here would not end the lock
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)
        self.descriptor = None


def hold(folder: Path, what: str, remedy: str = "name another folder") -> FolderLock:
    """Take the lock of a folder, which is created if it is absent.

    Args:
        folder: in which nobody else may write meanwhile.
        what: the work, as another process is to read of it: "kedro run".
        remedy: what its user can do other than wait.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written.
    """
    path = folder.resolve() / NAME
    with ExitStack() as failed:
        try:
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            failed.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _description(what), 0)
        except BlockingIOError:
            holder = _holder(descriptor)
            who = (
                f"process {holder['pid']} on {holder['host']}, started {holder['started']}"
                if holder
                else "another process"
            )
            raise InputError(
                f"{holder.get('what', what)} runs already in {path.parent}: {who}; wait for its "
                f"end, or {remedy}"
            ) from None
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                _log.warning("%s: the file system has no locks; run one process at a time", path)
                return FolderLock()
            raise InputError(
                f"{path.parent} cannot be written ({error.strerror}); name a folder that this "
                "account can write, on a disk with free space"
            ) from error
        failed.pop_all()  # the lock stays open
        return FolderLock(descriptor)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in the body with the same file, and keep others out.

    Args:
        path: of the file, which is made with its folder and stays empty.

    Raises:
        OSError: it cannot be made or locked; a link in its place is not followed.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _description(what: str) -> bytes:
    told = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "what": what,
    }
    return json.dumps(told).encode()


def _holder(descriptor: int) -> dict[str, Any]:
    """Who holds the lock; empty if that does not stand there.

    The file is empty, or describes a process that was killed, for the moment that the new holder
    needs to write into it.
    """
    until = time.monotonic() + _SECONDS_TO_WRITE
    while True:
        try:
            told: dict[str, Any] = json.loads(os.pread(descriptor, 10_000, 0))
        except ValueError:
            told = {}
        if (told and _may_live(told)) or time.monotonic() > until:
            return told
        time.sleep(0.02)


def _may_live(told: dict[str, Any]) -> bool:
    """Whether the process is on another machine, or lives on this one."""
    if told["host"] == socket.gethostname():
        try:
            os.kill(told["pid"], 0)
        except OSError as error:  # a process of another account does not permit it, and lives
            return not isinstance(error, ProcessLookupError)
    return True
