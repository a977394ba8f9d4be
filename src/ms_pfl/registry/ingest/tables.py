"""The four tables of a registry in the ingest contract: read from a folder, or checked as given.

Reading never writes: a folder of tables is left as it was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.checks import check_table, note_unread_treatments
from ms_pfl.registry.ingest.consistency import check_between_tables, without_duplicates
from ms_pfl.registry.ingest.csv_files import SEPARATORS, UnusableFile
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.patient_ids import PatientNames
from ms_pfl.registry.ingest.refusals import Origin
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.ingest.table_files import find_table, read_table, synthetic_source


@dataclass(frozen=True)
class RegistryTables:
    """Four tables in the ingest contract, as :mod:`ms_pfl.registry.schemas` describes them.

    Attributes:
        source: where they come from: ``kind`` (``synthetic``, ``folder`` or ``own``) and
            ``description``, in words; empty where that is not known.
        future_visit_days: patient -> number of days with a visit that were left out because they
            lie in the future, so that the attrition can start from all rows that were read.
    """

    patients: pd.DataFrame
    visits: pd.DataFrame
    relapses: pd.DataFrame
    treatments: pd.DataFrame
    source: Mapping[str, str] = field(default_factory=dict)
    future_visit_days: Mapping[str, int] = field(default_factory=dict)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the four tables by name."""
        return {name: getattr(self, name) for name in CONTRACT}


def ingest(
    folder: str | Path,
    parameters: IngestParameters | None = None,
    *,
    today: pd.Timestamp | None = None,
    unread_treatments: Callable[[pd.Series], pd.Series] | None = None,
) -> tuple[RegistryTables, pd.DataFrame]:
    """Read and check the four tables of a folder; nothing is written there.

    Args:
        folder: holds patients, visits, relapses and treatments, each as .csv (UTF-8; commas,
            semicolons or tabs) or .parquet.
        parameters: how the folder spells columns, codes, drugs and dates; as the contract does
            where not given.
        today: dates after this day are in the future; the current day where not given.
        unread_treatments: gives of each text of ``treatments.dmt`` the rule that says why it
            counts as none although it may be one, or a missing value; not asked where None.

    Returns:
        The canonical tables: all columns of the contract, missing where the files lack them. The
        ``kind`` of their source is ``synthetic`` where the patients' Parquet file says so itself,
        else ``folder``.

        The report, as :meth:`ms_pfl.registry.ingest.report.IngestReport.table` gives it.

    Raises:
        IngestError: the folder, tables, columns or values break the contract. The message names
            of the first the file, the line as an editor shows it, the column, the value and the
            remedy; its ``report`` lists all.
    """
    folder = Path(folder)
    parameters = parameters or IngestParameters()
    report = IngestReport()
    if not folder.is_dir():
        report.refuse_table(
            "folder_absent",
            f"the registry folder {folder} does not exist or is no folder; name a folder that "
            "holds patients, visits, relapses and treatments as .csv or .parquet",
            "",
        )
        report.conclude()
    frames: dict[str, pd.DataFrame] = {}
    origins: dict[str, Origin] = {}
    for name in CONTRACT:
        try:
            frame, origin = read_table(find_table(folder, name), name, parameters.date_format)
        except UnusableFile as error:
            report.refuse_table(error.rule, str(error), name, rows=error.rows)
            continue
        if origin.decimal_comma:
            mark = SEPARATORS[origin.separator]
            report.remark("separator", origin, "", mark, "read as separated so", origin.first - 1)
        frames[name], origins[name] = frame, origin
    source = {"kind": "folder", "description": f"registry tables in {folder.resolve().name}"}
    if "patients" in frames:
        source = synthetic_source(folder) or source
    return _check(frames, origins, source, {}, today, report, parameters, unread_treatments)


def read_folder(folder: str | Path, *, today: pd.Timestamp | None = None) -> RegistryTables:
    """The tables of :func:`ingest` for a folder in the spelling of the contract."""
    return ingest(folder, today=today)[0]


def check(
    tables: RegistryTables, origin: str, *, today: pd.Timestamp | None = None
) -> RegistryTables:
    """Check and canonicalize tables in memory, as :func:`ingest` does for files.

    Args:
        tables: four tables with at least the required columns of the contract.
        origin: what they are, for messages, e.g. "synthetic registry".
        today: as in :func:`ingest`.

    Returns:
        Canonical copies, from the same source (``own`` where it is not known); days in the future
        that were left out before still count.

    Raises:
        IngestError: as in :func:`ingest`; rows are counted from 1.
    """
    origins = {name: Origin(f"{origin}, {name} table", "row", 1, table=name) for name in CONTRACT}
    source = tables.source or {"kind": "own", "description": origin}
    given = tables.frames(), origins, source, tables.future_visit_days
    return _check(*given, today, IngestReport(), IngestParameters())[0]


def _check(
    frames: dict[str, pd.DataFrame],
    origins: dict[str, Origin],
    source: Mapping[str, str],
    left_out: Mapping[str, int],
    today: pd.Timestamp | None,
    report: IngestReport,
    parameters: IngestParameters,
    unread_treatments: Callable[[pd.Series], pd.Series] | None = None,
) -> tuple[RegistryTables, pd.DataFrame]:
    limit = (today or pd.Timestamp.now()).normalize()
    canonical: dict[str, pd.DataFrame] = {}
    names = PatientNames(parameters.patient_ids)
    future = Counter(left_out)
    for name, frame in frames.items():
        table, days = check_table(name, frame, origins[name], limit, report, parameters, names)
        future.update(days)
        canonical[name] = without_duplicates(name, table, origins[name], report, names.kind)
    if "treatments" in canonical and unread_treatments is not None:
        dmt = canonical["treatments"]["dmt"].dropna()
        note_unread_treatments(dmt, unread_treatments(dmt), origins["treatments"], report)
    check_between_tables(canonical, origins, report)
    found = report.conclude()
    tables = {name: frame.reset_index(drop=True) for name, frame in canonical.items()}
    return RegistryTables(**tables, source=dict(source), future_visit_days=dict(future)), found
