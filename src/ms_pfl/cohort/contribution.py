"""What tables could contribute: patients, visits, episodes, outcomes, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from ms_pfl.cohort.episodes import ID_COLUMNS, build_episodes
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.tables import RegistryTables

COLUMNS = ("part", "item", "value")
Row = tuple[str, str, str]


def of_registry(tables: RegistryTables, parameters: CohortParameters) -> pd.DataFrame:
    """Return what a registry's tables could contribute.

    Args:
        tables: canonical.
        parameters: of the cohort.

    Returns:
        Rows of part (``rows``, ``episodes``, a country, ``missing`` values), item and value.
    """
    rows: list[Row] = [("rows", name, f"{len(frame)}") for name, frame in tables.frames().items()]
    try:
        episodes = build_episodes(tables, parameters).episodes
    except InputError as error:
        rows.append(("episodes", "none", str(error)))
    else:
        rows += _of_episodes(episodes)
    for name, frame in tables.frames().items():
        for column in CONTRACT[name]:
            if len(frame) and not column.required:
                share = frame[column.name].isna().mean()
                rows.append(("missing", f"{name}.{column.name}", f"{100 * share:.0f} %"))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def of_episodes(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return what a custom table could contribute, likewise; missing values are those of features.

    Args:
        episodes: as :class:`ms_pfl.cohort.schemas.Episodes` has them.
    """
    rows = list(_of_episodes(episodes))
    for name in episodes.columns.difference(list(ID_COLUMNS), sort=False):
        share = episodes[name].isna().mean()
        rows.append(("missing", str(name), f"{100 * share:.0f} %"))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_episodes(episodes: pd.DataFrame) -> Iterator[Row]:
    yield from _counts("episodes", episodes)
    for country, part in episodes.groupby("country"):
        yield from _counts(str(country), part)


def _counts(part: str, episodes: pd.DataFrame) -> Iterator[Row]:
    patients = episodes[["country", "patient_id"]].drop_duplicates()
    counts: Mapping[str, str] = {
        "episodes": f"{len(episodes)}",
        "patients": f"{len(patients)}",
        "with the outcome": f"{int(episodes['label'].sum())}",
        "share with the outcome": f"{100 * episodes['label'].mean():.1f} %"
        if len(episodes)
        else "",
    }
    yield from ((part, item, value) for item, value in counts.items())
