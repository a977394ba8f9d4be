"""How the folder conf/ is read, and what is said of a parameter that cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

#: Arguments of Kedro's configuration loader: an environment's parameter files name only what
#: differs from base.
CONFIG_LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
}


def describe(
    error: ValidationError, model: type[BaseModel], moved: Mapping[str, str] | None = None
) -> str:
    """One line of a pydantic error: parameter, value and remedy; the rest are counted.

    Args:
        error: of the parameters.
        model: they were to be.
        moved: where keys of earlier versions are now.
    """
    # a key that is no more there explains why others are missing
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden" and name in (moved or {}):
        text = f"Parameter '{name}' is now '{(moved or {})[name]}'; set it there"
    elif first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'" if close else f"known are: {', '.join(known)}"
        text = f"Parameter '{name}' is unknown; {hint}"
    elif not first["loc"]:  # of several parameters together, which the message names
        text = first["msg"].removeprefix("Value error, ")
    elif first["type"] == "missing":
        text = f"Parameter '{name}' is missing from the configuration"
    else:
        value = repr(first["input"])
        value = value if len(value) <= 80 else value[:77] + "..."
        text = f"Parameter '{name}' = {value}: {first['msg'].removeprefix('Value error, ')}"
    more = error.error_count() - 1
    rest = f" ({more} more parameter{'s' if more > 1 else ''} to correct)" if more else ""
    place = "set parameters in conf/<env>/parameters*.yml or by --params"
    return f"{text}{rest}; {place}"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that stands at ``path`` below ``model``."""
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        candidates = [inner, *getattr(inner, "__args__", ())]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)
