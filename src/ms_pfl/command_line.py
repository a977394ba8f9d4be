"""The text of ``--params``: read, and written for a command that can be pasted."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[/~]?[A-Za-z_][\w/.~-]*")
_OTHER_THAN_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def split_parameters(text: str) -> list[str]:
    """Split the text of ``--params`` at its commas, but not inside brackets, braces and quotes.

    Where these are not in pairs (they may be part of a path), it is split at each comma.

    >>> split_parameters("seeds=[0, 1],device=cpu,ingest.missing=['?', 'n, a']")
    ['seeds=[0, 1]', 'device=cpu', "ingest.missing=['?', 'n, a']"]
    >>> split_parameters("registry_folder=/data/a[1,device=cpu")
    ['registry_folder=/data/a[1', 'device=cpu']
    """
    items, item, depth, quote, escaped = [], "", 0, "", False
    for character in text:
        if character == "," and not depth and not quote:
            items.append(item)
            item = ""
            continue
        if quote:
            if character == quote and not escaped:
                quote = ""
            escaped = character == "\\" and quote == '"' and not escaped
        elif character in "\"'" and item.rstrip()[-1:] in ("=", "[", "{", ",", ":"):
            quote = character
        elif character in "[]{}":
            depth += 1 if character in "[{" else -1
        item += character
    items = [*items, item] if not depth and not quote else text.split(",")
    return [item.strip() for item in items if item.strip()]


def run_command(pipeline: str, env: str | None, parameters: Mapping[str, Any]) -> str:
    """Return the `kedro run` of a pipeline with the environment and parameters of another run.

    >>> run_command("recording", "smoke", {"seeds": [0, 1], "ray": {"num_workers": 0}})
    "kedro run --pipeline=recording --env=smoke '--params=seeds=[0, 1],ray.num_workers=0'"
    """
    words = ["kedro", "run", f"--pipeline={pipeline}"]
    if env not in (None, "local"):
        words.append(f"--env={env}")
    if items := list(_items(parameters)):
        words.append(f"--params={','.join(items)}")
    return shlex.join(words)


def _items(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in parameters.items():
        if isinstance(value, Mapping) and value:
            yield from _items(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={_written(value)}"


def _written(value: Any) -> str:
    plain = isinstance(value, str) and _PLAIN.fullmatch(value)
    if plain and value.lower() not in _OTHER_THAN_TEXT:
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)
