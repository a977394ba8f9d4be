"""Files that somebody else may have written: what is read of them at all, and how much.

A named pipe never ends, a device has no size, and a small file may unfold to more than the memory:
so a file is looked at before it is read, and what a parser raises is one line.
"""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.text import shown

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_MEGABYTE = 2**20
_CELL = 8  # bytes of a number; texts take more
#: Of a YAML file, its aliases followed; parameters have some hundred.
_NODES, _DEPTH = 100_000, 50
_YAML_BYTES = 4 * _MEGABYTE


class FileLimits(Section):
    """What a file of a table may hold; larger ones are refused before they are read."""

    megabytes: int = Field(
        default=2048, ge=1, description="of the file, and of its cells as numbers of 8 bytes"
    )
    columns: int = Field(default=10_000, ge=1, description="of the table")

    def check_table(
        self, path: Path, rows: int, columns: int, setting: str, unpacked: int = 0
    ) -> None:
        """Raise an InputError where a table is larger.

        Args:
            path: of its file.
            rows: that it has.
            columns: that it has.
            setting: that holds these limits.
            unpacked: bytes that the file says that it has when unpacked.
        """
        if columns > self.columns:
            raise InputError(
                f"{shown(path)} has {columns:,} columns, and {setting}.columns is "
                f"{self.columns:,}; leave out columns that are not needed, or raise it"
            )
        size = max(rows * columns * _CELL, unpacked)
        if size > self.megabytes * _MEGABYTE:
            raise InputError(
                f"{shown(path)} has {rows:,} rows in {columns:,} columns, which are "
                f"{size / _MEGABYTE:,.0f} MB in memory, and {setting}.megabytes is "
                f"{self.megabytes:,}; leave out what is not needed, or raise it"
            )


def check_regular(path: Path, megabytes: int, setting: str = "") -> None:
    """Refuse what is no regular file, or a larger one than it may be; links are followed.

    Args:
        path: of the file.
        megabytes: that it may have.
        setting: that says so, where it is one.

    Raises:
        InputError: it is something else, or larger.
        OSError: it is absent or out of reach.
    """
    _check(path, path.stat(), megabytes, setting)


def read_regular(path: Path, megabytes: int, setting: str = "") -> bytes:
    """Return the bytes of a file of which :func:`check_regular` has nothing to say.

    Raises:
        InputError: as there.
        OSError: it cannot be read.
    """
    check_regular(path, megabytes, setting)  # opening a device may do something already
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor), megabytes, setting)
        data = file.read(megabytes * _MEGABYTE + 1)
    if len(data) > megabytes * _MEGABYTE:  # files of the system have no size
        raise InputError(_too_large(path, len(data), megabytes, setting))
    return data


def _check(path: Path, status: os.stat_result, megabytes: int, setting: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise InputError(f"{shown(path)} is {kind} and no regular file; name a regular file")
    if status.st_size > megabytes * _MEGABYTE:
        raise InputError(_too_large(path, status.st_size, megabytes, setting))


def _too_large(path: Path, size: int, megabytes: int, setting: str) -> str:
    limit = f"{setting} is {megabytes:,}" if setting else f"{megabytes:,} is the most for this file"
    remedy = "raise it, if the file is what it should be" if setting else "create it again"
    return f"{shown(path)} has {size / _MEGABYTE:,.0f} MB, and {limit}; {remedy}"


def json_object(data: bytes | str) -> dict[str, Any] | None:
    """Return the JSON object that a text holds; None where it holds none, or nests too deep.

    >>> json_object(b'{"a": 1}'), json_object("[" * 100_000), json_object("7")
    ({'a': 1}, None, None)
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def check_yaml(path: Path) -> None:
    """Refuse a YAML file that is huge, nests deep, or unfolds its aliases to more than it shows.

    What is no YAML at all is left to the parser.

    Raises:
        InputError: with the file and the limit.
        OSError: it cannot be read.
    """
    data = read_regular(path, _YAML_BYTES // _MEGABYTE)
    try:
        problem = next(_too_much(data), None)
    except (yaml.YAMLError, UnicodeDecodeError):
        return
    if problem is not None:
        raise InputError(
            f"{shown(path)} {problem}; write the parameters out, without anchors and aliases"
        )


def _too_much(data: bytes) -> Iterator[str]:
    """Yield what is too much about a YAML text, from its events: nothing is built."""
    sizes: dict[str, int] = {}
    total = 0
    open_nodes: list[tuple[str | None, int]] = []
    for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(str(event.anchor), _NODES)  # an alias to what holds it never ends
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > _DEPTH:
                yield f"nests deeper than {_DEPTH} levels"
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if total > _NODES:
            yield f"holds more than {_NODES:,} entries, its aliases followed"
