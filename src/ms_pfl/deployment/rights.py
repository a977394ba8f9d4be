"""Who else can read what: folders of a server or a site that are open to other accounts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ms_pfl.errors import InputError

OWN_FILES_ALONE = 0o077
"""The umask of the server's and the sites' processes: what they write is their account's."""

_FOLDERS = ("agreements", "masked", "runs", "sets", "snapshots")  # of a site folder


def open_to_others(path: Path) -> str | None:
    """Return who but this account gets into a folder or file, and what to do; None: nobody.

    What is not there is open to nobody.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    mode = stat.S_IMODE(found.st_mode)
    what = "-R " if stat.S_ISDIR(found.st_mode) else ""
    if found.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another account, which can read it and change its rights"
    if mode & 0o007:
        return f"{path} is open to every account of this machine: chmod {what}o= '{path}'"
    if mode & 0o020:
        return f"{path} can be written by its group: chmod {what}g-w '{path}'"
    return None


def read_own(path: Path, most: int) -> bytes:
    """Return the content of a file on which depends what leaves a site.

    Args:
        path: of the file, or of a link to it.
        most: bytes.

    Raises:
        OSError: it cannot be read.
        InputError: it is no file, has more bytes, or another account can change it.
    """
    return read_file(path, most, own=True)


def read_file(path: Path, most: int, *, own: bool = False) -> bytes:
    """Return the content of a file.

    Args:
        path: of the file, or of a link to it.
        most: bytes.
        own: whether this account alone may be able to change it.

    Raises:
        OSError: it cannot be read.
        InputError: it is no file, has more bytes, or is not ``own``.
    """
    # a pipe does not stop the process
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path} is no file")
        if own and found.st_uid not in (os.getuid(), 0):
            raise InputError(
                f"{path} belongs to another account, which can change it: put a file of this "
                "account in its place"
            )
        if own and found.st_mode & 0o022:
            raise InputError(f"{path} can be changed by other accounts: chmod go-w '{path}'")
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path} is larger than {most} bytes")
    return content


def check_own_folders(site: Path) -> None:
    """See that this account alone can change what is in a site folder.

    Args:
        site: the folder. Links in it to other folders are followed.

    Raises:
        InputError: another account can: it could put a policy, an approval or a link there.
    """
    for path in (site, *(site / name for name in _FOLDERS)):
        try:
            found = path.stat()
        except OSError:
            continue
        if not stat.S_ISDIR(found.st_mode):
            continue
        if found.st_uid not in (os.getuid(), 0):
            raise InputError(f"{path} belongs to another account; name a folder of this account")
        if found.st_mode & 0o022:
            raise InputError(f"{path} can be changed by other accounts: chmod -R go-w '{path}'")
