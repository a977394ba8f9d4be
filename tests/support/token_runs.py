"""The project's own pipelines and hooks over files that say themselves what they were made from.

Every node of the real pipelines keeps its name, inputs and outputs; what it computes is replaced:
it writes into each output which settings and source tables all of its inputs stand on. So a file
that mixes two runs shows it, whatever the records of the data folder say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from kedro_project import PROJECT
from ms_pfl.datasets import EarlierFile, JsonFile
from ms_pfl.errors import InputError
from ms_pfl.hooks.lineage import Lineage
from ms_pfl.pipeline_registry import register_pipelines
from ms_pfl.pipelines.training.pipeline import KINDS

_IN_MEMORY = {"mlflow_run", "unfinished"}
_GATHERED = {*KINDS, "explained_models", "findings"}
_SOURCES = ("registry_folder", "ingest", "episodes_file", "own_episodes", "heart_folder")
_NEUTRAL = ("ray", "checkpoints", "device", "tracking")


class _SkipsEmpty(JsonFile):
    """As the folder of the synthetic registry: it may be absent, and nothing writes nothing."""

    def load(self) -> Any:
        return super().load() if Path(self._filepath).exists() else []

    def save(self, data: Any) -> None:
        if data:
            super().save(data)


class TokenProject:
    """A data folder in which pipelines run on tokens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = _base()
        self._pipelines = _pipelines()
        self._lineage = Lineage()

    def run(self, pipeline: str, only_missing: bool = False, **given: Any) -> dict[str, Any]:
        """Run a pipeline with parameters such as ``cohort={"rule": "two_strata"}``.

        Returns:
            Output -> its tokens, for all outputs of the pipeline that are files.
        """
        settings = _merged(self.base, given)
        chosen = self._pipelines[pipeline]
        catalog = self._catalog(settings)
        manager = _create_hook_manager()
        manager.register(self._lineage)
        loader = {"parameters": settings}
        manager.hook.after_context_created(context=SimpleNamespace(config_loader=loader))
        told = {
            "project_path": str(self.folder),
            "env": None,
            "runner": "SequentialRunner",
            "runtime_params": given,
            "only_missing_outputs": only_missing,
        }
        events = {"run_params": told, "pipeline": chosen, "catalog": catalog}
        manager.hook.before_pipeline_run(**events)
        try:
            SequentialRunner().run(chosen, catalog, manager, only_missing_outputs=only_missing)
        except Exception as error:
            manager.hook.on_pipeline_error(error=error, **events)
            cause = error.__cause__ or error
            raise cause from None
        manager.hook.after_pipeline_run(run_result={}, **events)
        return dict(self._outputs(chosen, catalog))

    def run_as_told(self, pipeline: str, only_missing: bool = False, **given: Any) -> None:
        """Run a pipeline; where it is refused, run what the message names, and try again."""
        for _ in range(4):
            try:
                check_unmixed(self.run(pipeline, only_missing, **given))
                return
            except InputError as refusal:
                text = str(refusal)
                assert len(text) < 330, text  # three lines of a console
                step = re.search(r"`kedro run --pipeline=(\w+)`", text)
                unread = re.search(r"^Parameter '(\w+)[\w.]*' has no effect in this run", text)
                if unread is not None:
                    del given[unread.group(1)]
                elif step is not None:
                    check_unmixed(self.run(step.group(1), **_told(given, text)))
                else:
                    assert "without --only-missing-outputs" in text, text
                    only_missing = False
        raise AssertionError(f"{pipeline} is still refused after four steps: {text}")

    def _outputs(self, pipeline: Pipeline, catalog: DataCatalog) -> Iterator[tuple[str, Any]]:
        for name in sorted(pipeline.all_outputs()):
            path = getattr(catalog.get(name), "_filepath", None)
            if path is not None and Path(path).exists():
                yield name, json.loads(Path(path).read_text())

    def _catalog(self, settings: dict[str, Any]) -> DataCatalog:
        datasets: dict[str, Any] = {"unfinished": {}}
        names = {n for pipeline in self._pipelines.values() for n in pipeline.datasets()}
        for name in sorted(names):
            path = self.folder / "data" / f"{name}.json"
            if name.startswith("params:"):
                place = name.removeprefix("params:").split(".")
                datasets[name] = reduce(lambda section, key: section[key], place, settings)
            elif name == "parameters":
                datasets[name] = deepcopy(settings)
            elif name.startswith("earlier_"):
                file = name.replace("earlier_", "episodes_").removesuffix("_episodes")
                datasets[name] = EarlierFile(str(self.folder / f"data/{file}.json"))
            elif name not in _IN_MEMORY and not _is_gathered(name):
                kind = _SkipsEmpty if name == "synthetic_registry" else JsonFile
                datasets[name] = kind(filepath=str(path))
        catalog = DataCatalog()
        for name, dataset in datasets.items():
            catalog[name] = dataset
        return catalog


@cache
def _base() -> dict[str, Any]:
    """The parameters of conf/base; whoever changes some makes a copy."""
    loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="base")
    return dict(loader["parameters"])


@cache
def _pipelines() -> dict[str, Pipeline]:
    return {name: _with_tokens(made) for name, made in register_pipelines().items()}


def _is_gathered(name: str) -> bool:
    """Whether a dataset holds, in memory, what several trainings or tables made."""
    return name in _GATHERED or (name.count(".") == 1 and name.rpartition(".")[2] in KINDS)


def _told(given: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The parameters that a message wants of the step that it names."""
    if "the same --params" not in text:
        return {}
    chosen = re.search(r"the same --params of ([\w., ]+) first", text)
    if chosen is None:
        return dict(given)
    names = {name.partition(".")[0] for name in chosen.group(1).split(", ")}
    return {name: value for name, value in given.items() if name in names}


def check_unmixed(outputs: Mapping[str, Any]) -> None:
    """Fail where a file stands on two values of a setting, or on two versions of a table."""
    for name, tokens in outputs.items():
        seen: dict[str, str] = {}
        for token in tokens:
            key, _, value = token.partition("=")
            assert seen.setdefault(key, value) == value, f"{name} mixes {key}: {tokens}"


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(deepcopy(base))
    for name, value in given.items():
        inside = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if inside else value
    return merged


def _with_tokens(pipeline: Pipeline) -> Pipeline:
    return Pipeline([node._copy(func=_token_function(node)) for node in pipeline.nodes])


def _token_function(node: Any) -> Any:
    names, outputs = node.inputs, node.outputs

    def tokens_of(*values: Any, **named: Any) -> Any:
        read = dict(zip(names, values, strict=False))
        read |= {node._inputs[argument]: value for argument, value in named.items()}
        name = node.name.rpartition(".")[2]
        made = _tokens(name, read)
        if name == "simulate_registry" and read["params:registry_folder"] is not None:
            made = []
        if isinstance(node._outputs, dict):
            return dict.fromkeys(node._outputs, made)
        results = [made for _ in outputs]
        return results[0] if len(results) == 1 else tuple(results)

    tokens_of.__name__ = node.func.__name__
    return tokens_of


def _tokens(node: str, read: dict[str, Any]) -> list[str]:
    """What the inputs of a node stand on, as the real node uses them."""
    tokens: set[str] = set()
    custom = read.get("params:episodes_file")
    own = read.get("params:registry_folder")
    for name, value in read.items():
        top = name.removeprefix("params:")
        if name == "parameters":
            # what a report says of the settings has to be what the data were made with
            tokens |= {f"{n}={json.dumps(v, sort_keys=True, default=str)}" for n, v in value.items()
                       if n not in (*_SOURCES, *_NEUTRAL, "heart_rows")}  # fmt: skip
            tokens |= {f"source={_source(value)}"}
        elif name == "earlier_episodes":
            tokens |= set() if custom else set(json.loads(Path(value).read_text()))
        elif name == "synthetic_registry":
            tokens |= set() if own else set(value)
        elif name.startswith("params:"):
            if top not in (*_SOURCES, *_NEUTRAL, "heart_rows", "synthetic_registry"):
                tokens.add(f"{top}={json.dumps(value, sort_keys=True, default=str)}")
        elif isinstance(value, list):
            tokens |= set(value)
    if node == "read_registry":
        tokens.add(f"table={Path(own).read_text() if own else 'synthetic'}")
        tokens.add(f"source={own}")
    if node == "simulate_registry":
        value = json.dumps(read["params:synthetic_registry"], sort_keys=True)
        tokens.add(f"synthetic_registry={value}")
    if node == "read_own_episodes" and custom:
        tokens = {f"table={Path(custom).read_text()}", f"source={custom}"}
    if node == "predict_new_patients":
        tokens = set()  # of another folder of tables, by a predictor that stands for itself
    return sorted(tokens)


def _source(settings: Mapping[str, Any]) -> Any:
    return settings["episodes_file"] or settings["registry_folder"]
