"""A site's own tables, read as each run reads them: by the site's own spellings, of one country."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ms_pfl.cohort.parameters import TreatmentClasses
from ms_pfl.cohort.treatments import package_classes
from ms_pfl.deployment.settings import read_parameters
from ms_pfl.names import near_names
from ms_pfl.registry.ingest.parameters import IngestParameters

if TYPE_CHECKING:
    from ms_pfl.registry.ingest.tables import RegistryTables


def own_spellings(project: str, env: str) -> tuple[IngestParameters, TreatmentClasses]:
    """Return how a site's tables are spelled, and the drugs that are looked for in them.

    Args:
        project: folder with conf/; empty: the tables are spelled as in docs/ingest.md.
        env: a folder of conf/ beside base; empty: none.

    Raises:
        InputError: there are no parameters, or one cannot be used.
    """
    if not project:
        return IngestParameters(), package_classes()
    parameters = read_parameters(project, env)
    return parameters.ingest, parameters.cohort.treatments


def read_own_tables(
    registry_folder: str | Path, ingest: IngestParameters, treatments: TreatmentClasses
) -> tuple[RegistryTables, pd.DataFrame]:
    """Return the tables of a site and the ingest report; the folder is only read.

    Args:
        registry_folder: holds the tables.
        ingest: how they are spelled.
        treatments: drugs that are looked for in free text.

    Raises:
        IngestError: they cannot be used.
    """
    from ms_pfl.cohort.treatments import unread
    from ms_pfl.registry.ingest.tables import ingest as read  # by need: it takes a second

    return read(
        Path(registry_folder).expanduser(),
        ingest,
        unread_treatments=lambda dmt: unread(dmt, treatments),
    )


def other_countries(tables: RegistryTables, country: str) -> list[str]:
    """Return the countries of a site's patients, sorted; none where all are of the site's."""
    countries = sorted(tables.patients["country"].astype(str).unique())
    return [] if countries == [country] else countries


def same_name_hint(country: str, countries: list[str]) -> str:
    """Return what to add to a message where the tables spell the site's country otherwise."""
    if countries == (alike := near_names(country, countries)) and len(alike) == 1:
        return f": start it with country={alike[0]!r}, as the run's sites have to name it too"
    return ""
