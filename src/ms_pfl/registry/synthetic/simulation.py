"""The synthetic MS registry: four tables of people who do not exist.

A mechanistic simulation (people, disease, clinics) built from published aggregates, so that the
project has something to run on where the real registry is closed. It is never to be described
as real data. The model is written out in ``docs/synthetic-registry.md``.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ms_pfl.registry.contract import CONTRACT, FUNCTIONAL_SYSTEMS, ONSET_SITES
from ms_pfl.registry.ingest.tables import RegistryTables
from ms_pfl.registry.synthetic.clinic import Visits, missing_rate, rate_edss, see_patients
from ms_pfl.registry.synthetic.countries import (
    COUNTRIES,
    Clinics,
    Country,
    country_sizes,
    draw_clinics,
    draw_profile,
)
from ms_pfl.registry.synthetic.disease import SEVERITIES, STEP, Disease, simulate_disease
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.registry.synthetic.people import DAYS_PER_YEAR, People, draw_people
from ms_pfl.registry.synthetic.treatment import DRUGS, WITHDRAWN

# What patients remember of the time before they came: years back, and the share remembered.
_RECALL_YEARS, _RECALL_SHARE = 3.0, 0.6


def simulate(parameters: SyntheticRegistryParameters) -> RegistryTables:
    """Simulate the four tables of a registry of 32 countries of very unequal size.

    Every country has random numbers of its own, derived from the seed and its name: a
    country's tables depend on nothing but the parameters and its number of patients.

    Args:
        parameters: size, seed, rates and the heterogeneity knobs.

    Returns:
        The tables in the ingest contract, all optional columns present. Dates are
        datetime64[us], identifiers and texts str, numbers float64; missing values are NaN, NaT.

    Raises:
        InputError: if ``n_patients`` is too small for 32 countries.
    """
    sizes = country_sizes(parameters.n_patients, parameters.min_patients_per_country)
    parts = [
        simulate_country(country, int(n), parameters).frames()
        for country, n in zip(COUNTRIES, sizes, strict=True)
    ]
    return RegistryTables(
        **{name: pd.concat([of[name] for of in parts], ignore_index=True) for name in CONTRACT},
        source={
            "kind": "synthetic",
            "description": f"synthetic registry of {parameters.n_patients:,} simulated patients "
            f"(seed {parameters.seed}); no real person",
        },
        future_visit_days={},
    )


def simulate_country(
    country: Country, n: int, parameters: SyntheticRegistryParameters
) -> RegistryTables:
    """Return the four tables of ``n`` patients of one country, sorted by patient and date."""
    return _tables_and_second_ratings(country, n, parameters)[0]


def second_ratings(parameters: SyntheticRegistryParameters) -> np.ndarray:
    """EDSS scores of an independent second rater at each visit of ``simulate(parameters)``.

    The second rater is of the same clinic and sees the same patient on the same day. No table
    holds these scores: they are there to measure how well two raters agree.

    Returns:
        (visits,) scores, in the order of the visits table.
    """
    sizes = country_sizes(parameters.n_patients, parameters.min_patients_per_country)
    scores = [
        _tables_and_second_ratings(country, int(n), parameters)[1]
        for country, n in zip(COUNTRIES, sizes, strict=True)
    ]
    return np.concatenate(scores)


def _tables_and_second_ratings(
    country: Country, n: int, parameters: SyntheticRegistryParameters
) -> tuple[RegistryTables, np.ndarray]:
    sequence = np.random.SeedSequence([parameters.seed, zlib.crc32(country.name.encode())])
    # One stream a subject: a change to one subject leaves the draws of the others as they were.
    streams = [np.random.default_rng(child) for child in sequence.spawn(7)]
    profile = draw_profile(country, parameters, streams[0])
    clinics = draw_clinics(n, profile, streams[1])
    people = draw_people(n, profile, clinics, parameters, streams[2])
    disease = simulate_disease(people, profile, parameters, streams[3])
    visits = see_patients(people, disease, clinics, profile, parameters, streams[4])
    ids = np.array([f"{country.code}{k:06d}" for k in range(1, n + 1)], dtype=object)
    tables = RegistryTables(
        patients=_patients_table(country, ids, people, clinics, streams[5]),
        visits=_visits_table(ids, visits),
        relapses=_relapses_table(ids, people, disease, visits, clinics, streams[5]),
        treatments=_treatments_table(ids, people, disease, visits),
    )
    error = streams[6].random(len(visits.day))
    return tables, rate_edss(visits.latent, profile.log_rater_error, error)


def _dates(days: np.ndarray, missing: np.ndarray | bool = False) -> np.ndarray:
    """Days since 1970-01-01 as datetime64[us], NaT where ``missing``."""
    dates = np.asarray(days, dtype=np.int64).astype("datetime64[D]").astype("datetime64[us]")
    return np.where(missing, np.datetime64("NaT", "us"), dates)


def _text(values: Sequence[object] | np.ndarray) -> pd.Series:
    return pd.Series(values, dtype="str")


def _patients_table(
    country: Country,
    ids: np.ndarray,
    people: People,
    clinics: Clinics,
    rng: np.random.Generator,
) -> pd.DataFrame:
    n = len(people)
    logit = clinics.logit_missing[people.clinic]

    def absent(what: str) -> np.ndarray:
        return rng.random(n) < missing_rate(what, logit)

    gender = np.where(people.female, "F", "M").astype(object)
    gender[absent("gender")] = None
    diagnosis = people.onset_day + np.floor(people.diagnosis_lag * DAYS_PER_YEAR).astype(np.int64)
    # Nobody is diagnosed after the last day of follow-up: such a date is not known yet.
    last_day = people.entry_day + people.follow_up * DAYS_PER_YEAR
    frame = pd.DataFrame(
        {
            "PATIENT_ID": _text(ids),
            "country": _text(np.full(n, country.name, dtype=object)),
            "BIRTH_DATE": _dates(people.birth_day, absent("birth_date")),
            "gender": _text(gender),
            "clinic_code": _text([f"{country.code}-{k + 1:02d}" for k in people.clinic]),
            "MS_ONSET_DATE": _dates(people.onset_day, absent("onset_date")),
            "MS_DIAGNOSIS_DATE": _dates(
                diagnosis, absent("diagnosis_date") | (diagnosis > last_day)
            ),
        }
    )
    no_site = absent("onset_site")
    frame[list(ONSET_SITES)] = np.where(no_site[:, None], np.nan, people.onset_site)
    frame["EDUCATION"] = np.where(absent("education"), np.nan, people.education)
    return frame


def _visits_table(ids: np.ndarray, visits: Visits) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "PATIENT_ID": _text(ids[visits.person]),
            "DATE_OF_VISIT": _dates(visits.day),
            "EDSS": visits.edss,
        }
    )
    # Ambulation is the last of the names; the others are KFS_1 to KFS_7.
    frame[list(FUNCTIONAL_SYSTEMS)] = np.column_stack([visits.kfs, visits.ambulation])
    frame["MSCOURSE_AT_VISIT"] = _text(visits.course)
    return frame


def _last_days(n: int, visits: Visits) -> np.ndarray:
    """Day of the last visit of each of n people: what comes later is not recorded."""
    last_day = np.zeros(n, dtype=np.int64)
    np.maximum.at(last_day, visits.person, visits.day)
    return last_day


def _relapses_table(
    ids: np.ndarray,
    people: People,
    disease: Disease,
    visits: Visits,
    clinics: Clinics,
    rng: np.random.Generator,
) -> pd.DataFrame:
    relapses = disease.relapses
    before = people.duration_at_entry[relapses.person] - relapses.time
    remembered = (before < _RECALL_YEARS) & (rng.random(len(before)) < _RECALL_SHARE)
    day = people.onset_day[relapses.person] + np.floor(relapses.time * DAYS_PER_YEAR).astype(
        np.int64
    )
    recorded = day <= _last_days(len(people), visits)[relapses.person]
    known = ((before <= 0) | remembered) & recorded
    person, day = relapses.person[known], day[known]
    severity = np.array(SEVERITIES, dtype=object)[relapses.severity[known]]
    logit = clinics.logit_missing[people.clinic[person]]
    severity[rng.random(len(person)) < missing_rate("severity", logit)] = None
    frame = pd.DataFrame(
        {
            "PATIENT_ID": _text(ids[person]),
            "DATE_OF_ONSET": _dates(day),
            "severity": _text(severity),
        }
    )
    # Two attacks with the same day of onset are one.
    return frame.drop_duplicates(["PATIENT_ID", "DATE_OF_ONSET"], ignore_index=True)


def _treatments_table(
    ids: np.ndarray, people: People, disease: Disease, visits: Visits
) -> pd.DataFrame:
    treatments = disease.treatments
    person, drug = treatments.person, treatments.drug
    # Decisions fall on steps of a quarter year: spread over the step, by a number that is fixed
    # by the person, so that spells stay in order and do not overlap.
    shift = np.floor((person * 0.6180339887) % 1.0 * STEP * DAYS_PER_YEAR).astype(np.int64)
    onset = people.onset_day[person] + shift
    start = onset + np.floor(treatments.start * DAYS_PER_YEAR).astype(np.int64)
    # No life is as long as 1000 years: they stand for "goes on".
    end_time = np.minimum(treatments.end, 1000.0)
    end = onset + np.floor(end_time * DAYS_PER_YEAR).astype(np.int64)
    # The day of a withdrawal lies within a step, too.
    withdrawn = np.minimum((WITHDRAWN - 1970.0) * DAYS_PER_YEAR, 10**6).astype(np.int64)[drug]
    in_use = start < withdrawn
    end = np.minimum(end, withdrawn)
    person, drug, start, end = _courses(*(column[in_use] for column in (person, drug, start, end)))
    # What starts or ends after the last visit has not been recorded.
    last_day = _last_days(len(people), visits)[person]
    known = start <= last_day
    names = np.array([drug.name for drug in DRUGS], dtype=object)
    return pd.DataFrame(
        {
            "PATIENT_ID": _text(ids[person[known]]),
            "dmt": _text(names[drug[known]]),
            "START_DATE": _dates(start[known]),
            "END_DATE": _dates(end[known], (end > last_day)[known]),
        }
    )


def _courses(
    person: np.ndarray, drug: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spells in days as they are written down: those of induction drugs as their courses.

    A later course falls away where the spell has ended before it is over.

    Args:
        person, drug, start, end: (m,) spells, sorted by person, then start.

    Returns:
        The same four, one entry a spell or course, sorted likewise.
    """
    induction = [index for index, known in enumerate(DRUGS) if known.courses]
    others = np.flatnonzero(~np.isin(drug, induction))
    parts = [(others, start[others], end[others])]
    for index in induction:
        for first, last in DRUGS[index].courses:
            given = np.flatnonzero((drug == index) & (start + last <= end))
            parts.append((given, start[given] + first, start[given] + last))
    spell, start, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((start, person[spell]))
    return person[spell[order]], drug[spell[order]], start[order], end[order]
