"""Who else can read what: folders of a server or a site that are open to other accounts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

OWN_FILES_ALONE = 0o077
"""The umask of the server's and the sites' processes: what they write is their account's."""


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
