"""The folder in which a site keeps what must not leave it, and its secret."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters, TreatmentClasses
from ms_pfl.deployment.agreement import RefusalError, RunAgreement
from ms_pfl.deployment.arguments import whole_path
from ms_pfl.deployment.own_tables import other_countries, read_own_tables, same_name_hint
from ms_pfl.deployment.rights import read_own
from ms_pfl.deployment.settings import in_quotes
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import DamagedFileError, read_arrays, write_arrays
from ms_pfl.federation.flower import ConfigRecord, Context, to_arrays, to_record
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.files import whole_file
from ms_pfl.provenance import source_digest
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.spreadsheets import write_csv
from ms_pfl.text import shown

SITE = "site"
"""The record of a site's state that says which run, and where it is."""
RUN, SNAPSHOT, PLACE = "run", "snapshot", "place"
"""What stands in it."""
SECRET_BYTES = 32
_SNAPSHOTS = 5
_SNAPSHOT = re.compile("[0-9a-f]{16}")  # other folders, as of a link elsewhere, are left alone
_log = logging.getLogger(__name__)


class SiteFolder:
    """``site-folder`` of one site: secret, policy, approvals, episodes, state, finished runs."""

    def __init__(self, folder: str | Path) -> None:
        """Name the folder; it is made when something is kept."""
        self.path = whole_path(folder)

    def secret(self) -> bytes:
        """Return the site's secret, on which its splits depend; it is made at the first start.

        Raises:
            RefusalError: it is lost or damaged, so that the splits cannot be made again.
        """
        path = self.path / "secret"
        try:
            secret = read_own(path, SECRET_BYTES + 1)
        except FileNotFoundError:
            kept = ("state.safetensors", "snapshots/*", "sets/*", "runs/*")
            if any(True for pattern in kept for _ in self.path.glob(pattern)):
                raise RefusalError(
                    "the site's secret is lost, and no run can go on without it; its operator "
                    "restores the file 'secret' of the site folder, or begins with a new site "
                    "folder"
                ) from None
            return self._new_secret(path)
        except InputError as error:
            _log.error("%s", error)
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise RefusalError(
                "the site's secret is damaged, and no run can go on without it; its operator "
                "restores the file 'secret' of the site folder"
            )
        return secret

    def _new_secret(self, path: Path) -> bytes:
        self.path.mkdir(parents=True, exist_ok=True)
        secret = secrets.token_bytes(SECRET_BYTES)
        with whole_file(path) as part:
            part.chmod(0o600)
            with part.open("wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
        path.chmod(0o600)
        return secret

    def check_size(self, most: int) -> None:
        """See that the folder has not grown beyond some bytes.

        Raises:
            RefusalError: it has.
        """
        size = 0
        for path in self.path.rglob("*"):
            with suppress(OSError):
                size += path.lstat().st_size
        if size > most:
            _log.warning("%s holds %d bytes, and the policy allows %d", self.path, size, most)
            raise RefusalError(
                "the site folder has reached the size that the site's policy allows (disk_gib)"
            )

    def snapshot_name(
        self,
        registry_folder: str,
        ingest: IngestParameters,
        treatments: TreatmentClasses,
        agreement: RunAgreement,
    ) -> str:
        """Return the name of the episodes and splits of these tables, by these settings."""
        registry = Path(registry_folder).expanduser()
        digest = hashlib.blake2b(source_digest().encode(), digest_size=8)
        for told in (
            ingest.model_dump_json(),
            treatments.model_dump_json(),
            agreement.cohort.model_dump_json(),
            agreement.splits.model_dump_json(),
            f"{agreement.seeds} {agreement.protocol.split_unit}",
        ):
            digest.update(told.encode())
        for file in sorted(registry.glob("*")) if registry.is_dir() else ():
            if file.is_file():
                digest.update(f"{file.name}\x1f{file.stat().st_size}".encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "blake2b").digest())
        return digest.hexdigest()

    def take_snapshot(
        self,
        name: str,
        country: str,
        registry_folder: str,
        ingest: IngestParameters,
        treatments: TreatmentClasses,
        agreement: RunAgreement,
    ) -> None:
        """Make episodes and splits of the registry's tables, once for the same tables and settings.

        A training goes on with the rows that it began with, whatever happens to the tables.

        Args:
            name: of :meth:`snapshot_name`.
            country: of the site.
            registry_folder: its tables.
            ingest: how they are spelled.
            treatments: drugs that are looked for in free text.
            agreement: how episodes and splits are made.

        Raises:
            InputError: the tables cannot be used.
            RefusalError: they hold patients of another country.
        """
        from ms_pfl.cohort.episodes import build_episodes
        from ms_pfl.cohort.splits import split_episodes, split_patients

        folder = self._snapshots / name
        if (folder / "splits.parquet").is_file():
            os.utime(folder)  # the latest used ones stay
            return
        tables, report = read_own_tables(registry_folder, ingest, treatments)
        if countries := other_countries(tables, country):
            # in the log alone: where the column is another one, these are not countries
            _log.error("The tables hold patients of %s", shown(in_quotes(countries), 1000))
            raise RefusalError(
                f'the site is configured as "{country}", but its tables hold patients of another '
                "country, which its log names; each site brings the tables of its own country"
                f"{same_name_hint(country, countries)}"
            )
        rules = CohortParameters(**agreement.cohort.model_dump(), treatments=treatments)
        episodes = build_episodes(tables, rules).episodes
        divide = split_patients if agreement.protocol.split_unit == "patient" else split_episodes
        splits = divide(episodes, agreement.seeds, agreement.splits, self.secret())
        with whole_file(folder / "ingest_report.csv") as part:
            write_csv(report, part)
        for title, table in (("episodes", episodes), ("splits", splits)):  # splits are the last
            with whole_file(folder / f"{title}.parquet") as part:
                table.to_parquet(part, index=False)

    def prune_snapshots(self, wanted: Collection[str], current: str) -> None:
        """Remove the snapshots that no approved run is about, and the oldest of too many.

        Args:
            wanted: those of approved runs.
            current: the one that is used now, or made next.
        """
        held = [
            path
            for path in self._snapshots.glob("*")
            if _SNAPSHOT.fullmatch(path.name) and path.is_dir() and path.name != current
        ]
        held.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        kept = [path for path in held if path.name in wanted][: _SNAPSHOTS - 1]
        for path in set(held) - set(kept):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def _snapshots(self) -> Path:
        return self.path / "snapshots"

    def data(self, snapshot: str) -> FederationData:
        """Return the rows of a snapshot."""
        return _read_snapshot(self._snapshots / snapshot)

    def save_state(self, context: Context) -> None:
        """Write down what the client keeps from message to message."""
        records, configs = context.state.array_records, context.state.config_records
        arrays = {
            f"{name}:{key}": array
            for name, record in records.items()
            for key, array in to_arrays(record).items()
        }
        told = {
            "run_id": context.run_id,
            "configs": {name: dict(config) for name, config in configs.items()},
            "records": list(records),
        }
        write_arrays(self._state, arrays, told)

    def restore_state(self, context: Context, *, run: str | None = None) -> None:
        """Put back what was written down, into a client that has forgotten it.

        Args:
            context: of the client.
            run: the approved run whose state is wanted, as for a new `flwr run` of a training that
                was cut off; None: what is of the present `flwr run`, as after a restart of the
                SuperNode.
        """
        if not self._state.exists():
            return
        try:
            arrays, told = read_arrays(self._state)
        except DamagedFileError as error:
            _log.warning("The state of the site is damaged and not used. %s", error)
            return
        of = told["configs"].get(SITE, {}).get(RUN)
        if (told["run_id"] != context.run_id) if run is None else (of != run):
            return
        for name in told["records"]:
            prefix = f"{name}:"
            context.state[name] = to_record(
                {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
            )
        for name, config in told["configs"].items():
            context.state[name] = ConfigRecord(config)

    @property
    def _state(self) -> Path:
        return self.path / "state.safetensors"

    def keep_model(
        self,
        run: str,
        training: str,
        seed: int,
        models: Mapping[str, np.ndarray],
        told: Mapping[str, Any],
        predictions: pd.DataFrame,
    ) -> None:
        """Keep a finished model with its predictions; both stay here, and are never replaced.

        Args:
            run: name of the folder in ``runs``.
            training: name of the folder in it.
            seed: of the fit.
            models: arrays.
            told: what else belongs to them.
            predictions: of the model.
        """
        folder = self.path / "runs" / run / training
        model = folder / f"models.seed={seed}.safetensors"
        table = folder / f"predictions.seed={seed}.parquet"
        if not model.exists():
            write_arrays(model, models, told)
        if not table.exists():
            with whole_file(table) as part:
                predictions.to_parquet(part, index=False)


@lru_cache(maxsize=1)
def _read_snapshot(folder: Path) -> FederationData:
    return federation_data(
        pd.read_parquet(folder / "episodes.parquet"), pd.read_parquet(folder / "splits.parquet")
    )
