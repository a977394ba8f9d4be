"""The arguments of the start scripts: ports, paths, and settings as KEY=VALUE."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from ms_pfl.errors import InputError
from ms_pfl.text import shown

_DIGITS = 9  # of a number at most; a longer one is no setting
Value = TypeVar("Value")


def whole_number(text: str) -> int:
    """Return a number above 0 that stands in digits alone.

    Raises:
        ValueError: the text is another.

    >>> whole_number("9443")
    9443
    """
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS or not int(text):
        raise ValueError("no whole number above 0")
    return int(text)


def port_number(text: str, error: str) -> int:
    """Return the number of a port.

    Args:
        text: of the argument.
        error: what to say of another.

    Raises:
        InputError: the text is no number of a port.
    """
    try:
        port = whole_number(text)
    except ValueError:
        port = 0
    if not 1 <= port <= 65535:
        raise InputError(f"{error}, not '{shown(text)}'")
    return port


def whole_path(text: str | Path) -> Path:
    """Return a path with the home folder in the place of ``~``, and without links.

    Raises:
        InputError: there is no such home folder, or a link leads back to itself.
    """
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"the path {shown(text)} cannot be followed: {shown(error)}") from None


def key_values(
    arguments: Sequence[str],
    known: Collection[str],
    read: Callable[[str], Value],
    where: str,
    kind: str = "VALUE",
) -> dict[str, Value]:
    """Return settings that are written as KEY=VALUE.

    Args:
        arguments: one setting each.
        known: the keys that there are.
        read: turns the text of a value into the value; it raises ValueError where it cannot.
        where: the script, for the error.
        kind: what a value is, for the error.

    Raises:
        InputError: an argument is none of these, or a key stands there twice.
    """
    found: dict[str, Value] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        try:
            if not equals or name not in known:
                raise ValueError
            value = read(text)
        except ValueError:
            raise InputError(
                f"{where}: '{shown(argument)}' must be KEY={kind} with one of the keys "
                f"{', '.join(known)}"
            ) from None
        if name in found:
            raise InputError(f"{where}: {name} is given twice; give it once")
        found[name] = value
    return found
