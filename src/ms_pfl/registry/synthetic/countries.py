"""Countries of the synthetic registry: their sizes, and what makes each one different."""

from dataclasses import dataclass

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.registry.synthetic.parameters import Heterogeneity


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
    clinic_rater: float  # sd of clinic offsets, EDSS points
    clinic_log_visits: float  # sd
    clinic_logit_missing: float  # sd


# Standard deviation between countries with the knob at 1. No such figures are published but the
# spread of prevalence (Beta with sd .03-.04): these were chosen to land there, and to keep
# every country within what registries report.
_COUNTRY_SD: dict[str, tuple[str, float]] = {
    "onset_age": ("case_mix", 1.5),
    "log_duration": ("case_mix", 0.2),
    "logit_primary": ("case_mix", 0.4),
    "logit_female": ("case_mix", 0.12),
    "calendar": ("case_mix", 1.5),
    "log_disability": ("case_mix", 0.12),
    "education": ("case_mix", 0.4),
    "rater": ("rater", 0.15),
    "log_rater_error": ("rater", 0.12),
    "log_visits": ("visit_frequency", 0.12),
    "log_treatment_start": ("drug_access", 0.3),
    "log_high_efficacy": ("drug_access", 0.6),
    "approval_delay": ("drug_access", 1.2),
    "logit_missing": ("missingness", 0.5),
    "log_progression": ("hazard", 0.3),
    "log_relapse": ("hazard", 0.15),
    "effect_age": ("predictor_effects", 0.10),
    "effect_male": ("predictor_effects", 0.15),
    "effect_progressive": ("predictor_effects", 0.25),
    "effect_relapse": ("predictor_effects", 0.25),
    "effect_disability": ("predictor_effects", 0.08),
}
_CLINIC_SD: dict[str, tuple[str, float]] = {
    "clinic_rater": ("rater", 0.15),
    "clinic_log_visits": ("visit_frequency", 0.15),
    "clinic_logit_missing": ("missingness", 0.6),
}
# A country three sd out in everything is not a country any more.
_LIMIT = 2.0


def draw_profile(knobs: Heterogeneity, rng: np.random.Generator) -> CountryProfile:
    """One country's deviations.

    All deviations are drawn whatever the knobs are, so turning one leaves the others as they are.
    """
    normal = np.clip(rng.standard_normal(len(_COUNTRY_SD)), -_LIMIT, _LIMIT)
    values = {
        name: float(getattr(knobs, knob) * sd * z)
        for (name, (knob, sd)), z in zip(_COUNTRY_SD.items(), normal, strict=True)
    }
    values |= {name: getattr(knobs, knob) * sd for name, (knob, sd) in _CLINIC_SD.items()}
    values["approval_delay"] = max(values["approval_delay"], 0.0)
    return CountryProfile(**values)


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
