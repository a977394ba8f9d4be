"""What the system reports of files and of its limits."""

from __future__ import annotations

import errno
import re
import resource
import shutil
from contextlib import suppress
from pathlib import Path

from ms_pfl.failures.kinds import AGAIN, Failure
from ms_pfl.failures.network import is_network
from ms_pfl.files import WRITING

#: No process or thread can be started.
NO_PROCESS = Failure(
    "The system has no process or thread left for you",
    f"raise the limit (`ulimit -u`) or end other programs, {AGAIN}",
)


def path_of(error: BaseException, causes: list[BaseException]) -> str:
    """Return the file that an error is about, or an empty text."""
    for one in causes:
        for note in getattr(one, "__notes__", ()):
            if note.startswith(WRITING):
                return str(note.removeprefix(WRITING))
    for name in ("filename2", "filename"):
        if isinstance(value := getattr(error, name, None), (str, bytes, Path)):
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return ""


def explain(error: BaseException, causes: list[BaseException]) -> Failure | None:
    """Explain an error that the system reports of a file."""
    number = error.errno if isinstance(error, OSError) else _number_in(error)
    if number is None or number not in _DISK or is_network(error):
        return None
    path = path_of(error, causes)
    cause, remedy = _DISK[number]
    file = path or "the file"
    limit = f"the limit is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"
    return Failure(
        cause.format(file=file, disk=_disk_of(path), limit=limit),
        remedy.format(file=file, again=AGAIN),
    )


# What the system reports of files -> cause and remedy.
_DISK: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("{disk} is full: {file} cannot be written", "free some space, {again}"),
    errno.EDQUOT: (
        "Your disk quota is used up: {file} cannot be written",
        "remove files or ask for more, {again}",
    ),
    errno.EFBIG: (
        "{file} would be larger than this system allows a file to be",
        "raise the limit (`ulimit -f unlimited`) or move the project to another file system, "
        "{again}",
    ),
    errno.EROFS: (
        "{file} lies on a file system that is mounted read-only",
        "mount it writable or copy the project to a disk that is, {again}",
    ),
    errno.EACCES: (
        "You have no permission for {file}",
        "ask its owner for the right to read and write it, or work in a copy of the project that "
        "is yours, {again}",
    ),
    errno.EPERM: (
        "The system does not permit to write or change {file}",
        "ask its owner or the administrator for the right (`lsattr` shows a file that is locked), "
        "or work in a copy of the project that is yours, {again}",
    ),
    errno.EISDIR: (
        "{file} is a folder where a file belongs",
        "move the folder away, {again}",
    ),
    errno.ENOTDIR: (
        "{file}: a part of this path is a file where a folder belongs",
        "move that file away, {again}",
    ),
    errno.EEXIST: (
        "{file} exists already and is of another kind (a file where a folder belongs?)",
        "move it away, {again}",
    ),
    errno.ENOTEMPTY: ("{file} is a folder that is not empty", "move it away, {again}"),
    errno.ENAMETOOLONG: (
        "The path {file} is longer than this system allows",
        "move the project to a shorter path, {again}",
    ),
    errno.ELOOP: ("{file} is a link that leads back to itself", "correct the link, {again}"),
    errno.EMFILE: (
        "Too many files are open at once ({limit})",
        "raise the limit (`ulimit -n 65536`), {again}",
    ),
    errno.ENFILE: (
        "Too many files are open at once on this machine",
        "end other programs, {again}",
    ),
    errno.EIO: (
        "The disk reports an error at {file}",
        "check the disk or the network drive, {again}",
    ),
    errno.ESTALE: ("{file} lies on a network drive that was lost", "mount it again, {again}"),
    errno.ENOTCONN: ("{file} lies on a network drive that was lost", "mount it again, {again}"),
    errno.EBUSY: ("Another program uses {file}", "end it, {again}"),
    errno.EAGAIN: (NO_PROCESS.cause, NO_PROCESS.remedy),
    errno.ENOENT: ("{file} does not exist", "check the path, {again}"),
}


def _number_in(error: BaseException) -> int | None:
    """The number in the text of a library that is written in Rust."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _disk_of(path: str) -> str:
    with suppress(OSError, ValueError, StopIteration):
        folder = next(one for one in Path(path or ".").absolute().parents if one.is_dir())
        return f"The disk of {folder} ({shutil.disk_usage(folder).free / 2**20:,.0f} MB free)"
    return "The disk"
