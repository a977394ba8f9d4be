"""Reading and labelling of tables that lie still, done once for all tests of a process.

Each test of sites begins with the same three folders of tables, and each of its sites reads them
and makes episodes of them. A call is told from another by all that its result depends on; a result
is handed out as a copy.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ms_pfl.cohort import episodes
from ms_pfl.cohort.episodes import Cohort
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.registry.ingest import tables
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.tables import RegistryTables

Read = tuple[RegistryTables, pd.DataFrame]
_READ: dict[tuple[Path, str], dict[tuple[object, ...], Read]] = {}
_COHORTS: dict[tuple[str, str], Cohort] = {}


def remember(monkeypatch: pytest.MonkeyPatch, registries: Path) -> None:
    """Have sites remember what they read of the folders in ``registries``, which stay as they are.

    Tables of any other folder are read again, and what is refused is refused again.
    """
    monkeypatch.setattr(tables, "ingest", _remembering(tables.ingest, registries))
    monkeypatch.setattr(episodes, "build_episodes", _remembering_cohorts(episodes.build_episodes))


def _remembering(read: Callable[..., Read], registries: Path) -> Callable[..., Read]:
    def ingest(folder: Path, parameters: IngestParameters | None = None, **more: Any) -> Read:
        unread_treatments = more.get("unread_treatments")
        if Path(folder).parent != registries or parameters is None or unread_treatments is None:
            return read(folder, parameters, **more)
        done = _READ.setdefault((folder, parameters.model_dump_json()), {})
        for answer, found in done.items():
            if answer == _answer(found[0], unread_treatments):
                return copy.deepcopy(found)
        found = read(folder, parameters, **more)
        done[_answer(found[0], unread_treatments)] = copy.deepcopy(found)
        return found

    return ingest


def _answer(
    read: RegistryTables, unread_treatments: Callable[[pd.Series], pd.Series]
) -> tuple[object, ...]:
    """What the report depends on beside the folder: which treatments count as none, and why."""
    said = unread_treatments(read.treatments["dmt"].dropna())
    return tuple(said.astype(object).where(said.notna(), None))


def _remembering_cohorts(
    build: Callable[[RegistryTables, CohortParameters], Cohort],
) -> Callable[[RegistryTables, CohortParameters], Cohort]:
    def build_episodes(read: RegistryTables, parameters: CohortParameters) -> Cohort:
        key = (_digest(read), parameters.model_dump_json())
        if key not in _COHORTS:
            _COHORTS[key] = build(read, parameters)
        return copy.deepcopy(_COHORTS[key])

    return build_episodes


def _digest(read: RegistryTables) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, table in read.frames().items():
        digest.update(f"{name}\x1f{list(table.columns)}\x1f{table.dtypes.tolist()}".encode())
        digest.update(pd.util.hash_pandas_object(table).to_numpy().tobytes())
    digest.update(repr((dict(read.source), sorted(read.future_visit_days.items()))).encode())
    return digest.hexdigest()
