"""Proposed settings: values, what is assumed, what only the site knows, and the YAML to paste."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ms_pfl.registry.ingest.parameters import YOURS
from ms_pfl.registry.ingest.refusals import quoted

#: A mapping of settings whose ends are :class:`Leaf`.
Proposal = dict[str, Any]


@dataclass(frozen=True)
class Leaf:
    """One proposed value.

    Attributes:
        value: of the setting.
        assumed: why it may be another one; "" where it is seen in the files.
        trial: what is tried in place of a value that only the site knows.
    """

    value: Any
    assumed: str = ""
    trial: Any = None

    @property
    def is_yours(self) -> bool:
        """Whether only the site knows the value."""
        return isinstance(self.value, str) and self.value.startswith(YOURS)


def yours(what: str, trial: Any) -> Leaf:
    """Return a value that only the site knows.

    >>> yours("the country of these patients", "Spain").value
    '(yours: the country of these patients)'
    """
    return Leaf(f"{YOURS}{what})", trial=trial)


def put(proposal: Proposal, leaf: Leaf, *path: str) -> bool:
    """Put a value into a proposal; return whether nothing stood there."""
    for key in path[:-1]:
        inner = proposal.setdefault(key, {})
        if isinstance(inner, Leaf):
            return False
        proposal = inner
    if path[-1] in proposal:
        return False
    proposal[path[-1]] = leaf
    return True


def settings_of(proposal: Proposal, *, trial: bool) -> dict[str, Any]:
    """Return plain settings; with ``trial`` what is tried in place of what only the site knows."""
    found: dict[str, Any] = {}
    for key, value in proposal.items():
        if isinstance(value, Leaf):
            found[key] = value.trial if trial and value.is_yours else value.value
        else:
            found[key] = settings_of(value, trial=trial)
    return found


def left_open(proposal: Proposal, path: str = "") -> list[str]:
    """Return the settings that only the site knows, each with what is meant."""
    found: list[str] = []
    for key, value in proposal.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, Leaf):
            found += [f"{where}: {value.value}"] * value.is_yours
        else:
            found += left_open(value, where)
    return found


def as_yaml(proposal: Proposal) -> str:
    """Return a proposal as YAML to paste.

    >>> found = {"ingest": {"missing": Leaf(["?"]), "encoding": Leaf("cp1252", "by its letters")}}
    >>> print(as_yaml(found), end="")
    ingest:
      missing: ["?"]
      encoding: "cp1252"  # assumed: by its letters
    """
    return "".join(f"{row}\n" for row in _lines(proposal, ""))


def _lines(proposal: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in proposal.items():
        name = str(key) if re.fullmatch(r"[A-Za-z]\w*", str(key)) else quoted(str(key))
        name = quoted(name) if name.upper() in _WORDS else name
        if not isinstance(value, Leaf):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
            continue
        comment = f"  # assumed: {value.assumed}" if value.assumed else ""
        yield f"{indent}{name}: {_scalar(value.value)}{comment}"


_WORDS = ("NO", "N", "YES", "Y", "ON", "OFF", "TRUE", "FALSE", "NULL")


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    return quoted(str(value))
