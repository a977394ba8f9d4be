"""Files and folders that appear whole or not at all, and that other accounts cannot read.

What is written may hold rows of patients, so that files have the mode 0600 and new folders 0700,
whatever the umask. A folder that is there already keeps its mode. :data:`KEEP_UMASK` is for folders
that several accounts share on purpose.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Begins the note that an error carries when it has stopped the writing of a file.
WRITING = "while writing "
#: Set to 1, it leaves the modes of what is written to the umask.
KEEP_UMASK = "MS_PFL_KEEP_UMASK"
_OTHERS = 0o077


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file under another name, which takes its place when the body has ended well.

    The folder is made where need be. The file's mode is the one that this module gives, whatever
    the body did. Where the body fails, the file that was there before stays as it was, and nothing
    else stays beside it; the error carries a note that names the file. What a killed process has
    left is overwritten.

    Args:
        path: of the file.

    Yields:
        The path to write to: an empty file beside ``path``, with the same suffix.
    """
    make_folder(path.parent)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.unlink(missing_ok=True)  # of a killed process, with whatever mode that gave it
        part.touch(_mode(0o666), exist_ok=False)  # somebody's link in its place is not followed
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        error.add_note(f"{WRITING}{path}")
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Write a folder under another name, which takes its place when the body has ended well.

    Where the body fails, the folder that was there before stays as it was, and nothing else stays
    beside it. What a killed process has left is removed.

    Args:
        path: of the folder.

    Yields:
        The path to write to: an empty folder beside ``path``.
    """
    part, before = (path.with_name(f".{path.name}.{kind}") for kind in ("part", "before"))
    make_folder(path.parent)
    if before.exists() and not path.exists():  # killed between the two renamings below
        before.rename(path)
    try:
        for left in (part, before):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(_mode(0o777))
        yield part
        for written in part.rglob("*"):
            written.chmod(_mode(stat.S_IMODE(written.stat().st_mode)))
        if path.exists():
            path.rename(before)
        try:
            part.rename(path)
        except BaseException:
            if before.exists():
                before.rename(path)
            raise
    except BaseException as error:
        error.add_note(f"{WRITING}{path}")
        raise
    finally:
        for left in (part, before):
            shutil.rmtree(left, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, as far as they are absent."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(_mode(0o777), exist_ok=True)


@contextmanager
def private_umask() -> Iterator[None]:
    """Let whatever this process, or one that it starts, writes be closed to other accounts."""
    if _kept():
        yield
        return
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(path: Path) -> list[Path]:
    """Return what every account of this machine can read or change, of a file or below a folder.

    That is: files that others may read and folders that others may write to, where they can reach
    them through all folders above. Hidden files are left out.
    """
    whole = path.resolve()
    if not all(_lets(above, stat.S_IXOTH) for above in whole.parents):
        return []
    if whole.is_file():
        return [whole] if _lets(whole, stat.S_IROTH) else []
    found = []
    for folder, folders, files in os.walk(whole):
        place = Path(folder)
        if not _lets(place, stat.S_IXOTH):
            folders.clear()
            continue
        if _lets(place, stat.S_IWOTH) and not _lets(place, stat.S_ISVTX):
            found.append(place)
        shown = (place / name for name in sorted(files) if not name.startswith("."))
        found += [file for file in shown if _lets(file, stat.S_IROTH)]
        folders.sort()
    return found


def _lets(path: Path, right: int) -> bool:
    try:
        return bool(path.stat().st_mode & right)
    except OSError:
        return False


def _kept() -> bool:
    return os.environ.get(KEEP_UMASK) == "1"


def _mode(mode: int) -> int:
    return mode if _kept() else mode & ~_OTHERS
