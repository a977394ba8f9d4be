"""Read the comments of a YAML file: those beside a key, and those right above it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_COMMENT = re.compile(r"\s*#\s?(.*)")


def comments_by_key(text: str) -> dict[str, str]:
    """Return the comment of each key of a YAML file.

    Args:
        text: of the file; its root is a mapping.

    Returns:
        By dotted name of the key, such as ``ray.num_workers``: the comment lines right above the
        key at its indentation, then the comment at the end of its line. Keys without are absent.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines()
    found = {}
    for name, key, value in _keys(root, ()):
        above = _above(lines, key.start_mark.line, key.start_mark.column)
        is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        end = key.end_mark if is_block else value.end_mark
        beside = _COMMENT.fullmatch(lines[end.line][end.column :].lstrip(":,"))
        parts = [*above, beside[1].strip() if beside else ""]
        if comment := " ".join(part for part in parts if part):
            found[name] = comment
    return found


def _keys(
    node: yaml.Node, path: tuple[str, ...]
) -> Iterator[tuple[str, yaml.ScalarNode, yaml.Node]]:
    """Yield name, key and value of every entry of a mapping and of the mappings in it."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = (*path, key.value)
        yield ".".join(name), key, value
        yield from _keys(value, name)


def _above(lines: list[str], line: int, column: int) -> list[str]:
    """Return the comment lines that end right above a line, at the same indentation."""
    if lines[line][:column].strip():  # the key of a flow mapping: what is above is its parent's
        return []
    found: list[str] = []
    for text in reversed(lines[:line]):
        if not text.startswith(" " * column + "#"):
            break
        found.append(text[column + 1 :].strip())
    return found[::-1]


def first_comment(text: str) -> list[str]:
    """Return the lines of the comment that a YAML file or a shell script begins with."""
    found = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("#!"):
            found.append(line[1:].strip())
    return found
