"""Write the reference of all parameters from the typed models and from the files of conf/base."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from markdown_text import code, linked, prose, table
from ms_pfl.parameters import Parameters
from yaml_comments import comments_by_key

_LONGEST = 60  # characters of a default that is shown
_INTRODUCTION = """# Parameters

This page is for whoever sets something: every parameter with the values that it takes, its
default, and what it does. It is made from the typed models that check a run's configuration and
from the comments of `conf/base`.

Set a parameter in `conf/local/parameters.yml`, in an environment (`conf/NAME/parameters.yml`,
read with `--env=NAME`), or on the command line by its dotted name: `kedro run
--params=training.federation.rounds=10`. An environment's file names only what differs from
`conf/base`. A name that is not on this page, or a value that is not allowed, stops the run before
its first step.
"""


def parameters_page(conf: Path) -> str:
    """Return the page.

    Args:
        conf: the folder conf/base.

    Raises:
        ValueError: a parameter has no value in conf/base and no default.
    """
    defaults: dict[str, Any] = {}
    comments: dict[str, str] = {}
    for path in sorted(conf.glob("parameters*.yml")):
        text = path.read_text(encoding="utf-8")
        defaults |= yaml.safe_load(text)
        comments |= comments_by_key(text)
    schema = Parameters.model_json_schema()
    sections = dict(_sections(schema, schema, "", comments))
    single = sections.pop("")
    parts = [_INTRODUCTION, _part("General", "", single, defaults, comments)]
    parts += [_part(name, name, node, defaults, comments) for name, node in sections.items()]
    return "\n".join(parts)


def _sections(
    node: Mapping[str, Any], schema: Mapping[str, Any], path: str, comments: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each section by its dotted name with its own parameters, outer sections first."""
    own, inner = {}, {}
    for name, child in node["properties"].items():
        target = _resolve(child, schema)
        (inner if "properties" in target else own)[name] = target
    note = "" if path == "" else _note(node, comments.get(path, ""))
    yield path, {"parameters": own, "note": note}
    for name, child in inner.items():
        yield from _sections(child, schema, f"{path}.{name}".lstrip("."), comments)


def _resolve(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with references replaced, also those in unions and lists."""
    node = dict(node)
    if "$ref" in node:
        target = schema["$defs"][node.pop("$ref").rpartition("/")[2]]
        node = {**target, **node, "note": target.get("description", "")}
    if "anyOf" in node:
        node["anyOf"] = [_resolve(one, schema) for one in node["anyOf"]]
        sections = [one for one in node["anyOf"] if "properties" in one]
        if sections and all(one in sections or one.get("type") == "null" for one in node["anyOf"]):
            described = node.get("description", "")
            node = {**sections[0], "optional": True, "note": described}
    if "items" in node:
        node["items"] = _resolve(node["items"], schema)
    return node


def _note(node: Mapping[str, Any], comment: str) -> str:
    """Return what a section is: the docstring of its model, its description, its comment."""
    texts = [node.get("note", ""), node.get("description", ""), comment]
    sentences: list[str] = []
    for text in filter(None, (prose(" ".join(text.split())) for text in texts)):
        if _adds(text, " ".join(sentences)):
            sentences.append(text if text[-1] in ".:" else f"{text}.")
    if node.get("optional"):
        sentences.append("The whole section may be `null`.")
    return linked(" ".join(sentences))


def _adds(text: str, said: str) -> bool:
    """Return whether at least half of the words of a text are not in another one."""
    words = set(re.findall(r"\w+", text.lower()))
    return 2 * len(words - set(re.findall(r"\w+", said.lower()))) >= max(len(words), 1)


def _part(
    title: str,
    path: str,
    section: Mapping[str, Any],
    defaults: Mapping[str, Any],
    comments: Mapping[str, str],
) -> str:
    """Return the heading, the note and the table of a section."""
    rows = []
    for name, node in section["parameters"].items():
        dotted = f"{path}.{name}".lstrip(".")
        values, default = _values(node), _default(dotted, node, defaults)
        meaning = prose(node.get("description", "").rstrip("."))
        comment = comments.get(dotted, "")
        if _adds(comment, f"{meaning} {values} {default}"):
            meaning = f"{meaning}<br>`conf/base`: {prose(comment)}" if meaning else prose(comment)
        rows.append([code(dotted), values, default, linked(meaning)])
    level = "#" * min(2 + path.count("."), 4)
    heading = f"{level} {code(title) if path else title}"
    body = table(["parameter", "values", "default", "meaning"], rows) if rows else ""
    return "\n\n".join(part for part in (heading, section["note"], body) if part) + "\n"


def _values(node: Mapping[str, Any]) -> str:
    """Return which values a parameter takes, as Markdown."""
    if "anyOf" in node:
        return " or ".join(_values(one) for one in node["anyOf"])
    if "enum" in node:
        return ", ".join(code(_shown(one)) for one in node["enum"])
    if "const" in node:
        return code(_shown(node["const"]))
    kind = node.get("type", "any value")
    if kind == "array":
        inner = node.get("items") or {}
        if "properties" in inner:
            return "list of " + code("{" + ", ".join(inner["properties"]) + "}")
        return f"list of {_values(inner)}" if inner else "list"
    if kind == "object":
        return "mapping"
    words = {"string": "text", "null": "`null`", "boolean": "`true`, `false`"}
    return " ".join([words.get(kind, kind), *_bounds(node)])


def _bounds(node: Mapping[str, Any]) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [", ".join(f"{sign} {node[key]:g}" for key, sign in signs.items() if key in node)]


def _default(dotted: str, node: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the value in conf/base, or the model's own where conf/base has none."""
    value: Any = defaults
    for part in dotted.split("."):
        if value is None:  # of a section that is null
            return ""
        if part not in value:
            if "default" not in node:
                raise ValueError(f"{dotted} has no value in conf/base")
            value = node["default"]
            break
        value = value[part]
    text = _shown(value)
    return code(text) if len(text) <= _LONGEST else f"{len(value)} entries, see `conf/base`"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
