"""The security log of a site or of a server: what was asked, decided and sent, as a hash chain.

Each line of ``security.jsonl`` is a JSON object with the fields of :class:`Entry`. The digest of a
line covers its text and the digest of the line before (SHA-256), so that no line can be changed,
inserted or removed in the middle unseen. What cannot be seen in the file itself is that its end
was cut off, or that all of it was rewritten; so each side tells the other its last digest in a
run, and the other keeps it: :func:`verify` finds it again, or the log is not the one of that time.

A log holds ids, names, shapes, counts that have left and digests. It holds no row, no patient's id
and no value of a table.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ms_pfl.errors import InputError
from ms_pfl.folder_lock import alone
from ms_pfl.text import shown

NAME = "security.jsonl"
Event = Literal[
    "started", "connected", "agreement", "approved", "revoked", "expired", "refused", "asked",
    "sent", "told", "ended", "rotated", "pinned",
]  # fmt: skip
"""``told``: the last digest that the other end has told of its own log."""
_OLD = re.compile(r"security\.([0-9]{6})\.jsonl")
FILES = 50
"""Full files that are kept."""
_LOCK = ".security.lock"
_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_BLOCK = 65_536
_LONGEST_TEXT = 1000
_Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class Entry(BaseModel):
    """A line of the log.

    Attributes:
        number: of the line, from 1, over all files.
        time: in UTC, ISO 8601.
        event: what happened.
        facts: names and values that describe it.
        previous: digest of the line before; empty at the first.
        digest: of this line and all before it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    time: str
    event: Event
    facts: dict[str, Any]
    previous: _Digest
    digest: _Digest

    def expected(self) -> str:
        """Return the digest that the line has to have."""
        told = self.model_dump(exclude={"digest"})
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class TamperedLogError(InputError):
    """A security log is not as it was written; the error names the file, the line and why."""


class SecurityLog:
    """The log in a folder, to which several processes of one machine may write."""

    def __init__(self, folder: Path, most_bytes: int = 10 * 2**20, files: int = FILES) -> None:
        """Name the folder; it is made with the first line.

        Args:
            folder: of the log.
            most_bytes: with more, a file is put aside as ``security.000001.jsonl`` and so on.
            files: that are kept; older ones are removed, which the log says.
        """
        self._folder = folder
        self._most_bytes, self._files = most_bytes, files

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._folder / NAME

    @property
    def digest(self) -> str:
        """The digest of the last line; empty without one."""
        with alone(self._folder / _LOCK), self._open() as descriptor:
            last = self._last(descriptor)
        return "" if last is None else last.digest

    def note(self, event: Event, **facts: Any) -> str:
        """Append a line; it is on the disk when this returns.

        Args:
            event: what happened.
            facts: that describe it: texts (shown on one line), numbers, lists and mappings of them.

        Returns:
            The digest of the line.

        Raises:
            OSError: the line could not be written; nothing of it stays.
            TamperedLogError: the last line of the log is none, so that nothing can follow it.
        """
        with alone(self._folder / _LOCK):
            with self._open() as descriptor:
                last = self._last(descriptor)
                size = os.fstat(descriptor).st_size
            if size > self._most_bytes:
                self._put_aside()
                size = 0
            with self._open() as descriptor:
                if last is not None and not size:
                    last = self._follow(descriptor, last)
                return self._append(descriptor, last, event, facts).digest

    @contextmanager
    def _open(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | _FLAGS, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _last(self, descriptor: int) -> Entry | None:
        """Return the last whole line; what a killed process has left of another is cut off."""
        size = os.fstat(descriptor).st_size
        end = _end_of_lines(descriptor, size)
        if end < size:
            os.ftruncate(descriptor, end)
        if end:
            begin = _end_of_lines(descriptor, end - 1)
            text = os.pread(descriptor, end - begin, begin).decode(errors="replace")
            return _read(text.removesuffix("\n"), f"{self.path}, the last line")
        old = _old_files(self._folder)
        if not old:
            return None
        return _last_of(old[-1])

    def _append(
        self, descriptor: int, last: Entry | None, event: Event, facts: Mapping[str, Any]
    ) -> Entry:
        entry = Entry(
            number=1 if last is None else last.number + 1,
            time=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            event=event,
            facts=_plain(facts),
            previous="" if last is None else last.digest,
            digest="",
        )
        entry = entry.model_copy(update={"digest": entry.expected()})
        rest = memoryview(entry.model_dump_json().encode() + b"\n")
        before = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)  # a line is whole, or absent
            raise
        return entry

    def _put_aside(self) -> None:
        old = _old_files(self._folder)
        number = 1 + (int(old[-1].name.split(".")[1]) if old else 0)
        self.path.rename(self._folder / f"security.{number:06d}.jsonl")

    def _follow(self, descriptor: int, last: Entry) -> Entry:
        """Begin a file with a line that names the one before; remove the files that are too old."""
        old = _old_files(self._folder)
        surplus = old[: -self._files]
        facts: dict[str, Any] = {"file": old[-1].name}
        if surplus:
            removed = _last_of(surplus[-1])
            facts |= {"removed-to": removed.number, "removed-digest": removed.digest}
        entry = self._append(descriptor, last, "rotated", facts)
        for file in surplus:
            file.unlink()
        return entry


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


@dataclass(frozen=True)
class Verified:
    """A log whose chain holds.

    Attributes:
        lines: that are there.
        first: number of the first of them; above 1 where old files were removed.
        digest: of the last.
    """

    lines: int
    first: int
    digest: str


class _Rotated(BaseModel):
    """The facts of the line with which a file begins, but for the first."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=_hyphens)

    file: str
    removed_to: int = 0
    removed_digest: _Digest = ""


def verify(folder: Path, known: str = "", files: int = FILES) -> Verified:
    """See that a log is as it was written.

    Args:
        folder: of the log.
        known: a digest that the other end has kept; it must be that of a line, or of the last one
            that was removed with an old file.
        files: that the log keeps; of a log that has fewer none was removed by it.

    Raises:
        TamperedLogError: a line was changed, inserted or removed, or the known digest is of none.
        InputError: there is no log, or it cannot be read.
    """
    first: Entry | None = None
    last: Entry | None = None
    old = _old_files(folder)
    removed, ends = {0: ""}, dict[int, str]()  # digests of last lines of files, by number
    found, before = not known, ""
    for path in [*old, folder / NAME]:
        for number, line in _lines(path):
            place = f"{path}, line {number}"
            entry = _following(last, line, place)
            if (number == 1 and entry.number > 1) != (entry.event == "rotated"):
                raise TamperedLogError(f"{place}: a file was removed, inserted or cut here")
            if entry.event == "rotated":
                told = _rotated(entry, place, before or _name_before(path))
                if told.removed_to in ends and ends[told.removed_to] != told.removed_digest:
                    raise TamperedLogError(f"{place}: the lines that it calls removed are others")
                removed[told.removed_to] = told.removed_digest
            found = found or entry.digest == known
            first, last = first or entry, entry
        if last is not None:
            ends[last.number] = last.digest
        before = path.name
    if first is None or last is None:
        raise InputError(f"{folder} holds no security log; name the folder of a site or server")
    by_itself = first.number == 1 or len(old) >= files
    if first.previous != removed.get(first.number - 1) or not by_itself:
        raise TamperedLogError(
            f"the log in {folder} begins with line {first.number}: lines before it were removed, "
            "and not by the log itself"
        )
    if not found and known != first.previous:
        older = f", or it is of a line before {first.number}, removed with an old file"
        raise TamperedLogError(
            f"no line of the log in {folder} has the digest {shown(known)}: lines were cut off at "
            f"its end, or it was rewritten{older if first.number > 1 else ''}"
        )
    return Verified(last.number - first.number + 1, first.number, last.digest)


def _following(last: Entry | None, line: str, place: str) -> Entry:
    """Read the line that follows another one.

    Raises:
        TamperedLogError: it is none.
    """
    entry = _read(line, place)
    if entry.digest != entry.expected() or line != entry.model_dump_json():
        raise TamperedLogError(f"{place}: the line was changed")
    if last is not None and (entry.previous, entry.number) != (last.digest, last.number + 1):
        raise TamperedLogError(
            f"{place}: it does not follow the line before: lines were removed, inserted or put in "
            "another order"
        )
    return entry


def _rotated(entry: Entry, place: str, before: str) -> _Rotated:
    """Return what a line tells of the file before.

    Raises:
        TamperedLogError: it tells of another file, or of lines that cannot have been removed.
    """
    try:
        told = _Rotated.model_validate(entry.facts)
    except ValidationError:
        told = None
    if told is None or told.file != before or not 0 <= told.removed_to < entry.number:
        raise TamperedLogError(f"{place}: it names another file than the one before")
    return told


def _name_before(path: Path) -> str:
    """Return the name of the file before a full file; empty for the present one."""
    number = _OLD.fullmatch(path.name)
    return f"security.{int(number[1]) - 1:06d}.jsonl" if number else ""


def _old_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("security.*.jsonl") if _OLD.fullmatch(file.name))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers; none where the file is absent."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removesuffix("\n")
    except FileNotFoundError:
        return
    except UnicodeDecodeError:
        raise TamperedLogError(f"{path}: it is no text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def _read(line: str, place: str) -> Entry:
    try:
        return Entry.model_validate_json(line)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "JSON"
        raise TamperedLogError(
            f"{place}: it is no line of a security log ({shown(field)})"
        ) from None


def _last_of(file: Path) -> Entry:
    *_, line = "", *file.read_text(errors="replace").splitlines()
    return _read(line, f"{file}, the last line")


def _end_of_lines(descriptor: int, size: int) -> int:
    """Return the place behind the last line break before a place of a file."""
    while size:
        begin = max(0, size - _BLOCK)
        place = os.pread(descriptor, size - begin, begin).rfind(b"\n")
        if place >= 0:
            return begin + place + 1
        size = begin
    return 0


def _plain(value: Any) -> Any:
    """Return the value as JSON has it, texts on one line."""
    if isinstance(value, Mapping):
        return {shown(name): _plain(held) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return shown(value, _LONGEST_TEXT)
