"""Clinics of the synthetic registry: when people are seen, and what is written down."""

from dataclasses import dataclass

import numpy as np

from ms_pfl.registry.contract import EDSS_SCALE
from ms_pfl.registry.synthetic.countries import Clinics, CountryProfile
from ms_pfl.registry.synthetic.disease import Disease, disability_at
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.registry.synthetic.people import DAYS_PER_YEAR, People, _expit, _logit

SCALE = np.array(EDSS_SCALE)
# Latent values at which the next score begins, from the widths of the bins. These differ: the
# scale lingers at 0-2, at 4, and at 6 and 6.5 (walking aids), and hurries through 4.5-5.5.
_CUTS = np.cumsum(
    [
        0.60,
        0.60,
        0.50,
        0.45,
        0.50,
        0.45,
        0.50,
        0.65,
        0.35,
        0.30,
        0.30,
        0.95,
        0.75,
        0.40,
        0.40,
        0.45,
        0.55,
        0.80,
        0.30,
    ]
)

# Share of ratings that are one and two scale steps off; agreement is worse below EDSS 4. Two
# independent raters then agree exactly in 69 % and within half a point in 94 %. But 70 % of
# people are unchanged after a quiet year: a patient mostly keeps the same rater, who mostly errs
# in the same way with the same patient. The shares of both are ours.
_OFF_BY_ONE = {"low": 0.165, "high": 0.135}
_OFF_BY_TWO = {"low": 0.013, "high": 0.007}
RATER_CHANGES = 0.05  # of visits are with another rater than the one before
STANDING_ERROR = 0.97  # of ratings have the error that the rater always makes with the patient
# Sd of the day's form, EDSS points: near 0 signs without disability come and
# go, and from 6 on a good and a bad day differ by a walking aid.
DAY_TO_DAY_LOW, DAY_TO_DAY_HIGH = 0.24, 0.35

# Functional systems KFS_1..KFS_7: loading on disability, mean and sd of the latent score before
# rounding, highest score. Loadings are below the published correlations (pyramidal .90,
# cerebellar .61, brainstem .44, sensory .37, bowel .70, visual .50, cerebral .56) because the
# definition of the scale, which ties the systems to it below 4, adds to them.
_KFS_LOADING, _KFS_MEAN, _KFS_SD, _KFS_TOP = np.transpose(
    [
        (0.85, 1.9, 1.3, 6),  # pyramidal
        (0.46, 1.2, 1.25, 5),  # cerebellar
        (0.35, 0.7, 1.0, 5),  # brainstem
        (0.08, 1.0, 1.2, 6),  # sensory
        (0.63, 1.1, 1.2, 6),  # bowel and bladder
        (0.41, 0.8, 1.2, 6),  # visual
        (0.49, 0.8, 1.1, 5),  # cerebral
    ]
)
WALKING_FROM = 4.0  # EDSS
_EDSS_MEAN, _EDSS_SD = 3.0, 2.2
# Onset sites raise their own system: supratentorial -> cerebral, optic -> visual, brainstem ->
# brainstem, spinal -> sensory.
_SITE_SYSTEM = np.array([6, 5, 2, 3])

MISSING = {
    "visit_kfs": 0.10,  # all functional systems of a visit, 10-15 %
    "one_kfs": 0.02,
    "ambulation": 0.04,
    "course": 0.04,
    "education": 0.45,
    "onset_site": 0.12,
    "onset_date": 0.02,
    "diagnosis_date": 0.08,
    "birth_date": 0.01,
    "gender": 0.003,
    "severity": 0.25,
}
_VISIT_AFTER_RELAPSE = 0.35
_UNSEEN_AT_ENTRY = 0.3  # of those who turned before their first visit
NOTICED_AFTER = 1.0  # years, mean: from secondary progression to SP in the record
GAP_LOG_SD = 0.75  # of the gaps of a person
_FREQUENCY_SD = 0.5  # of the log visit rate between people


@dataclass(frozen=True)
class Visits:
    """One entry per visit, sorted by person, then day; at most one per person and day."""

    person: np.ndarray
    day: np.ndarray  # days since 1970-01-01
    latent: np.ndarray  # EDSS points that any rater of the clinic would see on that day
    edss: np.ndarray
    kfs: np.ndarray  # (m, 7), NaN = not recorded
    ambulation: np.ndarray
    course: np.ndarray  # str or None


def missing_rate(what: str, logit: np.ndarray | float) -> np.ndarray:
    """Probability that an item is missing, its base rate shifted by ``logit``."""
    return _expit(_logit(MISSING[what]) + np.asarray(logit))


def visit_days(
    people: People,
    disease: Disease,
    clinics: Clinics,
    parameters: SyntheticRegistryParameters,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Person and day (since 1970-01-01) of every visit, sorted, without duplicates.

    Gaps are log-normal: half a year is usual, and people skip visits, so that the mean is far
    longer. Half of the relapses bring an extra visit within two months.
    """
    n = len(people)
    rate = parameters.visits_per_year * np.exp(
        clinics.log_visits[people.clinic]
        + _FREQUENCY_SD * rng.standard_normal(n)
        - _FREQUENCY_SD**2 / 2
    )
    index, time = np.arange(n), np.zeros(n)
    persons, times = [index], [time]
    while len(index):
        time = (
            time
            + np.exp(GAP_LOG_SD * rng.standard_normal(len(index)) - GAP_LOG_SD**2 / 2) / rate[index]
        )
        stays = time < people.follow_up[index]
        index, time = index[stays], time[stays]
        persons.append(index)
        times.append(time)
    relapses = disease.relapses
    seen = rng.random(len(relapses.person)) < _VISIT_AFTER_RELAPSE
    extra = relapses.person[seen]
    delay = rng.gamma(1.5, 14.0, seen.sum()) / DAYS_PER_YEAR
    when = relapses.time[seen] - people.duration_at_entry[extra] + delay
    inside = (when > 0) & (when < people.follow_up[extra])
    person = np.concatenate([*persons, extra[inside]])
    time = np.concatenate([*times, when[inside]])
    day = people.entry_day[person] + np.floor(time * DAYS_PER_YEAR).astype(np.int64)
    unique = np.unique(person * 10**6 + day)
    return unique // 10**6, unique % 10**6


def rater_errors(person: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a uniform number per visit that says how its rater errs, in :func:`rate_edss`.

    At most visits it is the one that stands for the pair of patient and rater.

    Args:
        person: (m,) whose visits they are, sorted.
        rng: source of random numbers.

    Returns:
        (m,) numbers, each uniform on [0, 1).
    """
    m = len(person)
    another = (rng.random(m) < RATER_CHANGES) | (np.diff(person, prepend=-1) != 0)
    pair = np.cumsum(another) - 1
    standing = rng.random(m)[pair]
    return np.where(rng.random(m) < STANDING_ERROR, standing, rng.random(m))


def fluctuation(latent: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the day's form, EDSS points, at m values of latent
    disability."""
    return np.where(latent < _CUTS[0], DAY_TO_DAY_LOW, np.where(latent < 6.0, 0.0, DAY_TO_DAY_HIGH))


def rate_edss(latent: np.ndarray, log_error: float, error: np.ndarray) -> np.ndarray:
    """EDSS scores that raters give to latent disability, on the scale 0, 1, 1.5 ... 9.5.

    10 is death from MS, which is not simulated.

    Args:
        latent: (m,) EDSS points.
        log_error: added to the logarithm of the share of wrong ratings.
        error: (m,) uniform numbers: the lowest are errors downwards, the highest upwards.

    Returns:
        (m,) scores.
    """
    step = np.searchsorted(_CUTS, latent, side="right")
    low = SCALE[step] < 4
    factor = float(np.exp(log_error))
    one = np.where(low, _OFF_BY_ONE["low"], _OFF_BY_ONE["high"]) * factor
    two = np.where(low, _OFF_BY_TWO["low"], _OFF_BY_TWO["high"]) * factor
    tail = 2 * np.minimum(error, 1 - error)
    size = np.where(tail < two, 2, np.where(tail < one + two, 1, 0))
    off = np.where(error < 0.5, -size, size)
    return np.asarray(SCALE[np.clip(step + off, 0, len(SCALE) - 2)])


def highest_system(edss: np.ndarray) -> np.ndarray:
    """Return the highest functional system that m EDSS scores allow.

    By its definition the scale follows the systems below 4 (1-1.5: no more than grade 1, 2-2.5:
    grade 2, 3-3.5: grade 3), and walking from there on.

    >>> highest_system(np.array([0.0, 1.5, 2.0, 3.5, 4.0])).tolist()
    [0.0, 1.0, 2.0, 3.0, 6.0]
    """
    return np.where(edss < WALKING_FROM, np.floor(edss), _KFS_TOP.max())


def rate_systems(
    edss: np.ndarray, person: np.ndarray, onset_site: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Functional systems (m, 7) and ambulation score (m,) that go with m EDSS scores.

    A person has a profile of systems that stays; the rest varies from visit to visit. Below
    EDSS 4 the highest system is the one that the score stands for, from there on 3 or more. The
    ambulation score follows walking distance and aids, hence the EDSS from 4 on.
    """
    n, m = len(onset_site), len(edss)
    trait = rng.standard_normal((n, 7))
    trait[:, _SITE_SYSTEM] += 0.8 * (onset_site - 0.25)
    z = (edss - _EDSS_MEAN) / _EDSS_SD
    own = np.sqrt(0.7) * trait[person] + np.sqrt(0.3) * rng.standard_normal((m, 7))
    score = _KFS_MEAN + _KFS_SD * (_KFS_LOADING * z[:, None] + np.sqrt(1 - _KFS_LOADING**2) * own)
    highest = highest_system(edss)
    kfs = np.clip(np.rint(score), 0, np.minimum(_KFS_TOP, highest[:, None]))
    # One system at least is what the score says, the one that comes nearest to it anyway.
    rows, leading = np.arange(m), np.argmax(score, axis=1)
    kfs[rows, leading] = np.maximum(kfs[rows, leading], np.minimum(highest, 3.0))
    # EDSS 4 -> 1, 4.5 -> 2 ... 9 -> 11; below 4 some walk a little less than without limits.
    ambulation = np.where(edss >= WALKING_FROM, np.clip(2 * edss - 7, 0, 12), 0.0)
    ambulation += (edss >= 2) & (edss < WALKING_FROM) & (rng.random(m) < 0.1)
    return kfs, ambulation


def record_course(
    people: People, disease: Disease, person: np.ndarray, time: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Course written down at m visits: CIS until a second attack, SP some time after it began.

    Progressive from onset is PR with a relapse (before entry, see ``simulate_disease``), else PP.
    """
    n = len(people)
    first_relapse = np.full(n, np.inf)
    relapses = disease.relapses
    # Sorted by time within a person: written backwards, the first one stays.
    first_relapse[relapses.person[::-1]] = relapses.time[::-1]
    cis_end = np.where(rng.random(n) < 0.5, np.minimum(first_relapse, rng.exponential(2.0, n)), 0.0)
    # Progression has to be seen: of those who turned before they came some are taken for RR at
    # first.
    since = np.where(
        rng.random(n) < _UNSEEN_AT_ENTRY,
        np.maximum(disease.secondary, people.duration_at_entry),
        disease.secondary,
    )
    noticed = since + rng.exponential(NOTICED_AFTER, n)
    course = np.where(time < cis_end[person], "CIS", "RR").astype(object)
    course[time >= noticed[person]] = "SP"
    primary = people.primary[person]
    course[primary] = np.where(np.isfinite(first_relapse[person[primary]]), "PR", "PP")
    return course


def see_patients(
    people: People,
    disease: Disease,
    clinics: Clinics,
    profile: CountryProfile,
    parameters: SyntheticRegistryParameters,
    rng: np.random.Generator,
) -> Visits:
    """All visits of a country's people and what was recorded at them."""
    person, day = visit_days(people, disease, clinics, parameters, rng)
    time = (day - people.onset_day[person]) / DAYS_PER_YEAR
    latent = disability_at(disease, person, time) + clinics.rater[people.clinic[person]]
    form = float(np.exp(profile.log_fluctuation)) * fluctuation(latent)
    latent += form * rng.standard_normal(len(person))
    edss = rate_edss(latent, profile.log_rater_error, rater_errors(person, rng))
    kfs, ambulation = rate_systems(edss, person, people.onset_site, rng)
    course = record_course(people, disease, person, time, rng)

    logit = clinics.logit_missing[people.clinic[person]]
    no_kfs = rng.random(len(person)) < missing_rate("visit_kfs", logit)
    kfs[no_kfs] = np.nan
    kfs[rng.random(kfs.shape) < missing_rate("one_kfs", logit)[:, None]] = np.nan
    ambulation[no_kfs | (rng.random(len(person)) < missing_rate("ambulation", logit))] = np.nan
    course[rng.random(len(person)) < missing_rate("course", logit)] = None
    return Visits(person, day, latent, edss, kfs, ambulation, course)
