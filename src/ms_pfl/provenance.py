"""Digests of what a result stands on: the source of this package, and the episodes."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import ms_pfl

if TYPE_CHECKING:
    import pandas as pd


@cache
def source_digest() -> str:
    """Return a digest of this package's source, 32 hexadecimal digits."""
    folder = Path(ms_pfl.__path__[0])
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def git_commit(folder: Path) -> str | None:
    """Return the commit that a folder's repository is at, 40 hexadecimal digits.

    None where the folder is in no repository, the repository has no commit, or git is absent.
    """
    command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def data_digest(episodes: pd.DataFrame) -> str:
    """Return a digest of a table of episodes, 32 hexadecimal digits.

    The order of rows does not change it; every name and every value does.

    Args:
        episodes: with a column episode_id.
    """
    from pandas.util import hash_pandas_object

    rows = hash_pandas_object(
        episodes.sort_values("episode_id", kind="stable", ignore_index=True), index=False
    )
    digest = hashlib.blake2b("\x1f".join(map(str, episodes.columns)).encode(), digest_size=16)
    digest.update(rows.to_numpy().tobytes())
    return digest.hexdigest()
