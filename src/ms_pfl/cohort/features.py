"""The 42 features of an episode: what was known of a patient at the visit t0, and nothing later.

The list is ours, in the spirit of Pirmani et al. 2025, whose list is not public beyond EDSS_at_0
and the four treatment flags. docs/labels.md describes each.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import (
    VisitDays,
    code_of,
    count_between,
    date_of,
    day_number,
    day_of,
    keys,
    patient_codes,
    records_of,
    reduce_ranges,
    slot_start,
    spread_ranges,
)
from ms_pfl.cohort.treatments import CLASSES, classify
from ms_pfl.errors import InputError
from ms_pfl.registry.contract import COURSES, FUNCTIONAL_SYSTEMS, ONSET_SITES
from ms_pfl.registry.ingest.tables import RegistryTables

DAYS_A_YEAR = 365.25

_DMT_FLAGS = {
    "mild": "DMT_AT_0_Mild",
    "moderate": "DMT_AT_0_Moderate",
    "high": "DMT_AT_0_High",
    "high_induction": "DMT_IND_AT_0_High_Induction",
}

#: All features, in the order of their columns.
FEATURES: tuple[str, ...] = (
    "SEX_FEMALE",
    "AGE_AT_0",
    "AGE_AT_ONSET",
    "DISEASE_DURATION_AT_0",
    "COURSE_AT_0_RR",
    "COURSE_AT_0_SP",
    "COURSE_AT_0_PP",
    "COURSE_AT_0_OTHER",
    *ONSET_SITES,
    "EDUCATION",
    "EDUCATION_MISSING",
    "EDSS_at_0",
    *(f"{system}_AT_0" for system in FUNCTIONAL_SYSTEMS),
    *_DMT_FLAGS.values(),
    "YEARS_ON_DMT_AT_0",
    "EARLIER_DMTS",
    "EDSS_PREVIOUS_1",
    "EDSS_PREVIOUS_2",
    "DAYS_SINCE_PREVIOUS_1",
    "DAYS_SINCE_PREVIOUS_2",
    "EDSS_MEAN_IN_WINDOW",
    "EDSS_SD_IN_WINDOW",
    "EDSS_MIN_IN_WINDOW",
    "EDSS_MAX_IN_WINDOW",
    "EDSS_CHANGE_IN_WINDOW",
    "VISITS_IN_WINDOW",
    "RELAPSES_IN_WINDOW",
    "RELAPSES_LAST_YEAR",
    "DAYS_SINCE_RELAPSE",
)


def build_features(
    tables: RegistryTables,
    anchors: pd.DataFrame,
    parameters: CohortParameters,
    recorded_since: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Features of each anchor from what is dated on or before its t0.

    Args:
        tables: canonical tables.
        anchors: patient_id and t0, each a day with an EDSS of that patient, in any order.
        parameters: observation window (days) and treatment classes.
        recorded_since: by country a year in which it is known to have recorded treatment already,
            whatever these tables hold: it counts as recorded from the next year on.

    Returns:
        One row an anchor, in the order and with the index of `anchors`; the columns are
        :data:`FEATURES`, float32, NaN where unknown. Ages, durations and years on treatment are
        in years of 365.25 days, EDSS in points.

    Raises:
        InputError: an anchor is no visit with an EDSS of its patient.
    """
    person, days, onsets = records_of(tables)
    anchor_key = keys(patient_codes(anchors["patient_id"], person.index), day_number(anchors["t0"]))
    position = np.searchsorted(days.key, anchor_key)
    at_a_visit = np.append(days.key, -1)[position] == anchor_key
    found = at_a_visit & np.append(days.scored, False)[position]
    if not found.all():
        wrong = anchors.iloc[int(np.argmin(found))]
        raise InputError(
            f"patient {wrong['patient_id']!r} has no visit with an EDSS on "
            f"{wrong['t0']:%Y-%m-%d}; an episode starts at a visit"
        )
    values = {
        **_person(person, anchor_key),
        **_course(days, tables.visits["MSCOURSE_AT_VISIT"], position),
        **_edss(days, position, parameters.observation_window_days),
        **{
            f"{system}_AT_0": days.lowest(tables.visits[system])[position]
            for system in FUNCTIONAL_SYSTEMS
        },
        **_relapses(onsets, anchor_key, parameters.observation_window_days),
        **_treatments(tables.treatments, person, anchor_key, parameters, recorded_since or {}),
    }
    return pd.DataFrame(
        {name: values[name].astype(np.float32) for name in FEATURES}, index=anchors.index
    )


def course_at(days: VisitDays, course: pd.Series) -> np.ndarray:
    """Last known course on or before each visit day: index into COURSES, -1 where unknown.

    A visit without an EDSS tells it too. Of several courses on one day the first in the order
    CIS, RR, SP, PP, PR counts.
    """
    code = course.map({name: float(i) for i, name in enumerate(COURSES)}).astype("float64")
    latest = pd.Series(days.lowest(code)).groupby(days.code).ffill()
    return latest.fillna(-1).to_numpy(dtype=np.int64)


def _person(person: pd.DataFrame, anchor_key: np.ndarray) -> dict[str, np.ndarray]:
    row = person.iloc[code_of(anchor_key)]
    age, duration = (
        (date_of(anchor_key) - row[name].to_numpy().astype("datetime64[D]"))
        / np.timedelta64(1, "D")
        for name in ("BIRTH_DATE", "MS_ONSET_DATE")
    )
    # A record whose onset lies after t0 was not known to be so at t0: neither date nor symptoms.
    after = duration < 0
    duration = np.where(after, np.nan, duration)
    education = row["EDUCATION"].to_numpy(dtype=np.float64)
    return {
        "SEX_FEMALE": row["gender"].map({"F": 1.0, "M": 0.0}).to_numpy(dtype=np.float64),
        "AGE_AT_0": age / DAYS_A_YEAR,
        "AGE_AT_ONSET": (age - duration) / DAYS_A_YEAR,
        "DISEASE_DURATION_AT_0": duration / DAYS_A_YEAR,
        **{
            site: np.where(after, np.nan, row[site].to_numpy(dtype=np.float64))
            for site in ONSET_SITES
        },
        "EDUCATION": education,
        "EDUCATION_MISSING": np.isnan(education).astype(np.float64),
    }


def _course(days: VisitDays, course: pd.Series, position: np.ndarray) -> dict[str, np.ndarray]:
    code = course_at(days, course)[position]
    named = {f"COURSE_AT_0_{name}": code == COURSES.index(name) for name in ("RR", "SP", "PP")}
    named["COURSE_AT_0_OTHER"] = ~np.logical_or.reduce(list(named.values()))
    return {name: np.where(code < 0, np.nan, flag) for name, flag in named.items()}


def _edss(days: VisitDays, position: np.ndarray, window: int) -> dict[str, np.ndarray]:
    # Of the days with an EDSS; `position` counts all days with a visit.
    key, edss = days.key[days.scored], days.edss[days.scored]
    position = (np.cumsum(days.scored) - 1)[position]
    index = np.arange(len(key))
    first = np.searchsorted(key, key - window, "left")
    visits = index - first + 1
    # Sums of halves and quarters are exact in float64, so differences of running sums are too.
    total, square = np.r_[0.0, np.cumsum(edss)], np.r_[0.0, np.cumsum(edss**2)]
    sums, squares = total[index + 1] - total[first], square[index + 1] - square[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - sums**2 / visits) / (visits - 1)
    values = {
        "EDSS_at_0": edss,
        "EDSS_MEAN_IN_WINDOW": sums / visits,
        # Rounding may leave -1e-17 where all scores are equal.
        "EDSS_SD_IN_WINDOW": np.sqrt(np.maximum(variance, 0.0)),
        "EDSS_MIN_IN_WINDOW": reduce_ranges(np.minimum, edss, first, index + 1, np.nan),
        "EDSS_MAX_IN_WINDOW": reduce_ranges(np.maximum, edss, first, index + 1, np.nan),
        "EDSS_CHANGE_IN_WINDOW": edss - edss[first],
        "VISITS_IN_WINDOW": visits.astype(np.float64),
    }
    by_patient = pd.DataFrame({"key": key, "edss": edss}).groupby(code_of(key))
    for back in (1, 2):
        earlier = by_patient.shift(back)
        values[f"EDSS_PREVIOUS_{back}"] = earlier["edss"].to_numpy()
        values[f"DAYS_SINCE_PREVIOUS_{back}"] = key - earlier["key"].to_numpy()
    return {name: value[position] for name, value in values.items()}


def _relapses(onsets: np.ndarray, anchor_key: np.ndarray, window: int) -> dict[str, np.ndarray]:
    # Far before any day of any patient, so that the time since it is capped by the window.
    latest = np.r_[-(2**60), onsets][np.searchsorted(onsets, anchor_key, "right")]
    since = np.where(code_of(latest) == code_of(anchor_key), anchor_key - latest, window)
    return {
        "RELAPSES_IN_WINDOW": count_between(onsets, anchor_key - window, anchor_key),
        "RELAPSES_LAST_YEAR": count_between(onsets, anchor_key - 365, anchor_key),
        "DAYS_SINCE_RELAPSE": np.minimum(since, window),
    }


def _treatment_recorded(
    table: pd.DataFrame,
    person: pd.DataFrame,
    anchor_key: np.ndarray,
    recorded_since: Mapping[str, int],
) -> np.ndarray:
    """Whether the anchor's country had recorded any treatment of anybody by t0."""
    country, names = pd.factorize(person["country"])
    rows = patient_codes(table["PATIENT_ID"], person.index)
    started = pd.Series(day_number(table["START_DATE"])).groupby(country[rows]).min()
    known = {
        code: np.datetime64(f"{recorded_since[name] + 1}", "D").astype(np.int64)
        for code, name in enumerate(names)
        if name in recorded_since
    }
    first = pd.concat([started, pd.Series(known, dtype=np.int64)]).groupby(level=0).min()
    return (first.reindex(country[code_of(anchor_key)]) <= day_of(anchor_key)).to_numpy()


def _treatments(
    table: pd.DataFrame,
    person: pd.DataFrame,
    anchor_key: np.ndarray,
    parameters: CohortParameters,
    recorded_since: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Treatment features, missing where the country does not record treatment (yet)."""
    n = len(anchor_key)
    recorded = _treatment_recorded(table, person, anchor_key, recorded_since)
    drug, efficacy = classify(table["dmt"], parameters.treatments)
    table = table.assign(drug=drug, efficacy=efficacy)[drug >= 0]
    code = patient_codes(table["PATIENT_ID"], person.index)
    ended = keys(code, day_number(table["END_DATE"].fillna(table["START_DATE"])))
    table = table.assign(
        start=keys(code, day_number(table["START_DATE"])),
        end=np.where(table["END_DATE"].isna(), np.iinfo(np.int64).max, ended),
    ).sort_values("start", kind="stable")
    start, end, drug, efficacy = (
        table[name].to_numpy() for name in ("start", "end", "drug", "efficacy")
    )
    # A course of induction takes days and works for years: it counts until the next drug starts.
    # A start of another patient ends nothing, as it lies above every anchor of this one.
    following = np.r_[start, np.iinfo(np.int64).max][np.searchsorted(start, start, "right")]
    end = np.where(efficacy == CLASSES.index("high_induction"), following - 1, end)

    # Every pair of an anchor and a treatment of the patient that began on or before t0.
    anchor, row = spread_ranges(
        np.searchsorted(start, slot_start(code_of(anchor_key)), "left"),
        np.searchsorted(start, anchor_key, "right"),
    )
    ongoing = end[row] >= anchor_key[anchor]
    values: dict[str, np.ndarray] = {
        _DMT_FLAGS[name]: np.bincount(anchor[ongoing & (efficacy[row] == i)], minlength=n) > 0
        for i, name in enumerate(CLASSES)
    }
    current = np.full(n, np.iinfo(np.int64).min)
    np.maximum.at(current, anchor[ongoing], start[row[ongoing]])
    treated = current > np.iinfo(np.int64).min
    values["YEARS_ON_DMT_AT_0"] = np.zeros(n)
    values["YEARS_ON_DMT_AT_0"][treated] = (anchor_key - current)[treated] / DAYS_A_YEAR
    n_drugs = int(drug.max(initial=0)) + 1
    taken = np.unique(anchor * n_drugs + drug[row])
    taken_now = np.unique(anchor[ongoing] * n_drugs + drug[row[ongoing]])
    earlier = np.setdiff1d(taken, taken_now, assume_unique=True) // n_drugs
    values["EARLIER_DMTS"] = np.bincount(earlier, minlength=n)
    return {name: np.where(recorded, value, np.nan) for name, value in values.items()}
