"""Countries of the synthetic registry: their sizes, and what makes each one different."""

import functools
import zlib
from dataclasses import dataclass

import numpy as np
from scipy import special

from ms_pfl.errors import InputError
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters


@dataclass(frozen=True)
class Country:
    """A country of the registry; ``thousand_episodes`` is its relative size."""

    name: str
    code: str
    thousand_episodes: float


# The names are the study's, the sizes are read off its log-scaled bar chart; which country has
# which size is not public, so the pairing is ours and says nothing about a real country.
COUNTRIES: tuple[Country, ...] = (
    Country("Australia", "AU", 60.0),
    Country("Czech Republic", "CZ", 48.0),
    Country("Turkey", "TR", 42.0),
    Country("Argentina", "AR", 32.0),
    Country("Belgium", "BE", 26.0),
    Country("Canada", "CA", 20.0),
    Country("Italy", "IT", 11.0),
    Country("Austria", "AT", 9.0),
    Country("Egypt", "EG", 8.0),
    Country("Iran", "IR", 5.0),
    Country("Denmark", "DK", 4.5),
    Country("Spain", "ES", 4.0),
    Country("Portugal", "PT", 2.8),
    Country("Switzerland", "CH", 2.2),
    Country("Netherlands", "NL", 1.8),
    Country("Hungary", "HU", 1.5),
    Country("Kuwait", "KW", 1.2),
    Country("Israel", "IL", 0.9),
    Country("Greece", "GR", 0.8),
    Country("Jordan", "JO", 0.6),
    Country("South Africa", "ZA", 0.45),
    Country("New Zealand", "NZ", 0.35),
    Country("Germany", "DE", 0.25),
    Country("United Arab Emirates", "AE", 0.18),
    Country("France", "FR", 0.12),
    Country("Brazil", "BR", 0.08),
    Country("Serbia", "RS", 0.05),
    Country("Oman", "OM", 0.035),
    Country("Russia", "RU", 0.022),
    Country("Saudi Arabia", "SA", 0.014),
    Country("Norway", "NO", 0.008),
    Country("Qatar", "QA", 0.005),
)


def country_sizes(n_patients: int, minimum: int) -> np.ndarray:
    """Patients of each country, in the order of :data:`COUNTRIES`.

    Countries whose proportional share is below ``minimum`` are raised to it; the rest is shared
    out in proportion by largest remainders.

    Returns:
        int64 array of 32 counts, none below ``minimum``, that sum to ``n_patients``.

    Raises:
        InputError: if ``n_patients`` cannot give every country ``minimum`` patients.

    >>> country_sizes(96, 3).tolist() == [3] * 32
    True
    >>> int(country_sizes(6000, 3).sum())
    6000
    """
    weights = np.array([country.thousand_episodes for country in COUNTRIES])
    if n_patients < minimum * len(weights):
        raise InputError(
            f"synthetic_registry: n_patients = {n_patients} cannot give each of {len(weights)} "
            f"countries min_patients_per_country = {minimum}; set n_patients to "
            f"{minimum * len(weights)} or more"
        )
    free = np.ones(len(weights), dtype=bool)
    quota = weights / weights.sum() * n_patients
    while (quota[free] < minimum).any():
        # Raising one country leaves less for the others, so that another may fall below.
        free &= quota >= minimum
        quota = weights / weights[free].sum() * (n_patients - minimum * (~free).sum())
    sizes = np.where(free, np.floor(quota), minimum).astype(np.int64)
    remainder = np.where(free, quota - np.floor(quota), -1.0)
    order = np.argsort(-remainder, kind="stable")
    sizes[order[: n_patients - int(sizes.sum())]] += 1
    return sizes


@dataclass(frozen=True)
class CountryProfile:
    """A country's deviations from the common model; every field is 0 where a knob is 0.

    ``log_`` fields are added to the logarithm of a rate, ``logit_`` fields to a log-odds,
    ``effect_`` fields to a coefficient of the log hazard of worsening.
    """

    onset_age: float  # years
    log_duration: float  # of the mean disease duration at entry
    logit_primary: float  # share of primary progressive onset
    logit_female: float
    calendar: float  # years by which entry is later
    log_disability: float  # of the mean disability at onset
    education: float  # levels
    rater: float  # EDSS points
    log_rater_error: float
    log_visits: float
    log_treatment_start: float
    log_high_efficacy: float  # weight of moderate and high-efficacy drugs
    approval_delay: float  # years
    logit_missing: float
    log_progression: float
    log_relapse: float
    effect_age: float  # a decade
    effect_male: float
    effect_progressive: float
    effect_relapse: float  # a relapse in the last year
    effect_disability: float  # an EDSS point
    log_onset_age_spread: float  # of the sd of age at onset
    log_duration_spread: float  # of the coefficient of variation of disease duration at entry
    log_disability_spread: float  # of the coefficient of variation of disability at onset
    log_fluctuation: float  # of the sd of the day's form
    log_frailty_spread: float  # of the sd of the log hazard between people
    log_drift: float  # of the slow change beside the steps
    effect_treatment: float  # times the effect of treatment on the log hazard
    effect_spinal: float  # spinal onset
    clinic_rater: float  # sd of clinic offsets, EDSS points
    clinic_log_visits: float  # sd
    clinic_logit_missing: float  # sd


# Which knob each deviation belongs to, in the order in which they are drawn.
_KNOB: dict[str, str] = {
    "onset_age": "case_mix",
    "log_duration": "case_mix",
    "logit_primary": "case_mix",
    "logit_female": "case_mix",
    "calendar": "case_mix",
    "log_disability": "case_mix",
    "education": "case_mix",
    "rater": "rater",
    "log_rater_error": "rater",
    "log_visits": "visit_frequency",
    "log_treatment_start": "drug_access",
    "log_high_efficacy": "drug_access",
    "approval_delay": "drug_access",
    "logit_missing": "missingness",
    "log_progression": "hazard",
    "log_relapse": "hazard",
    "effect_age": "predictor_effects",
    "effect_male": "predictor_effects",
    "effect_progressive": "predictor_effects",
    "effect_relapse": "predictor_effects",
    "effect_disability": "predictor_effects",
    "log_onset_age_spread": "case_mix",
    "log_duration_spread": "case_mix",
    "log_disability_spread": "case_mix",
    "log_fluctuation": "rater",
    "log_frailty_spread": "hazard",
    "log_drift": "hazard",
    "effect_treatment": "predictor_effects",
    "effect_spinal": "predictor_effects",
}
_CLINIC_KNOB: dict[str, str] = {
    "clinic_rater": "rater",
    "clinic_log_visits": "visit_frequency",
    "clinic_logit_missing": "missingness",
}
# A country three sd out in everything is not a country any more.
_LIMIT = 2.0
# Of so many random orders of a balanced deviation over the countries the best one is taken.
_ORDERS = 1024
# Balanced deviations that go together, as correlations with one factor: a registry that takes in
# everybody has a broad case mix, steady raters and worsening that can be foreseen; one of selected
# patients the opposite. Ours.
_BREADTH = {
    "log_onset_age_spread": 0.85,
    "logit_primary": 0.85,
    "log_rater_error": -0.85,
    "log_frailty_spread": -0.85,
    "log_drift": 0.85,
}
# Disability at onset is gamma of this shape (its mean: people).
DISABILITY_SHAPE = 1.55
# Balanced deviations leave means over all people where they are. A deviation d of a logarithm with
# standard deviation s raises the mean by s^2 / 2, which is subtracted; ...
_RAISE_THE_MEAN = (
    "log_duration", "log_disability", "logit_primary", "log_progression", "log_relapse",
    "log_drift", "logit_missing", "log_visits",
)  # fmt: skip
# ... an effect acts on the distance from what its predictor is on average over recorded years; ...
_PREDICTOR_MEANS = {
    "effect_age": 0.3,  # decades beyond 40
    "effect_male": 0.3,
    "effect_progressive": 0.2,
    "effect_relapse": 0.25,
    "effect_disability": 0.3,  # points beyond 3
    "effect_treatment": -0.2,
    "effect_spinal": 0.5,
}
# ... and slow change is in exchange for steps: so much less of their log hazard, by d and d^2.
_STEPS_FOR_DRIFT = (0.95, 0.6)


def draw_profile(
    country: Country, parameters: SyntheticRegistryParameters, rng: np.random.Generator
) -> CountryProfile:
    """Draw one country's deviations.

    All deviations are drawn whatever the knobs are, so turning one leaves the others as they are.

    Args:
        country: one of :data:`COUNTRIES`.
        parameters: knobs, and the sd of each deviation with its knob at 1.
        rng: the country's own source of random numbers; balanced deviations do not use it.
    """
    knobs, sds = parameters.heterogeneity, parameters.deviations
    if sds.balanced:
        scores = balanced_scores(parameters.seed)[COUNTRIES.index(country)]
    else:
        scores = np.clip(rng.standard_normal(len(_KNOB)), -_LIMIT, _LIMIT)
    values = {
        name: float(getattr(knobs, knob) * getattr(sds, name) * z)
        for (name, knob), z in zip(_KNOB.items(), scores, strict=True)
    }
    if sds.balanced:
        for name in _RAISE_THE_MEAN:
            values[name] -= (getattr(knobs, _KNOB[name]) * getattr(sds, name)) ** 2 / 2
        # disability at onset varies as much over all people as where countries do not differ
        whole, between = 1 / DISABILITY_SHAPE, np.expm1((knobs.case_mix * sds.log_disability) ** 2)
        within = max(0.2 * whole, (whole - between) / (1 + between))
        values["log_disability_spread"] += float(np.log(within / whole) / 2)
        drift = values["log_drift"]
        values["log_progression"] -= (
            sum(values[name] * mean for name, mean in _PREDICTOR_MEANS.items())
            + _STEPS_FOR_DRIFT[0] * drift
            + _STEPS_FOR_DRIFT[1] * drift**2
        )
    values |= {
        name: getattr(knobs, knob) * getattr(sds, name) for name, knob in _CLINIC_KNOB.items()
    }
    values["approval_delay"] = max(values["approval_delay"], 0.0)
    return CountryProfile(**values)


@functools.lru_cache(maxsize=16)
def balanced_scores(seed: int) -> np.ndarray:
    """Standardized deviations of all countries that leave the whole registry where it is.

    Each deviation takes the 32 normal scores, cut at 2, in a random order over the countries: of
    many orders the one whose mean and mean square, weighted by the sizes of the countries, are
    nearest to 0 and 1. So the few countries that hold half of all patients do not move the overall
    figures, and seeds differ in which country deviates, not in how much countries do.

    Args:
        seed: of the registry.

    Returns:
        (countries, deviations) scores, rows in the order of :data:`COUNTRIES`. Read-only.

    >>> balanced_scores(1).shape[0]
    32
    """
    n = len(COUNTRIES)
    levels = np.clip(special.ndtri((np.arange(n) + 0.5) / n), -_LIMIT, _LIMIT)
    weights = np.array([country.thousand_episodes for country in COUNTRIES])
    weights /= weights.sum()
    rng = np.random.default_rng([seed, zlib.crc32(b"deviations of countries")])
    columns = np.empty((n, 0))
    for _ in range(1 + len(_KNOB)):
        orders = rng.permuted(np.tile(levels, (_ORDERS, 1)), axis=1)
        distance = np.abs(orders @ weights) + 0.5 * np.abs(orders**2 @ weights - 1.0)
        if columns.shape[1]:
            distance += 0.5 * np.abs((orders * weights) @ columns).mean(axis=1)
        columns = np.column_stack([columns, orders[np.argmin(distance)]])
    loading = np.array([_BREADTH.get(name, 0.0) for name in _KNOB])
    scores = loading * columns[:, :1] + np.sqrt(1 - loading**2) * columns[:, 1:]
    scores = np.clip(scores, -_LIMIT, _LIMIT)
    scores.flags.writeable = False
    return scores


@dataclass(frozen=True)
class Clinics:
    """Clinics of a country, arrays of length ``n_clinics``; the deviations are 0 at knob 0."""

    share: np.ndarray
    rater: np.ndarray  # EDSS points, the country's own offset included
    log_visits: np.ndarray
    logit_missing: np.ndarray


def draw_clinics(n_patients: int, profile: CountryProfile, rng: np.random.Generator) -> Clinics:
    """Clinics of very unequal size, about one for 120 patients, at most 40."""
    n_clinics = int(np.clip(round(n_patients / 120), 1, 40))
    z = np.clip(rng.standard_normal((3, n_clinics)), -_LIMIT, _LIMIT)
    return Clinics(
        share=rng.dirichlet(np.full(n_clinics, 1.5)),
        rater=profile.rater + profile.clinic_rater * z[0],
        log_visits=profile.log_visits + profile.clinic_log_visits * z[1],
        logit_missing=profile.logit_missing + profile.clinic_logit_missing * z[2],
    )
