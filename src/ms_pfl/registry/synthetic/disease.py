"""Disease of the synthetic registry: latent disability, relapses and treatment, step by step."""

from dataclasses import dataclass

import numpy as np

from ms_pfl.registry.synthetic.countries import CountryProfile
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.registry.synthetic.people import DAYS_PER_YEAR, People
from ms_pfl.registry.synthetic.treatment import (
    LOG_PROGRESSION_EFFECT,
    LOG_RELAPSE_EFFECT,
    NONE,
    ONCE,
    decide,
)

STEP = 0.25  # years
MAX_DISABILITY = 9.4
SEVERITIES = ("mild", "moderate", "severe")

CEILING_FROM = 6.2  # EDSS points: whoever walks with an aid goes on to do so for long
# Effects on the log hazard of a step of lasting worsening. Worsening without relapse rises from
# 2.9 % a year (<= 25) to 6.1 % (45-55), .27 a decade, to which progressive disease adds: age
# itself has less. The others are ours, sized for a plausible signal.
WORSENING = {
    "age": 0.20,  # a decade
    "male": 0.35,
    "progressive": 1.3,
    "relapse": 0.35,
    "disability": 0.06,  # a point, up to CEILING_FROM
    "ceiling": -2.0,  # a point beyond: few registries see people who are bedridden
    "spinal_onset": 0.20,
    "education": -0.08,
}

# Slow change beside the steps, EDSS points a year at 40, slowed by treatment as the steps are.
DRIFT = 0.068
DRIFT_AGE = 0.14  # a decade, on the logarithm
# Size of a step: the least, and the mean of what comes on top, below EDSS 5, to 7, and above.
STEP_LEAST, STEP_MORE = np.array([0.4, 0.3, 0.2]), np.array([0.5, 0.3, 0.1])
MAX_STEP = 2.0  # EDSS points: what one step of worsening takes away at most
SECONDARY_FROM = 3.0  # EDSS points: below, worsening is not called secondary progression
IMPROVEMENT_RATE = 0.045  # small lasting improvements a person-year, not in progressive disease
IMPROVEMENT_FROM = 1.0  # EDSS points: below, there is little to improve
IMPROVEMENT_AGE = -0.4  # a decade, on the logarithm: reserves run out
DRIFT_PROGRESSIVE = 4.5  # times the drift of the others
DRIFT_CEILING = 0.05  # times, beyond CEILING_FROM
# Effects on the log rate of conversion to secondary progression. So that the crude ratio of men
# comes near to 1.4: reaching SECONDARY_FROM takes both sexes long.
CONVERSION = {
    "male": float(np.log(1.7)),
    "disability": 0.35,  # a point
    "age": 0.3,  # a decade
    "frailty": 1.7,
}

# Effects on the log rate of relapses: women +18 % (8 % here, as more men have progressive disease),
# fewer with age and duration, few in progressive disease and none in primary progressive disease,
# which with relapses is PR.
RELAPSING = {
    "female": float(np.log(1.08)),
    "age": -0.02,  # a year
    "duration": -0.02,  # a year
    "secondary": float(np.log(0.35)),
    "with_relapses": float(np.log(0.4)),
}
SEVERE_SHARE = 0.18  # 17-30 %
RECOVERY_DAYS = 25.0  # time constant: mostly within two months


@dataclass(frozen=True)
class Relapses:
    """One entry a relapse, sorted by person, then time."""

    person: np.ndarray
    time: np.ndarray  # years since onset
    size: np.ndarray  # EDSS points at its height
    residual: np.ndarray  # EDSS points that stay
    severity: np.ndarray  # index into SEVERITIES


@dataclass(frozen=True)
class Treatments:
    """One entry a spell on one drug, sorted by person, then start."""

    person: np.ndarray
    drug: np.ndarray  # index into DRUGS
    start: np.ndarray  # years since onset
    end: np.ndarray  # years since onset, inf = ongoing


@dataclass(frozen=True)
class Disease:
    """What happened to n people, from onset to the end of follow-up."""

    disability: np.ndarray  # (n, steps) latent EDSS points at the start of each step
    secondary: np.ndarray  # (n,) years from onset to secondary progression, inf = never
    relapses: Relapses
    treatments: Treatments


def _relapse_sizes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, residual and severity of n relapses.

    Severe ones (>= 2 points) leave a point or more in 40 % of cases, others seldom.
    """
    severe = rng.random(n) < SEVERE_SHARE
    size = np.where(severe, rng.uniform(2.0, 3.5, n), rng.uniform(0.5, 1.5, n))
    stays = rng.random(n) < np.where(severe, 0.40, 0.06)
    residual = stays * np.where(severe, rng.uniform(1.0, 1.8, n), rng.uniform(0.3, 0.8, n))
    severity = np.where(severe, 2, (size > 0.9).astype(np.int64))
    return size, np.minimum(residual, size), severity


def _step_sizes(disability: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """EDSS points of a step of lasting worsening; smaller on the walking-aid part of the scale."""
    part = np.searchsorted((5.0, 7.0), disability, side="right")
    size = STEP_LEAST[part] + STEP_MORE[part] * rng.exponential(1.0, len(disability))
    return np.minimum(size, MAX_STEP)


def simulate_disease(
    people: People,
    profile: CountryProfile,
    parameters: SyntheticRegistryParameters,
    rng: np.random.Generator,
) -> Disease:
    """Lives of the people from onset to the end of follow-up, in steps of a quarter year.

    A loop over time with arrays over people: in each step relapses strike, lasting steps of
    worsening occur at an individual hazard, RR turns into SP, and treatment is decided on what
    is known by then.
    """
    n = len(people)
    end = people.duration_at_entry + people.follow_up
    steps = int(np.ceil(end.max() / STEP)) + 1
    disability = np.empty((n, steps), dtype=np.float32)
    level = people.disability_at_onset.copy()
    secondary = np.full(n, np.inf)
    last_relapse = np.zeros(n)  # onset counts as the first relapse
    last_relapse[people.primary] = -np.inf
    drug, drug_start = np.full(n, NONE), np.zeros(n)
    spent = np.zeros((n, len(ONCE) - 1), dtype=bool)
    onset_year = 1970.0 + people.onset_day / DAYS_PER_YEAR

    male = ~people.female
    relapse_base = (
        np.log(max(parameters.relapse_rate, 1e-12))
        + profile.log_relapse
        + np.log(np.maximum(people.relapse_frailty, 1e-6))
        + RELAPSING["female"] * people.female
        + RELAPSING["with_relapses"] * people.with_relapses
    )
    purely_progressive = people.primary & ~people.with_relapses
    worsening_base = (
        np.log(max(parameters.progression_rate, 1e-12))
        + profile.log_progression
        + people.log_progression_frailty
        + (WORSENING["male"] + profile.effect_male) * male
        + (WORSENING["spinal_onset"] + profile.effect_spinal) * people.onset_site[:, 3]
        + WORSENING["education"] * (people.education - 3.0)
    )
    slow = DRIFT * float(np.exp(profile.log_drift))
    found: list[tuple[np.ndarray, ...]] = []
    changes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    for k in range(steps):
        t = k * STEP
        disability[:, k] = level
        active = t < end
        age = people.onset_age + t
        is_secondary = secondary <= t
        progressive = people.primary | is_secondary

        log_rate = (
            relapse_base
            + RELAPSING["age"] * (age - 30.0)
            + RELAPSING["duration"] * t
            + RELAPSING["secondary"] * is_secondary
            + LOG_RELAPSE_EFFECT[drug]
        )
        strikes = active & (rng.random(n) < -np.expm1(-np.exp(log_rate) * STEP))
        # Which of the two it is, PP or PR, is known at entry: without a relapse by then, none
        # comes later.
        purely_progressive |= (
            people.primary & (last_relapse == -np.inf) & (t + STEP > people.duration_at_entry)
        )
        struck = np.flatnonzero(strikes & ~purely_progressive)
        when = t + STEP * rng.random(len(struck))
        size, residual, severity = _relapse_sizes(len(struck), rng)
        found.append((struck, when, size, residual, severity))

        log_hazard = (
            worsening_base
            + (WORSENING["age"] + profile.effect_age) * (age - 40.0) / 10.0
            + (WORSENING["progressive"] + profile.effect_progressive) * progressive
            + (WORSENING["relapse"] + profile.effect_relapse) * (t - last_relapse < 1.0)
            + (WORSENING["disability"] + profile.effect_disability)
            * (np.minimum(level, CEILING_FROM) - 3.0)
            + WORSENING["ceiling"] * np.maximum(level - CEILING_FROM, 0.0)
            + (1.0 + profile.effect_treatment) * LOG_PROGRESSION_EFFECT[drug]
        )
        worsens = rng.random(n) < -np.expm1(-np.exp(np.minimum(log_hazard, 1.0)) * STEP)
        recovery = IMPROVEMENT_RATE * np.exp(IMPROVEMENT_AGE * (age - 40.0) / 10.0)
        # Low scores come and go: some of those without progressive disease improve a little.
        improves = ~progressive & (level > IMPROVEMENT_FROM) & (rng.random(n) < recovery * STEP)
        level = level + worsens * _step_sizes(level, rng) - improves * rng.uniform(0.4, 1.2, n)
        drift = (
            slow
            * np.exp(DRIFT_AGE * (age - 40.0) / 10.0 + LOG_PROGRESSION_EFFECT[drug])
            * np.where(progressive, DRIFT_PROGRESSIVE, 1.0)
        )
        level += drift * np.where(level < CEILING_FROM, 1.0, DRIFT_CEILING) * STEP
        level[struck] += residual
        level = np.clip(level, 0.0, MAX_DISABILITY)

        log_conversion = (
            np.log(max(parameters.secondary_progression_rate, 1e-12))
            + CONVERSION["male"] * male
            + CONVERSION["disability"] * (level - 3.0)
            + CONVERSION["age"] * (age - 40.0) / 10.0
            + CONVERSION["frailty"] * people.log_progression_frailty
        )
        converts = ~progressive & (t > 2.0) & (level >= SECONDARY_FROM)
        converts &= rng.random(n) < -np.expm1(-np.exp(np.minimum(log_conversion, 0.0)) * STEP)
        secondary[converts] = t + STEP

        last_relapse[struck] = when
        later = t + STEP
        treatable = active & (later >= people.diagnosis_lag) & (later < end)
        new = decide(
            drug,
            later - drug_start,
            spent,
            treatable,
            later - last_relapse,
            level,
            progressive,
            onset_year + later,
            parameters.treatment_start_rate,
            STEP,
            profile,
            rng,
        )
        changed = np.flatnonzero(new != drug)
        changes.append((changed, np.full(len(changed), later), new[changed]))
        drug_start[changed] = later
        once = changed[ONCE[new[changed]]]
        spent[once, new[once]] = True
        drug = new

    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    person, time, *_ = columns
    order = np.lexsort((time, person))
    order = order[time[order] < end[person[order]]]
    relapses = Relapses(*(column[order] for column in columns))
    return Disease(disability, secondary, relapses, _spells(changes))


def _spells(changes: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Treatments:
    """Spells on one drug from the changes (person, time, new drug): each ends at the next."""
    person, time, drug = (np.concatenate(column) for column in zip(*changes, strict=True))
    order = np.lexsort((time, person))
    person, time, drug = person[order], time[order], drug[order]
    followed = np.diff(person, append=-1) == 0
    end = np.where(followed, np.append(time[1:], np.inf), np.inf)
    taken = drug != NONE
    return Treatments(person[taken], drug[taken], time[taken], end[taken])


def disability_at(disease: Disease, person: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Latent disability of m (person, time) pairs, passing relapses included.

    The lasting level is that of the step; a relapse adds ``(size - residual) exp(-age / tau)``
    on top, and its residual too until the step after it, where the lasting level has it.

    Args:
        disease: what happened.
        person: (m,) index of the person.
        time: (m,) years since onset.

    Returns:
        (m,) EDSS points, not yet rounded to the scale.
    """
    step = np.minimum((time / STEP).astype(np.int64), disease.disability.shape[1] - 1)
    total = disease.disability[person, step].astype(np.float64)
    relapses = disease.relapses
    if not len(relapses.person):
        return total
    # One sorted key for all people: lives are far shorter than the gap between two of them.
    gap = 1000.0
    key = relapses.person * gap + relapses.time
    position = np.searchsorted(key, person * gap + time, side="right") - 1
    for back in range(3):
        index = np.maximum(position - back, 0)
        valid = (position >= back) & (relapses.person[index] == person)
        since = np.where(valid, time - relapses.time[index], 0.0)
        passing = (relapses.size - relapses.residual)[index]
        bump = passing * np.exp(-since * DAYS_PER_YEAR / RECOVERY_DAYS)
        same_step = (relapses.time[index] / STEP).astype(np.int64) == step
        total += valid * (bump + same_step * relapses.residual[index])
    return total
