"""Checks of the ingest contract: one table, and what needs two of them.

What is wrong is refused in one line (:func:`ms_pfl.registry.columns.refuse`); what can be done
without is left out with a warning that counts it.
"""

from __future__ import annotations

import logging

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.columns import Origin, first_row, read_column, refuse
from ms_pfl.registry.contract import CONTRACT, REQUIRED_COLUMNS

_log = logging.getLogger(__name__)

#: Key of the visits table's attrs: days with a visit (by patient) that were left out because they
#: lie in the future, so that the attrition can start from what was handed in.
FUTURE_VISIT_DAYS = "future_visit_days"
#: The same as a dict by patient, so that it can be counted by country.
FUTURE_VISIT_DAYS_BY_PATIENT = "future_visit_days_by_patient"


def check_table(
    name: str, frame: pd.DataFrame, origin: Origin, today: pd.Timestamp
) -> pd.DataFrame:
    """Canonicalize one table.

    Args:
        name: patients, visits, relapses or treatments.
        frame: the table as it was read, cells as text or typed; its index is not used.
        origin: for messages.
        today: later dates are left out with a warning.

    Returns:
        All columns of the contract in its order; the index is the position of the row in `frame`.
        ``attrs[FUTURE_VISIT_DAYS]`` of visits counts the days that were left out, and
        ``attrs[FUTURE_VISIT_DAYS_BY_PATIENT]`` those of each patient who had any.

    Raises:
        InputError: a required column is missing, or a value breaks the contract.
    """
    left_out_before = frame.attrs.get(FUTURE_VISIT_DAYS, 0)
    left_out_of = pd.Series(frame.attrs.get(FUTURE_VISIT_DAYS_BY_PATIENT, {}), dtype="int64")
    frame = _named_columns(name, frame, origin)
    filled = pd.Series(False, index=frame.index)
    for column in frame:
        cells = frame[column]
        blank = cells.isna()
        if not pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_datetime64_any_dtype(
            cells
        ):
            blank |= cells.astype("str").str.strip() == ""
        filled |= ~blank
    frame = frame[filled]
    if frame.empty and name in ("patients", "visits"):
        raise InputError(
            f"{origin.label} holds a header and no rows; at least one row is needed, "
            "check the export that wrote it"
        )
    canonical = pd.DataFrame(index=frame.index)
    for column in CONTRACT[name]:
        raw = frame.get(column.name)
        canonical[column.name] = read_column(raw, column, frame.index, origin)
    handed_in = canonical
    canonical = _leave_out_future(name, canonical, origin, today)
    if name == "visits":
        future = handed_in.drop(index=canonical.index)
        future_days = future.drop_duplicates(["PATIENT_ID", "DATE_OF_VISIT"])["PATIENT_ID"]
        canonical.attrs[FUTURE_VISIT_DAYS] = left_out_before + len(future_days)
        left_out_of = left_out_of.add(future_days.value_counts(), fill_value=0).astype("int64")
        canonical.attrs[FUTURE_VISIT_DAYS_BY_PATIENT] = left_out_of.to_dict()
        _mention_unscored(canonical["EDSS"].isna(), origin)
    if name == "patients":
        repeated = canonical["PATIENT_ID"].duplicated()
        refuse(
            repeated,
            canonical["PATIENT_ID"],
            origin,
            "stands in an earlier row already",
            "keep one row a patient",
        )
        _not_before(canonical, "MS_ONSET_DATE", canonical["BIRTH_DATE"], "the birth", origin)
    if name == "treatments":
        _not_before(canonical, "END_DATE", canonical["START_DATE"], "its START_DATE", origin)
    if canonical.empty and name in ("patients", "visits"):
        raise InputError(
            f"{origin.label} holds no usable row (see the warnings above); correct the dates "
            "of the rows that were left out"
        )
    return canonical


def check_between_tables(tables: dict[str, pd.DataFrame], origins: dict[str, Origin]) -> None:
    """Check that every record is of a known patient, and none lies before the birth.

    Args:
        tables: canonical tables whose index is the row position.
        origins: for messages, by table name.

    Raises:
        InputError: naming the first record that is wrong.
    """
    patients = tables["patients"].set_index("PATIENT_ID")
    birth = patients["BIRTH_DATE"]
    dates = {"visits": "DATE_OF_VISIT", "relapses": "DATE_OF_ONSET", "treatments": "START_DATE"}
    for name, date in dates.items():
        table = tables[name]
        refuse(
            ~table["PATIENT_ID"].isin(patients.index),
            table["PATIENT_ID"],
            origins[name],
            f"is not in {origins['patients'].label}",
            "add the patient there or remove the row",
        )
        born = pd.Series(birth.reindex(table["PATIENT_ID"]).to_numpy(), index=table.index)
        _not_before(table, date, born, "the patient's BIRTH_DATE", origins[name])


def _named_columns(name: str, frame: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Columns of the contract under their canonical names, whatever their case or alias."""
    frame = frame.reset_index(drop=True)
    given: dict[str, str] = {}
    for column in frame.columns:
        given.setdefault(str(column).strip().casefold(), column)
    picked = {}
    for wanted in CONTRACT[name]:
        for spelling in (wanted.name, *wanted.aliases):
            if spelling in frame.columns:
                picked[wanted.name] = frame[spelling]
                break
            if spelling.casefold() in given:
                picked[wanted.name] = frame[given[spelling.casefold()]]
                break
    missing = [column for column in REQUIRED_COLUMNS[name] if column not in picked]
    if missing:
        raise InputError(
            f"{origin.label} has no column {missing[0]}"
            + (f" (nor {', '.join(missing[1:])})" if missing[1:] else "")
            + f"; it has {', '.join(map(str, frame.columns)) or 'none'}: "
            "rename or add what is missing"
        )
    return pd.DataFrame(picked, index=frame.index)


def _leave_out_future(
    name: str, frame: pd.DataFrame, origin: Origin, today: pd.Timestamp
) -> pd.DataFrame:
    """Rows of the future go; an optional date of the future becomes missing (END_DATE: open)."""
    for column in CONTRACT[name]:
        if column.kind != "date":
            continue
        late = frame[column.name] > today
        if not late.any():
            continue
        if column.required:
            frame = _leave_out(frame, late, f"with a {column.name} after {today:%Y-%m-%d}", origin)
        else:
            _log.warning(
                "%s: %d values of %s after %s are read as missing (the first: %s)",
                origin.label,
                int(late.sum()),
                column.name,
                f"{today:%Y-%m-%d}",
                f"{origin.unit} {first_row(late) + origin.first}",
            )
            frame = frame.assign(**{column.name: frame[column.name].mask(late)})
    return frame


def _leave_out(frame: pd.DataFrame, gone: pd.Series, what: str, origin: Origin) -> pd.DataFrame:
    if not gone.any():
        return frame
    _log.warning(
        "%s: %d rows %s are left out (the first: %s)",
        origin.label,
        int(gone.sum()),
        what,
        f"{origin.unit} {first_row(gone) + origin.first}",
    )
    return frame[~gone]


def _mention_unscored(unscored: pd.Series, origin: Origin) -> None:
    if unscored.any():
        _log.warning(
            "%s: %d rows have no EDSS (the first: %s); they count as visits and give no episode",
            origin.label,
            int(unscored.sum()),
            f"{origin.unit} {first_row(unscored) + origin.first}",
        )


def _not_before(
    frame: pd.DataFrame, column: str, start: pd.Series, what: str, origin: Origin
) -> None:
    refuse(
        frame[column] < start,
        frame[column],
        origin,
        f"lies before {what}",
        "correct one of the two",
    )
