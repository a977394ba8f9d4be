"""Write the reference of all datasets from the catalog, the pipelines and the contracts."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from markdown_text import code, linked, prose, table
from ms_pfl.pipeline_registry import register_pipelines
from yaml_comments import comments_by_key

_LAYERS = {
    "raw": "Raw",
    "intermediate": "Intermediate: the four tables, checked",
    "primary": "Primary: labelled episodes",
    "feature": "Feature",
    "model_input": "Model input",
    "models": "Models",
    "model_output": "Model output",
    "reporting": "Reporting",
}
_TRAINING = "{paradigm}.{strategy}"
_CONTRACT = re.compile(r"^\| (`[^|]+?) \| ([^|]*?) ?\| ([^|]*?) ?\|$", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")
_INTRODUCTION = """# Datasets

This page is for whoever reads what a run leaves, or adds a step to it: every dataset of the
catalog with its file, the step that writes it, what it holds, and its columns where they are
checked. It is made from `conf/base/catalog.yml`, the pipelines and [the
contracts](design.md#contracts). The tables of the comparison are described in
[comparison](comparison.md), the columns of your own tables in [cohort](cohort.md).

`catalog.load("NAME")` in `kedro ipython` reads a dataset by its name. A file is written whole or
not at all. Names in braces stand for any name: `{paradigm}.{strategy}.predictions` is also
`adaptive.fedavg.predictions`.
"""


def datasets_page(catalog: Path, contracts: str) -> str:
    """Return the page.

    Args:
        catalog: the file conf/base/catalog.yml.
        contracts: text of the page with the table of contracts, ``docs/design.md``.

    Raises:
        KeyError: a dataset has no layer that Kedro-Viz shows.
    """
    text = catalog.read_text(encoding="utf-8")
    comments = comments_by_key(text)
    described = dict(_contracts(contracts))
    makers = _makers()
    parts: dict[str, list[list[str]]] = {layer: [] for layer in _LAYERS}
    for name, entry in yaml.safe_load(text).items():
        layer = entry["metadata"]["kedro-viz"]["layer"]
        about = [described.get(name, "")]
        about += [prose(_comment(comments.get(name, ""))), _columns(entry)]
        parts[layer].append([
            code(name), _file(entry), ", ".join(map(code, _made_by(name, makers))),
            linked("<br>".join(filter(None, about))),
        ])  # fmt: skip
    header = ["dataset", "file", "written by the step", "what it is"]
    tables = [f"## {_LAYERS[name]}\n\n{table(header, rows)}\n" for name, rows in parts.items()]
    return "\n".join([_INTRODUCTION, *tables])


def _contracts(page: str) -> Iterator[tuple[str, str]]:
    """Yield dataset and what stands on it in the table of contracts."""
    for names, row, columns in _CONTRACT.findall(page):
        found = [name.replace("<paradigm>.<strategy>", _TRAINING) for name in _NAME.findall(names)]
        rows, texts = row.split("; "), columns.split("; ")
        for place, name in enumerate(found):
            each = rows[place] if len(rows) == len(found) else row
            text = texts[place] if len(texts) == len(found) else columns
            is_table = each.strip() and not each.startswith("(")
            yield name, ": ".join(filter(None, (f"one row is {each}" if is_table else "", text)))


def _makers() -> dict[str, list[str]]:
    """Return the steps that write each dataset, over all pipelines."""
    found: dict[str, list[str]] = {}
    for nodes in register_pipelines().values():
        for node in nodes.nodes:
            for output in node.outputs:
                if node.name not in found.setdefault(output, []):
                    found[output].append(node.name)
    return found


def _made_by(name: str, makers: Mapping[str, list[str]]) -> list[str]:
    """Return the steps that write a dataset; of a pattern, one is named for all."""
    if "{" not in name:
        return makers.get(name, [])
    pattern = re.compile(re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)))
    steps = dict.fromkeys(step for one in makers if pattern.fullmatch(one) for step in makers[one])
    return list(steps) if len(steps) == 1 else []


def _file(entry: Mapping[str, Any]) -> str:
    return code(entry.get("filepath", "")) or (
        "in memory" if "Memory" in entry["type"] else "MLflow"
    )


def _comment(text: str) -> str:
    """Return a comment of the catalog without the title of its part and remarks on previews."""
    return re.sub(r"^-- .*? -{3,}\s*|\(no preview.*?\)\s*", "", text).strip()


def _columns(entry: Mapping[str, Any]) -> str:
    """Return the columns that the validator or the types of an entry name."""
    if "validator" in entry:
        module, _, name = entry["validator"].rpartition(".")
        found = getattr(importlib.import_module(module), name)
        schema = found if hasattr(found, "columns") else found.to_schema()
        names = [one for one, column in schema.columns.items() if not column.regex]
        return "columns: " + ", ".join(map(code, names))
    if "types" in entry:
        return "columns that are no text: " + ", ".join(map(code, entry["types"]))
    return ""
