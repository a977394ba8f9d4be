"""The files and settings of one run: what they are made from, by the ledger of the data folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ms_pfl.errors import InputError
from ms_pfl.lineage import LEDGER, Ledger, Origin, Record, combine, content_digest, stamp
from ms_pfl.provenance import source_digest

#: Settings that decide how a run computes, not what comes out.
NEUTRAL = frozenset({"ray", "checkpoints", "device", "tracking"})
#: Settings that name and spell the tables that a run begins with. A run that goes on from the
#: episodes of an earlier one has theirs.
SOURCE = frozenset(
    {"registry_folder", "ingest", "episodes_file", "own_episodes", "heart_folder", "heart_rows"}
)
#: Settings whose sections are compared one by one: a step reads some of them.
NESTED = frozenset({"training"})
CONTENT = "content of "
_TABLES = frozenset({"registry_folder", "episodes_file", "heart_folder"})
_CUSTOM = ("episodes_file", "heart_folder")
#: Datasets that read the file of another one.
_ALIASES = {"earlier_episodes": "episodes", "earlier_provenance": "episodes_provenance"}
#: Files that a user may have put there.
_MAY_BE_FOREIGN = frozenset({"episodes"})


class RunFiles:
    """What the files of a run are made from: those it begins with and those it has made so far."""

    def __init__(
        self,
        run_params: Mapping[str, Any],
        settings: Mapping[str, Any],
        pipeline: Any,
        catalog: Any,
    ) -> None:
        """Look at a run before its first node.

        Args:
            run_params: what Kedro tells of the run: project, environment, parameters given.
            settings: all parameters, as JSON has them.
            pipeline: that is to run.
            catalog: of its datasets.
        """
        self._run_params, self._pipeline, self._catalog = run_params, pipeline, catalog
        self._project = Path(run_params["project_path"])
        self.ledger = Ledger(self._project / "data" / LEDGER)
        self.settings = by_section(settings)
        self.explicit = frozenset(by_section(run_params.get("runtime_params") or {}))
        self.used = {name for node in pipeline.nodes for name in self.inputs(node)}
        self.begins_with = sorted(self.used & set(pipeline.inputs()))
        # from the episodes of an earlier run, and so from its tables
        self.goes_on = "earlier_episodes" in self.used or "episodes" not in pipeline.all_outputs()
        self._predicts = "new_patients" in pipeline.outputs()
        self._made: dict[str, Origin] = {}
        self._of_node: dict[str, Origin] = {}

    def inputs(self, node: Any) -> list[str]:
        """Return the inputs of a node that it uses with these settings."""
        unused = set()
        if self.settings["registry_folder"] is not None:
            unused.add("synthetic_registry")
        if self._custom_table_given:
            unused |= set(_ALIASES)
        elif "earlier_provenance" in node.inputs and not all(
            map(self.record_of, _ALIASES.values())
        ):
            unused.add("earlier_provenance")  # the node reads it only if it is of these episodes
        return [name for name in node.inputs if name not in unused]

    def origins(self, names: Iterable[str]) -> dict[str, Origin]:
        """Return what some datasets are made from, each among its own files.

        Raises:
            InputError: nothing is recorded of one, or of something else than is there.
        """
        return {_ALIASES.get(name, name): self._origin(name) for name in names}

    def _origin(self, name: str) -> Origin:
        name = _ALIASES.get(name, name)
        if name in self._made:
            return self._made[name]
        if self._stamp(name) is None:  # a setting, or a file that may be absent
            return Origin()
        if name == "predictor" and self._predicts:
            return Origin()  # it checks itself, and serves whatever became of its data
        record = self.record_of(name)
        if record is not None:
            return Origin({**record.origin.files, name: record.digest}, record.origin.settings)
        if name in _MAY_BE_FOREIGN:
            return Origin({name: self._digest(name)})
        raise InputError(
            f"{self.shown(name)} has no record of what it was made from (it was changed, copied "
            f"here, or made by an earlier version); {self.run_first([name])}"
        )

    def record(self, dataset: str, data: Any, node: Any) -> None:
        """Take down what a dataset that was just saved is made from."""
        if dataset == "synthetic_registry" and not data:
            return  # nothing was simulated or written
        if node.name not in self._of_node:
            self._of_node[node.name] = self._origin_of_outputs(node)
        self._made[dataset] = origin = self._of_node[node.name]
        now = self._stamp(dataset)
        if now is not None:
            digest = self._digest(dataset)
            self._made[dataset] = Origin({**origin.files, dataset: digest}, origin.settings)
            self.ledger.add(dataset, Record(digest, now, node.name, source_digest(), origin))

    def _origin_of_outputs(self, node: Any) -> Origin:
        read = self.inputs(node)
        origin = combine(self._origin(name) for name in read)
        names = self.settings_among(read)
        if "parameters" in read:
            names |= set(self.settings)
        if self.goes_on:
            names -= SOURCE
        files = {name: d for name, d in origin.files.items() if name not in node.outputs}
        return Origin(files, {**origin.settings, **self.digests(names)})

    def settings_among(self, inputs: Iterable[str]) -> set[str]:
        """Return the settings among the inputs of nodes, whole or in part."""
        paths = [name.removeprefix("params:") for name in inputs if name.startswith("params:")]
        return {
            name
            for name in self.settings
            for path in paths
            if f"{path}.".startswith(f"{name}.") or f"{name}.".startswith(f"{path}.")
        }

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return digests of some settings, and of the tables that they name."""
        wanted = set(names) - NEUTRAL
        settings = {name: self.ledger.digest_of(self.settings[name]) for name in sorted(wanted)}
        return settings | {CONTENT + name: self._content(name) for name in sorted(wanted & _TABLES)}

    def _content(self, name: str) -> str:
        """Return a digest of the tables that a setting names."""
        from ms_pfl.registry.contract import CONTRACT
        from ms_pfl.registry.importers.heart_disease import HOSPITALS

        value = self.settings[name]
        path = Path(value or "").expanduser()
        if value is None or not path.exists():
            return ""
        if path.is_file():
            return content_digest(path)
        files = [
            file
            for file in sorted(path.glob("*"))
            if file.is_file() and (file.stem.lower() in CONTRACT or file.name in HOSPITALS.values())
        ]
        return self.ledger.digest_of([[file.name, content_digest(file)] for file in files])

    def record_of(self, name: str) -> Record | None:
        """Return the record of the file that is there; None: there is no such record or file."""
        record, now = self.ledger[name], self._stamp(name)
        if record is None or now is None:
            return None
        return record if now == record.stamp or self._digest(name) == record.digest else None

    def changed_since(self, origin: Origin) -> list[str]:
        """Return the files of an origin that are there and have become others."""
        return [
            name
            for name, digest in origin.files.items()
            if self._stamp(name) is not None and self._digest(name) != digest
        ]

    def is_stale(self, name: str) -> bool:
        """Return whether a file is not what the files and settings of now would give."""
        if self.path(name) is None or (
            name == "synthetic_registry" and self.settings["registry_folder"]
        ):
            return False
        record = self.record_of(name)
        if record is None:
            return name not in _MAY_BE_FOREIGN or self._stamp(name) is None
        compared = set(self.settings) - NEUTRAL - (SOURCE - self.explicit)
        return bool(self.changed_since(record.origin)) or any(
            self.ledger.digest_of(self.settings[setting]) != digest
            for setting, digest in record.origin.settings.items()
            if setting in compared
        )

    def _from_custom_table(self) -> bool:
        """Return whether the episodes come, or came, from a custom table."""
        episodes = self.ledger["episodes"]
        return self._custom_table_given or (
            episodes is not None
            and self.settings["registry_folder"] is None
            and any(self.ledger.value(episodes.origin.settings.get(name, "")) for name in _CUSTOM)
        )

    @property
    def _custom_table_given(self) -> bool:
        return any(self.settings[name] is not None for name in _CUSTOM)

    def path(self, name: str) -> Path | None:
        """Return where a dataset is; None: in memory."""
        if name.startswith("params:") or name in ("parameters", "unfinished"):
            return None
        written = getattr(self._catalog.get(_ALIASES.get(name, name)), "_filepath", None)
        return None if written is None else Path(written)

    def _stamp(self, name: str) -> str | None:
        path = self.path(name)
        return None if path is None else stamp(path)

    def _digest(self, name: str) -> str:
        path = self.path(name)
        assert path is not None
        return content_digest(path)

    def run_first(self, names: Iterable[str]) -> str:
        """Say which pipeline makes the files again that are not as this run needs them."""
        from ms_pfl.pipeline_registry import register_pipelines, step_to_run

        step = step_to_run(names, self.is_stale, from_custom_table=self._from_custom_table())
        read = {name for node in register_pipelines()[step].nodes for name in node.inputs}
        given = self.explicit & (self.settings_among(read) | NEUTRAL)
        env = self._run_params.get("env")
        where = f" --env={env}" if env and env != "local" else ""
        which = "" if given == self.explicit else f" of {', '.join(sorted(given))}"
        same = f" and the same --params{which}" if given else ""
        return f"run `kedro run --pipeline={step}{where}`{same} first"

    def shown(self, name: str) -> str:
        """Return a dataset's file as a user knows it."""
        path = self.path(name) or Path(name)
        return str(path.relative_to(self._project) if path.is_relative_to(self._project) else path)


def by_section(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the sections of the nested ones in their place.

    >>> by_section({"seeds": [0], "training": {"network": 1, "local": 2}})
    {'seeds': [0], 'training.network': 1, 'training.local': 2}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in NESTED and isinstance(value, Mapping):
            found |= {f"{name}.{section}": own for section, own in value.items()}
        else:
            found[name] = value
    return found
