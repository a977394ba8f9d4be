"""Record what each file of the data folder is made from, and refuse to mix runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io.core import AbstractVersionedDataset

from ms_pfl.errors import InputError
from ms_pfl.hooks.steps import step_to_run
from ms_pfl.lineage import (
    LEDGER,
    Conflict,
    Ledger,
    Origin,
    Record,
    combine,
    conflicts,
    content_digest,
    first_difference,
    stamp,
)
from ms_pfl.provenance import source_digest

#: Settings that decide how a run computes, not what comes out.
NEUTRAL = frozenset({"ray", "checkpoints", "device", "tracking"})
#: Settings that name and spell the tables that a run begins with. A run that goes on from the
#: episodes of an earlier one has theirs.
SOURCE = frozenset(
    {"registry_folder", "ingest", "episodes_file", "own_episodes", "heart_folder", "heart_rows"}
)
_TABLES = ("registry_folder", "episodes_file", "heart_folder")
#: A dataset that reads the file of another one.
_ALIASES = {"earlier_episodes": "episodes"}
#: Files that a user may have put there.
_MAY_BE_FOREIGN = frozenset({"episodes"})
_log = logging.getLogger(__name__)


class Lineage:
    """Check what a run goes on from, and record what it makes."""

    def __init__(self) -> None:
        """Start outside a run."""
        self._project = Path.cwd()
        self._settings: dict[str, Any] = {}
        self._run: _Run | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep the project's folder and the settings."""
        from ms_pfl.parameters import Parameters

        self._project = Path(context.project_path)
        given = Parameters.model_validate(context.config_loader["parameters"])
        self._settings = given.model_dump(mode="json")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Check all files that the run begins with, before anything is computed.

        Raises:
            InputError: they were made from different data or settings, or with other settings
                than those of this run.
        """
        ledger = Ledger(self._project / "data" / LEDGER)
        self._run = _Run(ledger, self._project, self._settings, run_params, pipeline, catalog)
        self._run.check_start()

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Check that the inputs of a node were made from the same."""
        if self._run is not None:
            self._run.check_node(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Any) -> None:
        """Record what the file is made from."""
        if self._run is not None:
            self._run.record(dataset_name, data, node)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Tidy up the ledger."""
        if self._run is not None:
            self._run.ledger.compact()
        self._run = None

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Leave the ledger as it is: its lines are of the files that were saved."""
        self._run = None


class _Run:
    """A run: the settings, the files that it begins with, and what it has made so far."""

    def __init__(
        self,
        ledger: Ledger,
        project: Path,
        settings: Mapping[str, Any],
        run_params: Mapping[str, Any],
        pipeline: Any,
        catalog: Any,
    ) -> None:
        self.ledger = ledger
        self._project, self._settings, self._pipeline = project, settings, pipeline
        self._catalog, self._run_params = catalog, run_params
        self._used = {name for node in pipeline.nodes for name in self._inputs(node)}
        # from the episodes of an earlier run, and so from its tables
        self._goes_on = "earlier_episodes" in self._used or "episodes" not in pipeline.all_outputs()
        self._explicit = set(run_params.get("runtime_params") or {})
        self._predicts = "new_patients" in pipeline.outputs()
        self._made: dict[str, Origin] = {}
        self._of_node: dict[str, Origin] = {}

    def check_start(self) -> None:
        """Check the files that the run begins with."""
        if "ParallelRunner" in str(self._run_params.get("runner")):
            raise InputError(
                "the ParallelRunner keeps no record of what files are made from; leave out "
                "--runner: the clients of a federation train side by side anyway"
            )
        begins_with = sorted(self._used & set(self._pipeline.inputs()))
        self._check_there(begins_with)
        origins = {_alias(name): self._origin(name) for name in begins_with}
        self._check(origins)
        self._check_settings(origins)
        if self._run_params.get("only_missing_outputs"):
            self._check_existing()
        self._note_other_code(origins)
        if "parameters" in self._used and self._goes_on:
            # what is reported of the source is what the files were made from
            of_source = combine(origins.values()).settings
            told = {n: self.ledger.value(of_source[n]) for n in sorted(SOURCE & set(of_source))}
            parameters = self._catalog.get("parameters")
            parameters.save({**parameters.load(), **told})

    def check_node(self, node: Any) -> None:
        """Check that the inputs of a node fit together, whichever of them this run has made."""
        self._check({_alias(name): self._origin(name) for name in self._inputs(node)})

    def record(self, dataset: str, data: Any, node: Any) -> None:
        """Take down what a dataset that was just saved is made from."""
        path = self._path(dataset)
        if dataset == "synthetic_registry" and not data:
            return  # nothing was simulated or written
        if node.name not in self._of_node:
            self._of_node[node.name] = self._origin_of_node(node)
        origin = self._of_node[node.name]
        now = None if path is None else stamp(path)
        if path is None or now is None:
            self._made[dataset] = origin
            return
        digest = content_digest(path)
        self._made[dataset] = Origin({**origin.files, dataset: digest}, origin.settings)
        self.ledger.add(dataset, Record(digest, now, node.name, source_digest(), origin))

    def _origin_of_node(self, node: Any) -> Origin:
        read = self._inputs(node)
        origin = combine(self._origin(name) for name in read)
        names = {name.removeprefix("params:").split(".")[0] for name in read if _is_setting(name)}
        if "parameters" in read:
            names |= set(self._settings)
        if self._goes_on:
            names -= SOURCE
        files = {name: d for name, d in origin.files.items() if name not in node.outputs}
        settings = {name: self.ledger.digest_of(self._settings[name]) for name in names - NEUTRAL}
        settings |= {_content(name): self._content(name) for name in names & set(_TABLES)}
        return Origin(files, {**origin.settings, **settings})

    def _inputs(self, node: Any) -> list[str]:
        """Return the inputs of a node that it uses with these settings."""
        given = {name for name in _TABLES if self._settings[name] is not None}
        unused = set()
        if "registry_folder" in given:
            unused.add("synthetic_registry")
        if given & {"episodes_file", "heart_folder"}:
            unused.add("earlier_episodes")
        return [name for name in node.inputs if name not in unused]

    def _origin(self, name: str) -> Origin:
        name = _alias(name)
        if name in self._made:
            return self._made[name]
        path = self._path(name)
        now = None if path is None else stamp(path)
        if path is None or now is None:  # a setting, or a file that may be absent
            return Origin()
        record = self.ledger[name]
        if name == "predictor" and self._predicts:
            return Origin()  # it checks itself, and serves whatever became of its data
        if record is not None and now != record.stamp and record.digest != content_digest(path):
            record = None
        if record is not None:
            origin = Origin({**record.origin.files, name: record.digest}, record.origin.settings)
        elif name in _MAY_BE_FOREIGN:
            origin = Origin({name: content_digest(path)})
        else:
            raise InputError(
                f"{self._shown(name)} has no record of what it was made from (it was changed, "
                f"copied here, or made by an earlier version); {self._run_first([name])}"
            )
        return origin

    def _check_there(self, names: Iterable[str]) -> None:
        absent = []
        for name in names:
            path, dataset = self._path(name), self._catalog.get(name)
            if path is not None and isinstance(dataset, AbstractVersionedDataset):
                absent += [] if path.exists() else [name]
        if absent:
            raise InputError(f"{self._shown(absent[0])} does not exist; {self._run_first(absent)}")

    def _check(self, origins: Mapping[str, Origin]) -> None:
        found = conflicts(origins)
        if found:
            # the first cause is told by what the run reads itself, or else by the episodes
            known = [*origins, "episodes"]
            first = min(found, key=lambda conflict: conflict.name not in known)
            raise InputError(self._describe(first, origins))

    def _describe(self, conflict: Conflict, origins: Mapping[str, Origin]) -> str:
        (one, first), (other, second) = list(conflict.values.items())[:2]
        a, b = self._shown(first[0]), self._shown(second[0])
        if conflict.kind == "setting" and not conflict.name.startswith("content of "):
            place, was, is_ = first_difference(
                self.ledger.value(one), self.ledger.value(other), conflict.name
            )
            said = f"{a} was made with {place} = {was!r} and {b} with {is_!r}"
        elif conflict.name in (first[0], second[0]):
            whole, part = (a, b) if conflict.name == first[0] else (b, a)
            said = f"{part} was made from another version of {whole} than the one that is there"
        else:
            what = self._shown(conflict.name).removeprefix("content of ")
            said = f"{a} and {b} were made from different versions of {what}"
        return f"{said}; {self._run_first(origins)}"

    def _check_settings(self, origins: Mapping[str, Origin]) -> None:
        """Check that files were made with the settings that this run reads or was given."""
        explicit = self._explicit
        read = self._used
        direct = {name.removeprefix("params:").split(".")[0] for name in read if _is_setting(name)}
        names = direct | (set(self._settings) if "parameters" in read else set()) - SOURCE
        names |= explicit - (direct & SOURCE)
        names |= {"synthetic_registry"} & set(origins)
        names -= SOURCE - (explicit - direct)
        for name in sorted(names - NEUTRAL):
            now = self.ledger.digest_of(self._settings[name]) if name in self._settings else ""
            for dataset, origin in origins.items():
                if origin.settings.get(name, now) != now:
                    raise InputError(self._other_setting(name, dataset, origin, origins))

    def _other_setting(
        self, name: str, dataset: str, origin: Origin, origins: Iterable[str]
    ) -> str:
        place, was, is_ = first_difference(
            self.ledger.value(origin.settings[name]), self._settings[name], name
        )
        return (
            f"{self._shown(dataset)} was made with {place} = {was!r}, and this run has {is_!r}; "
            f"set it so here too, or {self._run_first(origins)}"
        )

    def _check_existing(self) -> None:
        """Check that outputs which --only-missing-outputs passes over are those of this run."""
        for node in self._pipeline.nodes:
            for name in node.outputs:
                path = self._path(name)
                if path is None or stamp(path) is None:
                    continue
                record = self.ledger[name]
                if record is None or record.digest != content_digest(path):
                    self._refuse_existing(name, "origin")
                origin = self._origin(name)
                for setting, digest in self._expected(node).settings.items():
                    if origin.settings.get(setting, digest) != digest:
                        self._refuse_existing(name, setting)
                for file, digest in origin.files.items():
                    other = self._path(file)
                    there = file != name and other is not None and stamp(other) is not None
                    if there and other is not None and content_digest(other) != digest:
                        self._refuse_existing(name, self._shown(file))

    def _refuse_existing(self, name: str, what: str) -> None:
        raise InputError(
            f"{self._shown(name)} is there, but was made with another {what} than this run has; "
            "run the same command without --only-missing-outputs"
        )

    def _expected(self, node: Any) -> Origin:
        names = {
            name.removeprefix("params:").split(".")[0]
            for name in self._inputs(node)
            if _is_setting(name)
        }
        settings = {name: self.ledger.digest_of(self._settings[name]) for name in names - NEUTRAL}
        contents = {_content(name): self._content(name) for name in names & set(_TABLES)}
        return Origin({}, settings | contents)

    def _note_other_code(self, origins: Mapping[str, Origin]) -> None:
        records = {name: self.ledger[name] for name in origins}
        other = [name for name, r in records.items() if r is not None and r.code != source_digest()]
        if other:
            _log.warning(
                "%s was made by another version of ms_pfl than the one that runs now; a new "
                "`kedro run` of everything gives results of one version", self._shown(other[0]),
            )  # fmt: skip

    def _run_first(self, names: Iterable[str]) -> str:
        """Say which pipeline makes the files again that are not as this run needs them."""
        given = self._settings
        custom = given["episodes_file"] is not None or given["heart_folder"] is not None
        if not custom and given["registry_folder"] is None:
            episodes = self.ledger["episodes"]
            made_with = {} if episodes is None else episodes.origin.settings
            custom = any(
                self.ledger.value(made_with.get(name, ""))
                for name in ("episodes_file", "heart_folder")
            )
        step = step_to_run(names, self._is_stale, from_custom_table=custom)
        env = self._run_params.get("env")
        where = f" --env={env}" if env and env != "local" else ""
        same = " and the same --params" if self._run_params.get("runtime_params") else ""
        return f"run `kedro run --pipeline={step}{where}`{same} first"

    def _is_stale(self, name: str) -> bool:
        """Return whether a file is not what the files and settings of now would give."""
        path, record = self._path(name), self.ledger[name]
        if path is None or (name == "synthetic_registry" and self._settings["registry_folder"]):
            return False
        if record is None or stamp(path) is None or content_digest(path) != record.digest:
            return name not in _MAY_BE_FOREIGN or stamp(path) is None
        for setting, digest in record.origin.settings.items():
            compared = setting not in NEUTRAL | (SOURCE - self._explicit)
            if (
                compared
                and setting in self._settings
                and self.ledger.digest_of(self._settings[setting]) != digest
            ):
                return True
        for file, digest in record.origin.files.items():
            other = self._path(file)
            if other is not None and stamp(other) and content_digest(other) != digest:
                return True
        return False

    def _path(self, name: str) -> Path | None:
        if _is_setting(name) or name == "parameters":
            return None
        written = getattr(self._catalog.get(_alias(name)), "_filepath", None)
        return None if written is None else Path(written)

    def _content(self, name: str) -> str:
        """Return a digest of the tables that a setting names."""
        value = self._settings[name]
        if value is None:
            return ""
        path = Path(value).expanduser()
        if path.is_file():
            return content_digest(path)
        files = sorted(file for file in path.glob("*") if file.is_file()) if path.is_dir() else []
        return self.ledger.digest_of([[file.name, content_digest(file)] for file in files])

    def _shown(self, name: str) -> str:
        path = self._path(name)
        if path is None:
            return name
        return str(path.relative_to(self._project) if path.is_relative_to(self._project) else path)


def _alias(name: str) -> str:
    return _ALIASES.get(name, name)


def _is_setting(name: str) -> bool:
    return name.startswith("params:")


def _content(name: str) -> str:
    return f"content of {name}"
