"""Nodes of the cohort: a registry or a custom table becomes episodes and splits."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters, OwnEpisodesParameters, SplitFractions
from ms_pfl.errors import InputError
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.log_text import line
from ms_pfl.registry.ingest.parameters import IngestParameters, IngestProfile
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters

_log = logging.getLogger(__name__)


def simulate_registry(
    parameters: SyntheticRegistryParameters, registry_folder: str | None
) -> dict[str, Any]:
    """Simulate the four tables of a registry, unless somebody's own are to be read.

    Args:
        parameters: size, seed and heterogeneity of the simulation.
        registry_folder: a folder of your own tables; where given, nothing is simulated.

    Returns:
        The fields of :class:`ms_pfl.registry.ingest.tables.RegistryTables`; empty where
        ``registry_folder`` is given.
    """
    if registry_folder is not None:
        _log.info("Own tables are read from %s: no registry is simulated", registry_folder)
        return {}
    from ms_pfl.registry.synthetic.simulation import simulate

    tables = simulate(parameters)
    _log.info(
        "Synthetic registry (no real people): %s patients, %s visits",
        f"{len(tables.patients):,}",
        f"{len(tables.visits):,}",
    )
    return vars(tables)


def read_registry(
    registry_folder: str | None,
    synthetic_folder: Path,
    parameters: IngestParameters,
    cohort: CohortParameters,
) -> tuple[Any, ...]:
    """Read somebody's own tables where a folder is given, else the simulated ones. Read-only.

    Args:
        registry_folder: holds the four tables, as docs/ingest.md has them; or None.
        synthetic_folder: where the synthetic registry lies.
        parameters: how your own tables are spelled; the synthetic ones need no such help.
        cohort: names the treatments that are known.

    Returns:
        patients, visits, relapses, treatments, the source as {"kind", "description"}, the number
        of days with a visit in the future by patient, and the ingest report.

    Raises:
        InputError: a folder, a table or a value cannot be used; an
            :class:`~ms_pfl.registry.ingest.report.IngestError` carries the ingest report.
    """
    from ms_pfl.cohort.treatments import unread
    from ms_pfl.registry.ingest.tables import ingest

    if registry_folder is None and not synthetic_folder.is_dir():
        raise InputError(
            "There is no registry to read: make the synthetic one with `kedro run "
            "--pipeline=synthetic_registry`, or name the folder of your own tables with "
            "--params=registry_folder=DIR."
        )
    if registry_folder is None:
        tables, report = ingest(synthetic_folder)
    else:
        tables, report = ingest(
            Path(registry_folder).expanduser(),
            parameters,
            unread_treatments=lambda dmt: unread(dmt, cohort.treatments),
        )
    return (*vars(tables).values(), report)


def build_cohort(
    patients: pd.DataFrame,
    visits: pd.DataFrame,
    relapses: pd.DataFrame,
    treatments: pd.DataFrame,
    source: dict[str, str],
    future_visit_days: dict[str, int],
    parameters: CohortParameters,
) -> tuple[Any, ...]:
    """Label the episodes and build their features.

    Returns:
        The provenance of the episodes, ``episodes``, ``attrition``, ``attrition_by_country``,
        ``outcomes``, ``prevalence``.
    """
    from ms_pfl.cohort.episodes import build_episodes
    from ms_pfl.cohort.provenance import registry_provenance
    from ms_pfl.registry.ingest.tables import RegistryTables

    tables = RegistryTables(patients, visits, relapses, treatments, source, future_visit_days)
    cohort = build_episodes(tables, parameters)
    return (registry_provenance(cohort, source, parameters), *cohort)


def split(
    episodes: pd.DataFrame,
    seeds: Sequence[int],
    parameters: SplitFractions,
    protocol: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the patients of each country for each seed.

    Returns:
        ``splits`` (a row per patient and seed; an episode and seed where the protocol says so),
        ``split_counts`` (a row per seed and country).
    """
    from ms_pfl.cohort.splits import count_splits, split_episodes, split_patients

    unit = ProtocolParameters.of(protocol).split_unit
    divide = split_patients if unit == "patient" else split_episodes
    splits = divide(episodes, seeds, parameters)
    return splits, count_splits(episodes, splits)


def describe_cohort(episodes: pd.DataFrame, provenance: dict[str, Any]) -> dict[str, Any]:
    """Describe what the results are based on: the provenance of the episodes, and the countries.

    Returns:
        The keys of :mod:`ms_pfl.cohort.provenance`, and "countries" (rows of
        :func:`ms_pfl.reporting.sites.country_table`).

    Raises:
        InputError: the provenance is that of other episodes.
    """
    from ms_pfl.cohort.provenance import check_provenance
    from ms_pfl.reporting.sites import country_table
    from ms_pfl.reporting.words import site_words

    check_provenance(episodes, provenance)
    countries = country_table(episodes)
    _log.info(
        "Cohort: %s episodes of %s patients in %d %s, %.1f %% with the outcome",
        f"{len(episodes):,}", f"{countries['n_patients'].sum():,}", len(countries),
        site_words(provenance["source"])[1], 100 * episodes["label"].mean(),
    )  # fmt: skip
    return provenance | {"countries": countries.to_dict(orient="records")}


def read_own_episodes(
    episodes_file: str | None,
    parameters: OwnEpisodesParameters,
    heart_folder: str | None,
    heart_rows: Literal["complete", "all"],
    earlier_episodes: Path,
    earlier_provenance: Path,
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """Read and encode the table that is given, or go on from the episodes that are there.

    Args:
        episodes_file: a file of a custom table, which comes before the others.
        parameters: its column map, and what is done with categories and missing values.
        heart_folder: the files of UCI Heart Disease.
        heart_rows: which of their rows and columns are taken.
        earlier_episodes: what an earlier run left, or a user has put there.
        earlier_provenance: what an earlier run recorded of its episodes.

    Returns:
        The provenance of the episodes, ``episodes``, the vocabulary of their features, and the
        report of how a custom table was read (of an earlier run, where this one goes on from it).

    Raises:
        InputError: a file, column or value cannot be used, or nothing is there to go on from.
    """
    from ms_pfl.cohort.custom.table import own_episodes, read_file
    from ms_pfl.cohort.provenance import custom_table_provenance
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.registry.importers import heart_disease
    from ms_pfl.registry.ingest.report import IngestReport, report_of, rows_of

    if episodes_file is not None:
        table, origin = read_file(episodes_file, parameters=parameters)
        description = f"own episodes table {line(Path(episodes_file).name)}"
    elif heart_folder is not None:
        table, origin = heart_disease.read_hospitals(Path(heart_folder).expanduser(), heart_rows)
        description = heart_disease.DESCRIPTIONS[heart_rows]
    else:
        provenance, episodes, earlier = _resume(earlier_episodes, earlier_provenance)
        return provenance, episodes, earlier, report_of(provenance.get("readings") or ())
    report = IngestReport()
    episodes, vocabulary = own_episodes(table, origin, parameters, report)
    _log.info(
        "Own table: %s rows of %d sites; %d columns, %d of them categorical, became %d features",
        f"{len(episodes):,}", episodes["country"].nunique(), len(vocabulary.columns),
        len(vocabulary.levels), len(feature_columns(episodes)),
    )  # fmt: skip
    provenance = custom_table_provenance(episodes, vocabulary, parameters, description)
    found = report.conclude()
    provenance["readings"] = rows_of(found)
    return provenance, episodes, vocabulary.model_dump(mode="json"), found


def _resume(
    earlier_episodes: Path, recorded: Path
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]:
    from ms_pfl.cohort.custom.vocabulary import Vocabulary
    from ms_pfl.cohort.provenance import earlier_provenance
    from ms_pfl.cohort.schemas import read_episodes
    from ms_pfl.federation.partitions import feature_columns

    if not earlier_episodes.is_file():
        raise InputError(
            f"There are no episodes in {earlier_episodes}: name a table of your own with "
            "--params=episodes_file=FILE, or make them of a registry with `kedro run "
            "--pipeline=preprocessing`"
        )
    episodes = read_episodes(pd.read_parquet(earlier_episodes))
    provenance = earlier_provenance(episodes, recorded)
    names = tuple(feature_columns(episodes))
    numbers = Vocabulary(columns=names, levels={}, numbers=tuple(sorted(names)), missing=())
    return provenance, episodes, provenance["vocabulary"] or numbers.model_dump(mode="json")


def check_tables(
    registry_folder: str | None,
    episodes_file: str | None,
    parameters: IngestParameters,
    own: OwnEpisodesParameters,
    cohort: CohortParameters,
    profiles: Sequence[IngestProfile],
) -> tuple[pd.DataFrame, str, pd.DataFrame, pd.DataFrame]:
    """Read somebody's own tables without using them, and propose settings that read them.

    Args:
        registry_folder: as of :func:`read_registry`; or None.
        episodes_file: a custom table, where no folder is given.
        parameters: how the registry's files are read at present.
        own: how the custom table is read at present.
        cohort: how visits become episodes.
        profiles: that may be proposed for the registry's files.

    Returns:
        What stands in the way (a row each), settings to paste as YAML, what could be contributed,
        and the ingest report by these settings.

    Raises:
        InputError: neither a folder nor a file is given, or it cannot be found.
    """
    from ms_pfl.pipelines.cohort.checks import check_custom, check_registry

    if registry_folder is not None:
        checked = check_registry(Path(registry_folder).expanduser(), parameters, cohort, profiles)
    elif episodes_file is not None:
        checked = check_custom(episodes_file, own)
    else:
        raise InputError(
            "There are no tables to check: name a folder with --params=registry_folder=DIR, or a "
            "custom table with --params=episodes_file=FILE."
        )
    for told in checked.told:
        _log.info("%s", told)
    return checked.problems, checked.settings, checked.contribution, checked.report
