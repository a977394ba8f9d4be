"""Checks that need several rows or tables: duplicates, unknown patients, dates out of order."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.registry.ingest.id_conflicts import refuse_patients_twice, refuse_unknown_patients
from ms_pfl.registry.ingest.refusals import Origin
from ms_pfl.registry.ingest.report import IngestReport

#: The date of a record, by table.
DATES = {"visits": "DATE_OF_VISIT", "relapses": "DATE_OF_ONSET", "treatments": "START_DATE"}


def without_duplicates(
    name: str, table: pd.DataFrame, origin: Origin, report: IngestReport, patient_ids: str
) -> pd.DataFrame:
    """Keep the first of rows that say the same in every column of the contract.

    Args:
        name: patients, visits, relapses or treatments.
        table: canonical, its index is the row position.
        origin: for messages.
        report: takes note of what was left out, and of patients in two rows that differ.
        patient_ids: ``ingest.patient_ids``.
    """
    keys = ["PATIENT_ID"] if name == "patients" else ["PATIENT_ID", DATES[name]]
    known = table[keys].notna().all(axis=1)
    candidates = table[table.duplicated(keys, keep=False) & known]
    repeated = pd.Series(False, index=table.index)
    repeated.loc[candidates.index[candidates.duplicated()]] = True
    report.tolerate("duplicate_row", repeated, origin, "PATIENT_ID", table["PATIENT_ID"])
    table = table[~repeated]
    if name == "patients":
        refuse_patients_twice(table, origin, report, patient_ids)
    if name == "visits" and len(candidates):
        _note_days_with_several_scores(table.loc[candidates.index.intersection(table.index)],
                                       table, origin, report)  # fmt: skip
    return table


def check_between_tables(
    tables: dict[str, pd.DataFrame], origins: dict[str, Origin], report: IngestReport
) -> None:
    """Check that every record is of a known patient, and in which order the dates are.

    Args:
        tables: canonical tables whose index is the row position; not all have to be there.
        origins: for messages, by table name.
        report: takes note.
    """
    if "patients" not in tables or report.unusable("patients"):
        return
    patients = tables["patients"]
    birth, here = patients["BIRTH_DATE"], origins["patients"]
    for column in ("MS_ONSET_DATE", "MS_DIAGNOSIS_DATE"):
        _refuse_before_birth(patients, column, birth, "the birth", here, report)
    onset, diagnosis = patients["MS_ONSET_DATE"], patients["MS_DIAGNOSIS_DATE"]
    early = diagnosis < onset
    report.tolerate("diagnosis_before_onset", early, here, "MS_DIAGNOSIS_DATE", diagnosis)
    person = patients[patients["PATIENT_ID"].notna()].drop_duplicates("PATIENT_ID")
    for name, column in DATES.items():
        if name not in tables or report.unusable(name):
            continue
        table, origin = tables[name], origins[name]
        ids, dates = table["PATIENT_ID"], table[column]
        # Numbers of the persons come first, so that a number beyond them is somebody else.
        row = pd.factorize(pd.concat([person["PATIENT_ID"], ids]))[0][len(person) :]
        unknown = pd.Series((row >= len(person)) & ids.notna(), index=table.index)
        refuse_unknown_patients(unknown, ids, person["PATIENT_ID"], origin, here.label, report)
        of = person[["BIRTH_DATE", "MS_ONSET_DATE"]].reset_index(drop=True).reindex(row)
        of.index = table.index
        what = "the patient's BIRTH_DATE"
        _refuse_before_birth(table, column, of["BIRTH_DATE"], what, origin, report)
        rule = {"visits": "visit_before_onset", "relapses": "relapse_before_onset"}.get(name)
        if rule is not None:
            report.tolerate(rule, dates < of["MS_ONSET_DATE"], origin, column, dates)
        if name == "visits":
            absent = pd.Series(~np.isin(np.arange(len(person)), row), index=person.index)
            ids = person["PATIENT_ID"]
            report.tolerate("patient_without_visit", absent, here, "PATIENT_ID", ids)


def _note_days_with_several_scores(
    candidates: pd.DataFrame, table: pd.DataFrame, origin: Origin, report: IngestReport
) -> None:
    by_day = candidates.groupby(["PATIENT_ID", "DATE_OF_VISIT"])["EDSS"]
    several = pd.Series(False, index=table.index)
    several.loc[
        candidates.index[by_day.transform("nunique").gt(1) & candidates["EDSS"].notna()]
    ] = True
    report.tolerate("same_day_edss", several, origin, "EDSS", table["EDSS"])


def _refuse_before_birth(
    table: pd.DataFrame,
    column: str,
    birth: pd.Series,
    what: str,
    origin: Origin,
    report: IngestReport,
) -> None:
    dates = table[column]
    problem, remedy = f"lies before {what}", "correct one of the two"
    report.refuse(dates < birth, dates, origin, problem, remedy, "before_birth")
