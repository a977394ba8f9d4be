"""Names and values as MLflow accepts them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_KEY_LENGTH = 250
_VALUE_LENGTH = 6000
_FORBIDDEN = re.compile(r"[^\w\-. :]")


def metric_part(name: str) -> str:
    """Return a name as one part of a metric's name, such as a country after the slash.

    MLflow takes letters of any script, digits, ``_ - . :`` and spaces; anything else becomes
    ``_``. The part before the slash is what the chart view groups by, so a slash of the name's
    own goes too.

    >>> metric_part("Côte d'Ivoire")
    'Côte d_Ivoire'
    """
    part = _FORBIDDEN.sub("_", name)[:200]
    return part if part.strip(".") else part.replace(".", "_") or "_"


def metric_parts(names: list[str]) -> dict[str, str]:
    """Return the metric part of every name, numbered where two names would fall together."""
    parts: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        part, number = metric_part(name), 2
        while part in taken:
            part, number = f"{metric_part(name)} {number}", number + 1
        taken.add(part)
        parts[name] = part
    return parts


def flatten(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as MLflow params: dotted keys, text values, lengths cut.

    >>> flatten({"ray": {"num_workers": 2}, "seeds": [0, 1]})
    {'ray.num_workers': '2', 'seeds': '[0, 1]'}
    """
    flat: dict[str, str] = {}
    for key, value in parameters.items():
        name = f"{prefix}{_FORBIDDEN.sub('_', str(key))}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            flat[name[:_KEY_LENGTH]] = text[:_VALUE_LENGTH]
    return flat
