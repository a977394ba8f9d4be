"""Checks of one table of the ingest contract: what stops the run, what is left out or kept.

What is wrong goes to the report, which stops the run once all tables are read; what can be done
without is left out, and noted there too (``docs/ingest.md`` has the rules).
"""

from __future__ import annotations

import pandas as pd

from ms_pfl.names import near
from ms_pfl.registry.contract import COMPANIONS, CONTRACT
from ms_pfl.registry.ingest.columns import MISSING, as_text, read_column
from ms_pfl.registry.ingest.named_columns import (
    named_columns,
    note_decimal_commas,
    note_other_forms,
    refuse_one_sex,
    translated,
)
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.patient_ids import PatientNames
from ms_pfl.registry.ingest.refusals import Origin
from ms_pfl.registry.ingest.report import IngestReport


def check_table(
    name: str,
    frame: pd.DataFrame,
    origin: Origin,
    today: pd.Timestamp,
    report: IngestReport,
    parameters: IngestParameters,
    patient_names: PatientNames | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Canonicalize one table.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read, cells as text or typed; its index is not used.
        origin: for messages.
        today: later dates are left out.
        report: takes note of every violation; errors do not raise here.
        parameters: a site's own spellings.
        patient_names: names the patients; they are called as written where not given.

    Returns:
        All columns of the contract in its order; the index is the position of the row in `frame`.
        What was refused is missing. Then, of visits, the number of days with a visit that were left
        out because they lie in the future, by patient who had any.
    """
    frame = named_columns(name, frame, origin, report, parameters.column_names(name))
    needed = name in ("patients", "visits")
    if name not in report.unusable:  # a table without its columns has no value in any row
        frame = _without_empty_rows(frame, origin, report)
        if frame.empty and needed:
            report.refuse_table(
                "no_row",
                f"{origin.label} holds a header and no rows; at least one row is needed, "
                "check the export that wrote it",
                name,
            )
    note_decimal_commas(frame, name, origin, report)
    canonical = pd.DataFrame(index=frame.index)
    companions = [column for column in COMPANIONS[name] if column.name in frame]
    for column in (*CONTRACT[name], *companions):
        given = frame.get(column.name)
        if column.kind == "text":
            note_other_forms(given, column.name, origin, report)
        own = parameters.codes(name, column.name)
        raw = translated(given, own, column.name, origin, report)
        read = read_column(raw, column, frame.index, origin, report.refuse)
        if column.name == "gender":
            refuse_one_sex(given, own, read, origin, report)
        canonical[column.name] = read
    patient_names = patient_names or PatientNames(parameters.patient_ids)
    handed_in = patient_names.resolve(name, canonical, origin, report)
    canonical = _without_the_future(name, handed_in, origin, today, report)
    future_days: dict[str, int] = {}
    if name == "visits":
        future = handed_in.drop(index=canonical.index)
        days = future.drop_duplicates(["PATIENT_ID", "DATE_OF_VISIT"])
        counted = days["PATIENT_ID"].value_counts(sort=False)
        future_days = {str(patient): int(n) for patient, n in counted.items()}
        if "EDSS" in frame:
            unscored = frame.loc[canonical.index[canonical["EDSS"].isna()], "EDSS"]
            report.tolerate("no_edss", unscored[as_text(unscored, MISSING).isna()], origin)
    elif name == "patients":
        _note_country_names(canonical["country"], origin, report)
    elif name == "treatments":
        reversed_ = canonical["END_DATE"] < canonical["START_DATE"]
        report.tolerate("end_before_start", canonical.loc[reversed_, "END_DATE"], origin)
        canonical = canonical[~reversed_]
    if canonical.empty and needed and not report.stopped:
        report.refuse_table(
            "no_row",
            f"{origin.label} holds no usable row, as all were left out; correct their dates",
            name,
        )
    return canonical, future_days


def _without_empty_rows(frame: pd.DataFrame, origin: Origin, report: IngestReport) -> pd.DataFrame:
    """Rows in which something stands; the columns that are not read do not count."""
    empty = frame.index
    for column in frame:
        # Whoever has a value in an earlier column is out of the question.
        empty = empty[as_text(frame[column].loc[empty], normalized=False).isna()]
    report.tolerate("empty_row", pd.Series("", index=empty), origin)
    return frame.drop(index=empty)


def _note_country_names(country: pd.Series, origin: Origin, report: IngestReport) -> None:
    """Note one row of each name that is near another's, or says "not known"."""
    first = country.dropna().drop_duplicates()
    report.tolerate("country_spelling", first[first.map(near).duplicated(keep=False)], origin)
    report.tolerate("country_not_named", first[first.str.upper().isin(MISSING)], origin)


def note_unread_treatments(
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
        action = f"no disease-modifying treatment in {len(rows)} rows"
        report.remark(str(rule), origin, "dmt", str(text), action, origin.row(rows.index[0]))


def _without_the_future(
    name: str, frame: pd.DataFrame, origin: Origin, today: pd.Timestamp, report: IngestReport
) -> pd.DataFrame:
    """Rows of the future go; an optional date of the future becomes missing (END_DATE: open)."""
    for column in [column for column in CONTRACT[name] if column.kind == "date"]:
        dates = frame[column.name]
        late = dates > today
        rule = "future_row" if column.required else "future_value"
        report.tolerate(rule, dates[late], origin)
        masked = frame.assign(**{column.name: dates.mask(late)})
        frame = frame[~late] if column.required else masked
    return frame
