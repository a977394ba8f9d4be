"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file under another name, which takes its place when the body has ended well.

    The folder is made where need be. The file's mode follows the umask, whatever the body did
    (some libraries make files that only their owner can read). Where the body fails, the file that
    was there before stays as it was, and nothing else stays beside it.

    Args:
        path: of the file.

    Yields:
        The path to write to: an empty file beside ``path``, with the same suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
