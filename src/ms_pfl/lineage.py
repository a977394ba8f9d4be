"""What each file of the data folder was made from, and whether files may be combined.

A run writes a record of each file that it saves into a ledger beside the files: the digest of the
file, the digests of all files that it was made from through all steps, and the settings that had a
part in it. Files that were made from different versions of one file, or with different values of
one setting, must not meet in one step: that would be results of two runs under the name of one.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ms_pfl.files import make_folder, whole_file

#: The ledger's name in the data folder.
LEDGER = "provenance.jsonl"
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Origin:
    """What a dataset was made from, through all steps.

    Attributes:
        files: dataset -> digest of the content that was used.
        settings: parameter -> digest of the value that was used.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A file as it was saved.

    Attributes:
        digest: of its content.
        stamp: :func:`stamp` of the file as it was saved.
        step: name of the node that made it.
        code: digest of the package's source that made it.
        origin: what it was made from.
    """

    digest: str
    stamp: str
    step: str
    code: str
    origin: Origin


@dataclass(frozen=True)
class Conflict:
    """Two datasets that were not made from the same.

    Attributes:
        kind: ``file`` or ``setting``.
        name: of the dataset or parameter that they were made from.
        values: digest -> the datasets that were made from it, in order.
    """

    kind: str
    name: str
    values: Mapping[str, tuple[str, ...]]


class Ledger:
    """The records of a data folder.

    Each record is a line that is added to the file when it is made, so that a run which is killed
    leaves all records of the files that it has saved. The latest line of a dataset counts.
    """

    def __init__(self, path: Path) -> None:
        """Read the ledger; a line that was cut short counts as absent."""
        self._path = path
        self._records: dict[str, Record] = {}
        self._values: dict[str, Any] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in filter(None, lines):
            try:
                entry = json.loads(line)
            except ValueError:  # cut short by a kill
                continue
            if "value" in entry:
                self._values[entry["digest"]] = entry["value"]
            else:
                dataset, origin = entry.pop("dataset"), Origin(**entry.pop("origin"))
                self._records[dataset] = Record(origin=origin, **entry)

    def __getitem__(self, dataset: str) -> Record | None:
        """Return the record of a dataset; None: nothing is known of how it was made."""
        return self._records.get(dataset)

    def value(self, digest: str) -> Any:
        """Return the value of a setting by its digest."""
        return self._values.get(digest)

    def digest_of(self, value: Any) -> str:
        """Return the digest of a setting's value, which the ledger keeps with the next record."""
        text = json.dumps(value, sort_keys=True, default=str)
        digest = _digest(text.encode())
        if digest not in self._values:
            self._values[digest] = json.loads(text)
            self._append({"digest": digest, "value": self._values[digest]})
        return digest

    def add(self, dataset: str, record: Record) -> None:
        """Add the record of a dataset that was saved."""
        self._records[dataset] = record
        self._append({"dataset": dataset, **asdict(record)})

    def compact(self) -> None:
        """Write the ledger again without the lines that later ones have replaced."""
        used = {d for record in self._records.values() for d in record.origin.settings.values()}
        with whole_file(self._path) as part, part.open("w", encoding="utf-8") as file:
            for digest in sorted(used & set(self._values)):
                file.write(json.dumps({"digest": digest, "value": self._values[digest]}) + "\n")
            for dataset, record in sorted(self._records.items()):
                file.write(json.dumps({"dataset": dataset, **asdict(record)}) + "\n")

    def _append(self, entry: dict[str, Any]) -> None:
        make_folder(self._path.parent)
        with self._path.open("a", encoding="utf-8") as file:
            # begins with a line end: the last line may have been cut short by a kill
            file.write("\n" + json.dumps(entry) + "\n")


def stamp(path: Path) -> str | None:
    """Return sizes and times of change of a file, or of all files of a folder; None: absent."""
    return _told_of(path, _size_and_time) or None


def content_digest(path: Path) -> str:
    """Return a digest of a file's content, or of all files of a folder: 32 hexadecimal digits."""
    return _content_digest(path, stamp(path) or "")


@lru_cache(maxsize=1024)
def _content_digest(path: Path, _stamp: str) -> str:
    return _told_of(path, _file_digest)


def _told_of(path: Path, told: Callable[[Path], str]) -> str:
    """Return what is told of a file, or a digest of what is told of all files of a folder; "":
    absent."""
    if path.is_file():
        return told(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    parts = [f"{file.relative_to(path).as_posix()} {told(file)}" for file in files]
    return _digest("\x1f".join(parts).encode()) if files else ""


def _size_and_time(path: Path) -> str:
    told = path.stat()
    return f"{told.st_size} {told.st_mtime_ns}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)
        ).hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def combine(origins: Iterable[Origin]) -> Origin:
    """Return what a step's outputs are made from: all that its inputs are made from."""
    known = list(origins)
    return Origin(
        {name: digest for origin in known for name, digest in origin.files.items()},
        {name: digest for origin in known for name, digest in origin.settings.items()},
    )


def conflicts(origins: Mapping[str, Origin]) -> list[Conflict]:
    """Find the files and settings of which some datasets were made from different versions.

    Args:
        origins: dataset -> what it was made from, itself among its ``files``.
    """
    found = []
    for kind in ("files", "settings"):
        seen: dict[str, dict[str, list[str]]] = {}
        for dataset, origin in origins.items():
            for name, digest in getattr(origin, kind).items():
                seen.setdefault(name, {}).setdefault(digest, []).append(dataset)
        found += [
            Conflict(
                kind.removesuffix("s"), name, {digest: tuple(d) for digest, d in by_digest.items()}
            )
            for name, by_digest in seen.items()
            if len(by_digest) > 1
        ]
    return found


def first_difference(one: Any, other: Any, name: str) -> tuple[str, Any, Any]:
    """Find the first place at which two values of a setting differ.

    Args:
        one: a value, nested as in the configuration.
        other: another one.
        name: of the setting.

    Returns:
        The dotted name of the place, and what stands there in each.

    >>> first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "top")
    ('top.a.c', 2, 3)
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            if one.get(key) != other.get(key):
                return first_difference(one.get(key), other.get(key), f"{name}.{key}")
    return name, one, other
