"""Checks that need several rows or tables: duplicates, ids of two people or of nobody, dates."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ms_pfl.names import near
from ms_pfl.registry.ingest.patient_ids import as_numbers
from ms_pfl.registry.ingest.refusals import Origin, first_row
from ms_pfl.registry.ingest.report import IngestReport

#: The date of a record, by table.
DATES = {"visits": "DATE_OF_VISIT", "relapses": "DATE_OF_ONSET", "treatments": "START_DATE"}
#: Who differs in one of these may be another person.
_PERSON = ("country", "clinic_code", "BIRTH_DATE", "gender")
_PLACES = ("country", "clinic_code")
_UNITS = {"by_country": "country", "by_clinic": "clinic_code"}


def without_duplicates(
    name: str, table: pd.DataFrame, origin: Origin, report: IngestReport, patient_ids: str
) -> pd.DataFrame:
    """Keep the first of rows that say the same in every column of the contract.

    Args:
        name: patients, visits, relapses or treatments.
        table: canonical, its index is the row position.
        origin: for messages.
        report: takes note of what was left out, of patients in two rows that differ, and of days
            with several scores.
        patient_ids: ``ingest.patient_ids``.
    """
    keys = ["PATIENT_ID"] if name == "patients" else ["PATIENT_ID", DATES[name]]
    known = table[keys].notna().all(axis=1)
    candidates = table[table.duplicated(keys, keep=False) & known]
    repeated = candidates.duplicated()
    report.tolerate("duplicate_row", candidates.loc[repeated, "PATIENT_ID"], origin)
    table = table.drop(index=candidates.index[repeated])
    candidates = candidates[~repeated]
    if name == "patients":
        refuse_patients_twice(table, origin, report, patient_ids)
    if name == "visits":
        scores = candidates["EDSS"]
        several = candidates.groupby(keys)["EDSS"].transform("nunique").gt(1)
        report.tolerate("same_day_edss", scores[several & scores.notna()], origin)
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
    if "patients" not in tables or "patients" in report.unusable:
        return
    patients, here = tables["patients"], origins["patients"]
    for column in ("MS_ONSET_DATE", "MS_DIAGNOSIS_DATE"):
        report.refuse(
            patients[column] < patients["BIRTH_DATE"],
            patients[column],
            here,
            "lies before the birth",
            "correct one of the two",
            "before_birth",
        )
    diagnosis = patients["MS_DIAGNOSIS_DATE"]
    early = diagnosis[diagnosis < patients["MS_ONSET_DATE"]]
    report.tolerate("diagnosis_before_onset", early, here)
    person = patients[patients["PATIENT_ID"].notna()].drop_duplicates("PATIENT_ID")
    for name, column in DATES.items():
        if name not in tables or name in report.unusable:
            continue
        table, origin = tables[name], origins[name]
        ids, dates = table["PATIENT_ID"], table[column]
        # Numbers of the persons come first, so that a number beyond them is somebody else.
        row = pd.factorize(pd.concat([person["PATIENT_ID"], ids]))[0][len(person) :]
        unknown = pd.Series((row >= len(person)) & ids.notna(), index=table.index)
        refuse_unknown_patients(unknown, ids, person["PATIENT_ID"], origin, here.label, report)
        of = (
            person[["BIRTH_DATE", "MS_ONSET_DATE"]]
            .reset_index(drop=True)
            .reindex(row)
            .set_axis(table.index)
        )
        report.refuse(
            dates < of["BIRTH_DATE"],
            dates,
            origin,
            "lies before the patient's BIRTH_DATE",
            "correct one of the two",
            "before_birth",
        )
        rule = {"visits": "visit_before_onset", "relapses": "relapse_before_onset"}.get(name)
        if rule is not None:
            report.tolerate(rule, dates[dates < of["MS_ONSET_DATE"]], origin)
        if name == "visits":
            absent = person["PATIENT_ID"][~np.isin(np.arange(len(person)), row)]
            report.tolerate("patient_without_visit", absent, here)


def refuse_patients_twice(
    table: pd.DataFrame, origin: Origin, report: IngestReport, kind: str
) -> None:
    """Refuse rows of one id that differ: different people, or contradictory histories of one.

    Args:
        table: canonical patients without rows that repeat an earlier one.
        origin: for messages.
        report: takes note.
        kind: ``ingest.patient_ids``.
    """
    known = table[table["PATIENT_ID"].notna()]
    twice = known["PATIENT_ID"].duplicated()
    later = known[twice]
    ids = later["PATIENT_ID"]
    earlier = known[~twice].reset_index(names="row").set_index("PATIENT_ID")
    earlier = earlier.reindex(ids).set_axis(later.index)
    differs = pd.DataFrame(
        {
            name: (later[name] != earlier[name]) & later[name].notna() & earlier[name].notna()
            for name in _PERSON
        }
    )
    rows = pd.Series(origin.rows(earlier["row"].to_numpy()), index=later.index)
    born_alike = later["BIRTH_DATE"].eq(earlier["BIRTH_DATE"])
    people = differs.any(axis=1)
    if people.any():
        row = first_row(people)
        there, here = earlier.loc[row], later.loc[row]
        columns = [name for name in _PERSON if differs.loc[row, name]]
        listed = ", ".join(
            f"{name} {_shown(there[name])} and {_shown(here[name])}" for name in columns
        )
        moved = bool(born_alike[row]) and set(columns) <= set(_PLACES)
        report.refuse(
            people,
            ids,
            origin,
            f"looks like another person than the same id on {origin.unit} {rows[row]} ({listed})",
            ("for one person who moved keep the row of one place; for two people " * moved)
            + _how_to_separate(table, kind),
            "patient_twice",
        )
    if not people.all():
        row = first_row(~people)
        there, here = earlier.loc[row], later.loc[row]
        history = later.columns.drop("PATIENT_ID")
        apart = earlier.loc[[row], history].compare(later.loc[[row], history])
        column = apart.columns[0][0]
        report.refuse(
            ~people,
            ids,
            origin,
            f"has another {column} here, {_shown(here[column])}, than on "
            f"{origin.unit} {rows[row]}, {_shown(there[column])}",
            "for one person write one row with the values that are right"
            + ("" if born_alike[row] else f"; for two people {_how_to_separate(table, kind)}"),
            "patient_twice",
        )


def _how_to_separate(table: pd.DataFrame, kind: str) -> str:
    """Which setting makes the ids unique, if one does."""
    enough = [
        name
        for name, unit in _UNITS.items()
        if kind in ("as_written", "as_numbers")
        and table[unit].notna().all()
        and not table.duplicated(["PATIENT_ID", unit]).any()
    ]
    if not enough:
        return "make the ids unique in the export of all tables, or correct the wrong one"
    units = " or ".join(_UNITS[name] for name in enough)
    return (
        f"set ingest.patient_ids: {' or '.join(enough)} if ids restart there (visits, relapses and "
        f"treatments then need the column {units} as well), or make the ids unique in the export "
        "of all tables"
    )


def refuse_unknown_patients(
    unknown: pd.Series,
    ids: pd.Series,
    known: pd.Series,
    origin: Origin,
    here: str,
    report: IngestReport,
) -> None:
    """Refuse rows of patients who are not in the patients table.

    Args:
        unknown: bool, which rows.
        ids: of all rows.
        known: ids of the patients table, distinct.
        origin: of the rows, for messages.
        here: the patients table, for messages.
        report: takes note.
    """
    if not unknown.any():
        return
    strangers = pd.Series(ids[unknown].unique(), dtype="str")
    numbers = _namesakes(strangers, known, as_numbers(known), as_numbers(strangers))
    close = _namesakes(strangers, known, known.map(_folded), strangers.map(_folded))
    close = {stranger: name for stranger, name in close.items() if stranger not in numbers}
    as_number, as_text = ids.isin(numbers) & unknown, ids.isin(close) & unknown
    if as_number.any():
        stranger = str(ids[first_row(as_number)])
        namesake = numbers[stranger]
        lost_there = _zeros(stranger) > _zeros(namesake) or "." in namesake
        loser = Path(here if lost_there else origin.label).name
        one_person_a_number = not as_numbers(known).duplicated().any()
        report.refuse(
            as_number,
            ids,
            origin,
            f"is not in {here}, which has {namesake[:60]!r}, the same number: {loser} has "
            "written ids as numbers, as spreadsheets do",
            "set ingest.patient_ids: as_numbers, or export the ids as text" * one_person_a_number
            or "export the ids as text, as several patients have one number",
            "patient_unknown",
        )
    if as_text.any():
        namesake = close[str(ids[first_row(as_text)])]
        report.refuse(
            as_text,
            ids,
            origin,
            f"is not in {here}, which has {namesake[:60]!r}",
            "write the id of one patient in one way in all tables, or add the patient there if it "
            "is another one",
            "patient_unknown",
        )
    report.refuse(
        unknown & ~as_number & ~as_text,
        ids,
        origin,
        f"is not in {here}",
        "add the patient there or remove the row",
        "patient_unknown",
    )


def _namesakes(
    strangers: pd.Series, known: pd.Series, keys: pd.Series, wanted: pd.Series
) -> dict[str, str]:
    """Each stranger whose key a known id has -> the first such id."""
    names = dict(zip(reversed(keys.tolist()), reversed(known.tolist()), strict=True))
    return {
        stranger: names[key]
        for stranger, key in zip(strangers, wanted, strict=True)
        if key in names
    }


def _folded(text: str) -> str:
    """Return an id as :func:`ms_pfl.names.near` has it, and without marks and zeros before a
    number.

    Programs write ``="007"`` and ``'007`` to keep the zeros, and ``1,234`` for 1234.
    """
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[_\-,'\"=]+", "", near(text)))


def _zeros(text: str) -> int:
    return len(text) - len(text.lstrip("0"))


def _shown(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return "nothing" if pd.isna(value) else repr(value)[:40]  # type: ignore[call-overload]
