"""The folder in which a site keeps what must not leave it, and what has left it."""

import datetime
import hashlib
import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.deployment.agreement import CohortAgreement, RefusalError
from ms_pfl.deployment.settings import in_quotes
from ms_pfl.federation.checkpoints import DamagedFileError, read_arrays, write_arrays
from ms_pfl.federation.flower import ConfigRecord, Context, Message, to_arrays, to_record
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.files import whole_file
from ms_pfl.names import near_names
from ms_pfl.provenance import source_digest
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.spreadsheets import write_csv

SITE = "site"
_log = logging.getLogger(__name__)


class SiteFolder:
    """``site-folder`` of one site: episodes, state, models, predictions, the log of what left."""

    def __init__(self, folder: str) -> None:
        """Name the folder; it is made when something is kept."""
        self.path = Path(folder).expanduser().resolve()

    def take_snapshot(
        self,
        country: str,
        registry_folder: str,
        ingest: IngestParameters,
        agreement: CohortAgreement,
    ) -> str:
        """Make episodes and splits of the registry's tables, once for the same tables and settings.

        A training goes on with the rows that it began with, whatever happens to the tables.

        Returns:
            The name of the snapshot.

        Raises:
            InputError: the tables cannot be used.
            RefusalError: they hold patients of another country.
        """
        from ms_pfl.cohort.episodes import build_episodes
        from ms_pfl.cohort.splits import split_episodes, split_patients
        from ms_pfl.cohort.treatments import unread
        from ms_pfl.registry.ingest.tables import ingest as read

        registry = Path(registry_folder).expanduser()
        name = _snapshot_name(registry, ingest, agreement)
        folder = self.path / "snapshots" / name
        if (folder / "splits.parquet").is_file():
            return name
        tables, report = read(
            registry,
            ingest,
            unread_treatments=lambda dmt: unread(dmt, agreement.cohort.treatments),
        )
        countries = sorted(tables.patients["country"].astype(str).unique())
        if countries != [country]:
            raise RefusalError(
                f'the site is configured as "{country}", but its tables hold patients of '
                f"{in_quotes(countries)}; each site brings the tables of its own country"
                f"{_hint(country, countries)}"
            )
        episodes = build_episodes(tables, agreement.cohort).episodes
        divide = split_patients if agreement.protocol.split_unit == "patient" else split_episodes
        splits = divide(episodes, agreement.seeds, agreement.splits)
        with whole_file(folder / "ingest_report.csv") as part:
            write_csv(report, part)
        for title, table in (("episodes", episodes), ("splits", splits)):  # splits are the last
            with whole_file(folder / f"{title}.parquet") as part:
                table.to_parquet(part, index=False)
        return name

    def data(self, snapshot: str) -> FederationData:
        """The rows of a snapshot."""
        return _read_snapshot(self.path / "snapshots" / snapshot)

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

    def restore_state(self, context: Context, *, of_run: bool) -> None:
        """Put back what was written down, into a client that has forgotten it.

        Args:
            context: of the client.
            of_run: only what is of the present run, as after a restart of the SuperNode; else
                whatever is there, as for a new run of a training that was cut off.
        """
        if not self._state.exists():
            return
        try:
            arrays, told = read_arrays(self._state)
        except DamagedFileError as error:
            _log.warning("The state of the site is damaged and not used. %s", error)
            return
        if of_run and told["run_id"] != context.run_id:
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
        training: str,
        seed: int,
        models: Mapping[str, np.ndarray],
        told: Mapping[str, Any],
        predictions: pd.DataFrame,
    ) -> None:
        """Keep a finished model with its predictions; both stay here."""
        folder = self.path / training
        write_arrays(folder / f"models.seed={seed}.safetensors", models, told)
        with whole_file(folder / f"predictions.seed={seed}.parquet") as part:
            predictions.to_parquet(part, index=False)

    def note(self, message: Message, reply: Message) -> None:
        """Add a line to ``sent.jsonl``: when, what was asked, and what left the site."""
        server_round = message.content.config_records.get("config", {}).get("server-round")
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "run": message.metadata.run_id,
            "asked": message.metadata.message_type,
            "round": None if server_round is None else int(server_round),
            "arrays": {
                key: list(array.shape)
                for record in reply.content.array_records.values()
                for key, array in record.items()
            },
            "numbers": {
                key: value
                for record in reply.content.metric_records.values()
                for key, value in record.items()
            },
            "text": {
                key: value
                for record in reply.content.config_records.values()
                for key, value in record.items()
            },
        }
        self.path.mkdir(parents=True, exist_ok=True)
        rest = memoryview(json.dumps(line).encode() + b"\n")
        with (self.path / "sent.jsonl").open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(before)  # a line is whole, or absent
                raise


def _hint(country: str, countries: list[str]) -> str:
    if countries == (alike := near_names(country, countries)) and len(alike) == 1:
        return f": start it with country={alike[0]!r}, as the run's sites have to name it too"
    return ""


def _snapshot_name(registry: Path, ingest: IngestParameters, agreement: CohortAgreement) -> str:
    digest = hashlib.blake2b(source_digest().encode(), digest_size=8)
    for told in (ingest.model_dump_json(), agreement.model_dump_json()):
        digest.update(told.encode())
    for file in sorted(registry.glob("*")) if registry.is_dir() else ():
        if file.is_file():
            digest.update(f"{file.name}\x1f{file.stat().st_size}".encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "blake2b").digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _read_snapshot(folder: Path) -> FederationData:
    return federation_data(
        pd.read_parquet(folder / "episodes.parquet"), pd.read_parquet(folder / "splits.parquet")
    )
