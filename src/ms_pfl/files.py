"""Files and folders that appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Begins the note that an error carries when it has stopped the writing of a file.
WRITING = "while writing "


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file under another name, which takes its place when the body has ended well.

    The folder is made where need be. The file's mode follows the umask, whatever the body did
    (some libraries make files that only their owner can read). Where the body fails, the file that
    was there before stays as it was, and nothing else stays beside it; the error carries a note
    that names the file. What a killed process has left is overwritten.

    Args:
        path: of the file.

    Yields:
        The path to write to: an empty file beside ``path``, with the same suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.unlink(missing_ok=True)  # of a killed process, with whatever mode that gave it
        part.touch()
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
    path.parent.mkdir(parents=True, exist_ok=True)
    if before.exists() and not path.exists():  # killed between the two renamings below
        before.rename(path)
    try:
        for left in (part, before):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir()
        yield part
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
