"""The four tables of a registry in the ingest contract: read from a folder, or checked as given.

What is wrong goes to the report, which stops the run once all tables are read; what can be done
without is left out, and noted there too (``docs/ingest.md`` has the rules). Reading never writes: a
folder of tables is left as it was found.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ms_pfl.log_text import line
from ms_pfl.names import near
from ms_pfl.registry.contract import COMPANIONS, CONTRACT, REQUIRED_COLUMNS, Column
from ms_pfl.registry.ingest.cells import MISSING, as_text
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.consistency import DATES, check_between_tables, without_duplicates
from ms_pfl.registry.ingest.counted_days import with_counted_days
from ms_pfl.registry.ingest.csv_files import SEPARATORS
from ms_pfl.registry.ingest.dates import AS_WRITTEN, DateRules
from ms_pfl.registry.ingest.named_columns import named_columns
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.patient_ids import PatientNames
from ms_pfl.registry.ingest.refusals import Origin, UnusableFile
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.ingest.spellings import (
    note_decimal_commas,
    note_other_forms,
    refuse_one_sex,
    translated,
)
from ms_pfl.registry.ingest.table_files import (
    FileSettings,
    find_table,
    read_table,
    synthetic_source,
    unread_files,
)


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
        folder: holds patients, visits, relapses and treatments, each in a file of a kind of
            :data:`.table_files.READ`.
        parameters: how the folder names its files, and what these hold; as the contract has it
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
    used: list[Path] = []
    for name in CONTRACT:
        if parameters.has_no_table(name):
            frames[name] = pd.DataFrame({one: [] for one in REQUIRED_COLUMNS[name]}, dtype="str")
            origins[name] = Origin(f"{folder}, {name}", "row", 1, table=name)
            report.remark("no_table", origins[name], "", "", "read as a table without rows")
            continue
        try:
            used.append(find_table(folder, name, parameters.file_pattern(name)))
            frame, origin = read_table(used[-1], name, file_settings(parameters, name))
        except UnusableFile as error:
            report.refuse_table(error.rule, str(error), name, rows=error.rows)
            continue
        for note in origin.notes:
            report.remark(note.rule, origin, note.column, note.value, note.action, note.row)
        if origin.separator != ",":
            report.remark(
                "separator",
                origin,
                "",
                SEPARATORS[origin.separator],
                "read as separated so",
                origin.first - 1,
            )
        frames[name], origins[name] = frame, origin
    for name in unread_files(folder, used):
        report.remark("file_not_read", Origin("", "row", 1), "", name, "not read")
    source = {"kind": "folder", "description": f"registry tables in {line(folder.resolve().name)}"}
    if "patients" in frames:
        source = synthetic_source(folder) or source
    return _check(frames, origins, source, {}, today, report, parameters, unread_treatments)


def file_settings(parameters: IngestParameters, table: str) -> FileSettings:
    """Return what is set of the file of a table."""
    return FileSettings(
        limits=parameters.limits,
        encoding=parameters.encoding_of(table),
        sheet=parameters.sheet(table),
        value_labels=parameters.value_labels,
        decimal_comma=parameters.decimal_comma,
    )


def read_folder(folder: str | Path, *, today: pd.Timestamp | None = None) -> RegistryTables:
    """Return the tables of :func:`ingest` for a folder in the spelling of the contract."""
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
    return _check(
        tables.frames(),
        origins,
        source,
        tables.future_visit_days,
        today,
        IngestReport(),
        IngestParameters(),
    )[0]


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
        _note_unread_treatments(dmt, unread_treatments(dmt), origins["treatments"], report)
    check_between_tables(canonical, origins, report)
    found = report.conclude()
    tables = {name: frame.reset_index(drop=True) for name, frame in canonical.items()}
    return RegistryTables(**tables, source=dict(source), future_visit_days=dict(future)), found


def check_table(
    name: str,
    frame: pd.DataFrame,
    origin: Origin,
    today: pd.Timestamp,
    report: IngestReport,
    parameters: IngestParameters,
    patient_names: PatientNames,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Canonicalize one table.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read, cells as text or typed; its index is not used.
        origin: for messages.
        today: later dates are left out.
        report: takes note of every violation; errors do not raise here.
        parameters: a site's own spellings.
        patient_names: names the patients.

    Returns:
        All columns of the contract in its order; the index is the position of the row in `frame`.
        What was refused is missing. Then, of visits, the number of days with a visit that were left
        out because they lie in the future, by patient who had any.
    """
    frame = with_counted_days(name, frame, origin, report, parameters)
    frame = named_columns(
        name, frame, origin, report, parameters.column_names(name),
        parameters.profile_names(name), parameters.constants_of(name),
    )  # fmt: skip
    needed = name in ("patients", "visits")
    if name not in report.unusable:  # a table without its columns has no value in any row
        frame = _without_empty_rows(frame, parameters.constants_of(name), origin, report)
        if frame.empty and needed:
            report.refuse_table(
                "no_row",
                f"{origin.label} holds a header and no rows; at least one row is needed, "
                "check the export that wrote it",
                name,
            )
    note_decimal_commas(frame, name, origin, report)
    spelled = _spelled(name, frame, origin, report, parameters)
    if parameters.undated == "drop" and name in ("relapses", "treatments"):
        frame, spelled = _without_undated(DATES[name], frame, spelled, origin, report)
    canonical = pd.DataFrame(index=frame.index)
    for column in _columns_of(name, frame):
        read = read_column(
            spelled.get(column.name), column, frame.index, origin, report.refuse, report.count,
            DateRules(
                parameters.date_format_of(name, column.name),
                parameters.partial_dates is not None,
                parameters.time_zone,
            ) if column.kind == "date" else AS_WRITTEN,
        )  # fmt: skip
        if column.name == "gender":
            codes = parameters.codes(name, column.name)
            refuse_one_sex(frame.get(column.name), codes, read, origin, report)
        canonical[column.name] = read
    handed_in = patient_names.resolve(name, canonical, origin, report)
    canonical = _without_the_future(name, handed_in, origin, today, report)
    future_days: dict[str, int] = {}
    if name == "visits":
        future = handed_in.drop(index=canonical.index)
        days = future.drop_duplicates(["PATIENT_ID", "DATE_OF_VISIT"])
        counted = days["PATIENT_ID"].value_counts(sort=False)
        future_days = {str(patient): int(n) for patient, n in counted.items()}
        if "EDSS" in spelled:
            unscored = spelled["EDSS"].loc[canonical.index[canonical["EDSS"].isna()]]
            report.tolerate("no_edss", unscored[as_text(unscored, MISSING).isna()], origin)
    elif name == "patients":
        _note_country_names(canonical["country"], origin, report)
    elif name == "treatments":
        reversed_ = canonical["END_DATE"] < canonical["START_DATE"]
        report.tolerate("end_before_start", canonical.loc[reversed_, "END_DATE"], origin)
        canonical = canonical[~reversed_]
    if canonical.empty and needed and report.message is None:
        report.refuse_table(
            "no_row",
            f"{origin.label} holds no usable row, as all were left out; correct their dates",
            name,
        )
    return canonical, future_days


def _columns_of(name: str, frame: pd.DataFrame) -> list[Column]:
    """Columns of the contract, and those beside it that the file has."""
    companions = [column for column in COMPANIONS[name] if column.name in frame]
    return [*CONTRACT[name], *companions]


def _spelled(
    name: str, frame: pd.DataFrame, origin: Origin, report: IngestReport,
    parameters: IngestParameters,
) -> dict[str, pd.Series]:  # fmt: skip
    """Columns of a table with a site's own spellings replaced."""
    spelled: dict[str, pd.Series] = {}
    words = parameters.missing_words()
    for column in _columns_of(name, frame):
        given = frame.get(column.name)
        if column.kind == "text":
            note_other_forms(given, column.name, origin, report)
        own = parameters.own_codes(name, column.name)
        codes = parameters.codes(name, column.name)
        raw = translated(given, codes, words, column, origin, report, own)
        if raw is not None:
            spelled[column.name] = raw
    return spelled


def _without_undated(
    date: str, frame: pd.DataFrame, spelled: dict[str, pd.Series], origin: Origin,
    report: IngestReport,
) -> tuple[pd.DataFrame, dict[str, pd.Series]]:  # fmt: skip
    """Rows that have a date; the others are noted, by their patient."""
    if date not in spelled or "PATIENT_ID" not in frame:
        return frame, spelled
    undated = as_text(spelled[date], MISSING, normalized=False).isna()
    report.tolerate("undated_row", frame.loc[undated, "PATIENT_ID"], origin)
    kept = {column: cells[~undated] for column, cells in spelled.items()}
    return frame[~undated], kept


def _without_empty_rows(
    frame: pd.DataFrame, added: Collection[str], origin: Origin, report: IngestReport
) -> pd.DataFrame:
    """Rows in which something stands; columns that are not read, or were added, do not count."""
    empty = frame.index
    for column in frame.columns.difference(list(added), sort=False):
        # Whoever has a value in an earlier column is out of the question.
        empty = empty[as_text(frame[column].loc[empty], normalized=False).isna()]
        if empty.empty:
            return frame
    report.tolerate("empty_row", pd.Series("", index=empty), origin)
    return frame.drop(index=empty)


def _note_country_names(country: pd.Series, origin: Origin, report: IngestReport) -> None:
    """Note one row of each name that is near another's, or says "not known"."""
    first = country.dropna().drop_duplicates()
    report.tolerate("country_spelling", first[first.map(near).duplicated(keep=False)], origin)
    report.tolerate("country_not_named", first[first.str.upper().isin(MISSING)], origin)


def _note_unread_treatments(
    dmt: pd.Series, unread: pd.Series, origin: Origin, report: IngestReport
) -> None:
    """Note each distinct text that counts as no treatment although it may be one.

    Args:
        dmt: texts of the canonical treatments, indexed by row position.
        unread: of each text the rule that says why, or missing.
        origin: for the report.
        report: takes note.
    """
    distinct = pd.DataFrame({"dmt": dmt, "rule": unread}).dropna()
    for (text, rule), rows in distinct.groupby(["dmt", "rule"], sort=False):
        report.remark(
            str(rule),
            origin,
            "dmt",
            str(text),
            f"no disease-modifying treatment in {len(rows)} rows",
            origin.row(rows.index[0]),
        )


def _without_the_future(
    name: str, frame: pd.DataFrame, origin: Origin, today: pd.Timestamp, report: IngestReport
) -> pd.DataFrame:
    """Rows of the future go; an optional date of the future becomes missing (END_DATE: open)."""
    for column in [column for column in CONTRACT[name] if column.kind == "date"]:
        dates = frame[column.name]
        late = dates > today
        if late.any():
            rule = "future_row" if column.required else "future_value"
            report.tolerate(rule, dates[late], origin)
            masked = frame.assign(**{column.name: dates.mask(late)})
            frame = frame[~late] if column.required else masked
    return frame
