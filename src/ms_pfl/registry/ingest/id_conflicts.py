"""Ids that name two people, or nobody: what is wrong with them, and what makes it right."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from ms_pfl.names import near
from ms_pfl.registry.ingest.patient_ids import as_numbers
from ms_pfl.registry.ingest.refusals import Origin, first_row
from ms_pfl.registry.ingest.report import IngestReport

#: Who differs in one of these may be another person.
_PERSON = ("country", "clinic_code", "BIRTH_DATE", "gender")
_PLACES = ("country", "clinic_code")
_UNITS = {"by_country": "country", "by_clinic": "clinic_code"}


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
    ids = table["PATIENT_ID"]
    twice = ids.duplicated() & ids.notna()
    if not twice.any():
        return
    later = table[twice]
    earlier = table[~twice & ids.notna()].reset_index(names="row").set_index("PATIENT_ID")
    earlier = earlier.reindex(later["PATIENT_ID"]).set_axis(later.index)
    differs = pd.DataFrame(
        {
            name: (later[name] != earlier[name]) & later[name].notna() & earlier[name].notna()
            for name in _PERSON
        }
    )
    born_alike = later["BIRTH_DATE"].eq(earlier["BIRTH_DATE"])
    people = pd.Series(False, index=table.index)
    people[later.index] = differs.any(axis=1)
    if people.any():
        row = first_row(people)
        there = earlier.loc[row]
        columns = [name for name in _PERSON if differs.loc[row, name]]
        listed = ", ".join(
            f"{name} {_shown(there[name])} and {_shown(later.loc[row, name])}" for name in columns
        )
        at = origin.rows(pd.Index([there["row"]]).to_numpy())[0]
        moved = bool(born_alike[row]) and set(columns) <= set(_PLACES)
        report.refuse(
            people,
            ids,
            origin,
            f"looks like another person than the same id on {origin.unit} {at} ({listed})",
            ("for one person who moved keep the row of one place; for two people " * moved)
            + _how_to_separate(table, kind),
            "patient_twice",
        )
    history = pd.Series(False, index=table.index)
    history[later.index] = ~differs.any(axis=1)
    if history.any():
        row = first_row(history)
        there, here = earlier.loc[row], table.loc[row]
        column = next(
            name
            for name in table.columns
            if name != "PATIENT_ID" and not _same(there[name], here[name])
        )
        at = origin.rows(pd.Index([there["row"]]).to_numpy())[0]
        report.refuse(
            history,
            ids,
            origin,
            f"has another {column} here, {_shown(here[column])}, than on {origin.unit} {at}, "
            f"{_shown(there[column])}",
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
        lost = f"{loser} has written ids as numbers, as spreadsheets do"
        one_person_a_number = not as_numbers(known).duplicated().any()
        report.refuse(
            as_number,
            ids,
            origin,
            f"is not in {here}, which has {namesake[:60]!r}, the same number: {lost}",
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
    """An id as :func:`ms_pfl.names.near` has it, and without marks and zeros before a number.

    Programs write ``="007"`` and ``'007`` to keep the zeros, and ``1,234`` for 1234.
    """
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[_\-,'\"=]+", "", near(text)))


def _zeros(text: str) -> int:
    return len(text) - len(text.lstrip("0"))


def _same(one: object, other: object) -> bool:
    return bool(one == other) or bool(pd.isna(one) and pd.isna(other))  # type: ignore[call-overload]


def _shown(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return "nothing" if pd.isna(value) else repr(value)[:40]  # type: ignore[call-overload]
