"""Sorted keys of (patient, day), on which windows of all patients are searched at once."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.tables import RegistryTables

# A patient's days live in a slot of this width, days counted from 1 January 1970 shifted by half
# of it. Dates since 1900 with windows of up to a century on either side stay inside the slot, so
# a search for (patient, day +- window) never runs into the next patient.
_SLOT = 2**18


def day_number(dates: pd.Series) -> np.ndarray:
    """Days since 1970-01-01, int64; no date may be missing."""
    return dates.to_numpy().astype("datetime64[D]").astype(np.int64)


def patient_codes(ids: pd.Series, patients: pd.Index) -> np.ndarray:
    """Position of each id in `patients`.

    Raises:
        InputError: an id is not there.
    """
    codes = patients.get_indexer(pd.Index(ids))
    if (codes < 0).any():
        raise InputError(
            f"PATIENT_ID {ids.iloc[int(np.argmax(codes < 0))]!r} is not in the patients table; "
            "add the patient there or remove the rows"
        )
    return codes.astype(np.int64)


def keys(codes: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Key of (patient, day): sorts by patient, then day; adding days moves in time."""
    return codes * _SLOT + days + _SLOT // 2


def code_of(key: np.ndarray) -> np.ndarray:
    """Patient code of a key."""
    return key // _SLOT


def slot_start(codes: np.ndarray) -> np.ndarray:
    """Key below every day of a patient and above every day of the one before."""
    return codes * _SLOT


def day_of(key: np.ndarray) -> np.ndarray:
    """Day of a key, as :func:`day_number` counts."""
    return key % _SLOT - _SLOT // 2


def date_of(key: np.ndarray) -> np.ndarray:
    """Day of a key as datetime64[us]."""
    return day_of(key).astype("datetime64[D]").astype("datetime64[us]")


def date_where(keep: np.ndarray, key: np.ndarray) -> np.ndarray:
    """:func:`date_of` where `keep` is true, NaT elsewhere."""
    return np.where(keep, date_of(key), np.datetime64("NaT", "us"))


def span_of(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each sorted key the first and the last key of its patient."""
    code = code_of(key)
    return key[np.searchsorted(code, code)], key[np.searchsorted(code, code, "right") - 1]


@dataclass(frozen=True)
class VisitDays:
    """One entry a patient and day with a visit, sorted by patient and day.

    Attributes:
        patients: sorted patient ids; codes are positions in it.
        key: int64, see :func:`keys`; strictly increasing.
        edss: float64, the lowest score of the day; NaN where no visit of the day has one.
        order: int64, rows of the visits table sorted by key.
        start: int64, where each entry's rows begin in `order`.
    """

    patients: pd.Index
    key: np.ndarray
    edss: np.ndarray
    order: np.ndarray
    start: np.ndarray

    @property
    def code(self) -> np.ndarray:
        """Patient code of each entry."""
        return code_of(self.key)

    @property
    def scored(self) -> np.ndarray:
        """Which entries have an EDSS (bool)."""
        return ~np.isnan(self.edss)

    def lowest(self, values: pd.Series) -> np.ndarray:
        """Lowest value of the day of a column of the visits table; NaN where all are missing."""
        column = values.to_numpy(dtype=np.float64)[self.order]
        return np.fmin.reduceat(column, self.start) if len(column) else column


def visit_days(visits: pd.DataFrame, patients: pd.Index) -> VisitDays:
    """Gather visits by patient and day.

    Args:
        visits: canonical visits, in any order.
        patients: sorted ids of all patients.

    Raises:
        InputError: a visit of an unknown patient.
    """
    key = keys(patient_codes(visits["PATIENT_ID"], patients), day_number(visits["DATE_OF_VISIT"]))
    order = np.argsort(key, kind="stable")
    distinct, start = np.unique(key[order], return_index=True)
    days = VisitDays(patients, distinct, np.empty(0), order, start)
    return replace(days, edss=days.lowest(visits["EDSS"]))


def event_keys(ids: pd.Series, dates: pd.Series, patients: pd.Index) -> np.ndarray:
    """Sorted distinct keys of dated events such as relapse onsets."""
    return np.unique(keys(patient_codes(ids, patients), day_number(dates)))


def records_of(tables: RegistryTables) -> tuple[pd.DataFrame, VisitDays, np.ndarray]:
    """Return what is known of all patients, whose codes are positions in the first table.

    Returns:
        The patients table by id, sorted; the visit days; and the sorted keys of relapse onsets.
    """
    person = tables.patients.set_index("PATIENT_ID").sort_index()
    days, relapses = visit_days(tables.visits, person.index), tables.relapses
    onsets = event_keys(relapses["PATIENT_ID"], relapses["DATE_OF_ONSET"], person.index)
    return person, days, onsets


def count_between(events: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Count sorted `events` in [first, last], elementwise over the bounds."""
    return np.searchsorted(events, last, "right") - np.searchsorted(events, first, "left")


def away_from_relapse(key: np.ndarray, onsets: np.ndarray, exclusion_days: int) -> np.ndarray:
    """Whether no relapse began from `exclusion_days` before a day up to it (bool); -1: always."""
    return count_between(onsets, key - exclusion_days, key) == 0


def spread_ranges(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every row of the ranges [first, stop): the number of its range, and the row.

    >>> number, row = spread_ranges(np.array([0, 5]), np.array([2, 8]))
    >>> number.tolist(), row.tolist()
    ([0, 0, 1, 1, 1], [0, 1, 5, 6, 7])
    """
    size = stop - first
    number = np.repeat(np.arange(len(first)), size)
    return number, np.arange(len(number)) - np.repeat(np.cumsum(size) - size - first, size)


def reduce_ranges(
    ufunc: np.ufunc, values: np.ndarray, first: np.ndarray, stop: np.ndarray, empty: float
) -> np.ndarray:
    """`ufunc` over values[first:stop] of each range; ranges ascend in `first` and in `stop`.

    Args:
        ufunc: np.minimum or np.maximum.
        values: float64.
        first: start of each range, non-decreasing.
        stop: end of each range (exclusive), non-decreasing.
        empty: result of an empty range.
    """
    bounds = np.column_stack([first, stop]).ravel()
    # The sentinel makes stop == len(values) a legal index; reduceat never includes it in a range.
    reduced = ufunc.reduceat(np.r_[values, empty], bounds)[::2]
    return np.where(stop > first, reduced, empty)
