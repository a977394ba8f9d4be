"""Record what each file of the data folder is made from, and refuse to mix runs."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io.core import AbstractVersionedDataset

from ms_pfl.errors import InputError
from ms_pfl.hooks.run_files import CONTENT, NEUTRAL, SOURCE, RunFiles
from ms_pfl.lineage import Conflict, Origin, combine, conflicts, first_difference
from ms_pfl.provenance import source_digest

_NAMED = 5  # of what is missing
_log = logging.getLogger(__name__)


class Lineage:
    """Check what a run goes on from, and record what it makes."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep the settings."""
        from ms_pfl.parameters import Parameters

        given = Parameters.model_validate(context.config_loader["parameters"])
        self._settings = given.model_dump(mode="json")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        """Check all files that the run begins with, before anything is computed.

        Raises:
            InputError: they were made from different data or settings, or with other settings
                than those of this run.
        """
        self._run = _CheckedRun(run_params, self._settings, pipeline, catalog)
        self._run.check_start()

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        """Check that the inputs of a node were made from the same."""
        self._run.check_node(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Any) -> None:
        """Record what the file is made from."""
        self._run.record(dataset_name, data, node)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Tidy up the ledger; after an error it stays: its lines are of the files saved."""
        self._run.ledger.compact()


class _CheckedRun(RunFiles):
    """A run and its checks; what is wrong is an InputError that names the step to run."""

    def check_start(self) -> None:
        """Check the files that the run begins with."""
        if "ParallelRunner" in str(self._run_params.get("runner")):
            raise InputError(
                "the ParallelRunner keeps no record of what files are made from; leave out "
                "--runner: the clients of a federation train side by side anyway"
            )
        self._check_there()
        origins = self.origins(self.begins_with)
        self._check_effect(origins)
        self._check(origins)
        self._check_settings(origins)
        if self._run_params.get("only_missing_outputs"):
            self._check_existing()
        self._note_other_code(origins)
        if "parameters" in self.used and self.goes_on:
            # what is reported of the source is what the files were made from
            of_source = combine(origins.values()).settings
            told = {
                name: self.ledger.value(of_source[name]) for name in sorted(SOURCE & set(of_source))
            }
            parameters = self._catalog.get("parameters")
            parameters.save({**parameters.load(), **told})

    def check_node(self, node: Any) -> None:
        """Check that the inputs of a node fit together, whichever of them this run has made."""
        self._check(self.origins(self.inputs(node)))

    def _check_there(self) -> None:
        datasets = {name: self._catalog.get(name) for name in self.begins_with}
        absent = [
            name
            for name, dataset in datasets.items()
            if isinstance(dataset, AbstractVersionedDataset)
            and not Path(dataset._filepath).exists()
        ]
        if absent:
            lacking = list(dict.fromkeys(name.rpartition(".")[0] or name for name in absent))
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            which = f" (missing: {', '.join(lacking[:_NAMED])}{more})" if len(lacking) > 1 else ""
            raise InputError(
                f"{self.shown(absent[0])} does not exist{which}; {self.run_first(absent)}"
            )

    def _check(self, origins: Mapping[str, Origin]) -> None:
        found = conflicts(origins)
        if found:
            # the first cause is told by what the run reads itself, or else by the episodes
            known = [*origins, "episodes"]
            first = min(found, key=lambda conflict: conflict.name not in known)
            raise InputError(f"{self._describe(first)}; {self.run_first(origins)}")

    def _describe(self, conflict: Conflict) -> str:
        (one, first), (other, second) = list(conflict.values.items())[:2]
        a, b = self.shown(first[0]), self.shown(second[0])
        if conflict.kind == "setting" and not conflict.name.startswith(CONTENT):
            before, now = self.ledger.value(one), self.ledger.value(other)
            place, was, is_ = first_difference(before, now, conflict.name)
            return f"{a} was made with {place} = {was!r} and {b} with {is_!r}"
        if conflict.name in (first[0], second[0]):
            whole, part = (a, b) if conflict.name == first[0] else (b, a)
            return f"{part} was made from another version of {whole} than the one that is there"
        return (
            f"{a} and {b} were made from different versions of "
            f"{self.shown(conflict.name).removeprefix(CONTENT)}"
        )

    def _check_settings(self, origins: Mapping[str, Origin]) -> None:
        """Check that files were made with the settings that this run reads or was given."""
        read = self.settings_among(self.used)
        names = read | (set(self.settings) if "parameters" in self.used else set())
        # of its tables a run that goes on from episodes reads nothing, unless it was told so
        names = (names - SOURCE) | (self.explicit - (read & SOURCE))
        names |= {"synthetic_registry"} & set(origins)
        for name in sorted((names & set(self.settings)) - NEUTRAL):
            now = self.ledger.digest_of(self.settings[name])
            for dataset, origin in origins.items():
                if origin.settings.get(name, now) != now:
                    before = self.ledger.value(origin.settings[name])
                    place, was, is_ = first_difference(before, self.settings[name], name)
                    raise InputError(
                        f"{self.shown(dataset)} was made with {place} = {was!r}, and this run "
                        f"has {is_!r}; set it so here too, or {self.run_first(origins)}"
                    )

    def _check_effect(self, origins: Mapping[str, Origin]) -> None:
        """Check that what was given is read by this run, or was by those that it goes on from."""
        known = self.settings_among(self.used).union(
            NEUTRAL, *(origin.settings for origin in origins.values())
        )
        for name in sorted(self.explicit - known):
            raise InputError(
                f"Parameter '{name}' has no effect in this run: no step of it reads it; leave it "
                "out, or run a pipeline that reads it"
            )

    def _check_existing(self) -> None:
        """Check that outputs which --only-missing-outputs passes over are those of this run."""
        for node in self._pipeline.nodes:
            expected = self.digests(self.settings_among(self.inputs(node)))
            for name in node.outputs:
                path = self.path(name)
                if path is None or not path.exists():
                    continue
                record = self.record_of(name)
                other = ["origin"]
                if record is not None:
                    made_with = record.origin.settings
                    other = [key for key, d in expected.items() if made_with.get(key, d) != d]
                    other += map(self.shown, self.changed_since(record.origin))
                if other:
                    raise InputError(
                        f"{self.shown(name)} is there, but was made with another {other[0]} than "
                        "this run has; run the same command without --only-missing-outputs"
                    )

    def _note_other_code(self, origins: Mapping[str, Origin]) -> None:
        records = {name: self.ledger[name] for name in origins}
        others = [name for name, own in records.items() if own and own.code != source_digest()]
        if others:
            _log.warning(
                "%s was made by another version of ms_pfl than the one that runs now; a new run of "
                "everything gives results of one version", self.shown(others[0]),
            )  # fmt: skip
