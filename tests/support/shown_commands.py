"""The commands that the documentation shows: how they are found, and which a test runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from kedro_project import PROJECT

_FENCE = re.compile(r"^ *(```+)(\w*)\n(.*?)^ *\1", re.MULTILINE | re.DOTALL)
_PROGRAM = (
    r"(?:[A-Z_]+=\S+ )*"  # variables of the environment
    r"(?:kedro|make|mlflow|flwr|ray|sbatch|pip|pytest|python3?|zensical|umask|export|ssh-keygen"
    r"|\.venv/bin/\w+|(?:\S*/)?(?:deploy|benchmarks)/\S+\.(?:sh|py))"
)
_LINE = re.compile(_PROGRAM + r"\s")
_INLINE = re.compile(_PROGRAM + r"\s+[^\s/]")


def pages() -> list[Path]:
    """Return the pages that a person reads."""
    return [
        PROJECT / "README.md",
        PROJECT / "CONTRIBUTING.md",
        *sorted((PROJECT / "docs").glob("*.md")),
    ]


def commands(text: str) -> list[str]:
    """Return the commands of a page, in blocks and in the text, without their comments.

    >>> commands("Run `kedro registry list`.\\n\\n```bash\\nmake test   # all tests\\n```\\n")
    ['make test', 'kedro registry list']
    """
    found = []
    for _, language, body in _FENCE.findall(text):
        if language in ("", "bash", "text"):
            lines = re.sub(r"\\\n\s*", " ", body).splitlines()
            lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in lines]
            found += [line for line in lines if _LINE.match(line)]
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _FENCE.sub("", text))
    return found + [one for one in inline if _INLINE.match(one)]


_LISTED = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))

RUN: dict[str, tuple[str, str]] = {one: tuple(by) for one, by in _LISTED["run"].items()}
"""Command -> the file that runs it, and words of that file which do."""

NOT_RUN: list[str] = [one for commands in _LISTED["not_run"].values() for one in commands]
"""Commands that no test runs."""

NOT_RUN_BEGINNINGS: list[str] = [
    one for commands in _LISTED["not_run_beginnings"].values() for one in commands
]
"""Beginnings of further ones."""
