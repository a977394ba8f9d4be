"""Parameters of the synthetic registry, checked before anything is simulated."""

from datetime import date
from typing import Annotated

from pydantic import Field

from ms_pfl.config import Section


class Heterogeneity(Section):
    """How much countries differ, one knob a cause: 0 = not at all, 1 = as in the base registry.

    Each knob multiplies the standard deviation of a country's (and its clinics') deviations.
    With every knob at 0 the patients of all countries are draws from one distribution.
    """

    case_mix: float = Field(
        description="age, duration, course, sex, education, calendar year and disability at onset",
        ge=0.0,
        le=3.0,
    )
    rater: float = Field(
        description="EDSS offsets of countries and clinics, rater error", ge=0.0, le=3.0
    )
    visit_frequency: float = Field(
        description="visits a year, by country and clinic", ge=0.0, le=3.0
    )
    drug_access: float = Field(
        description="start of treatment, approval delay, high-efficacy drugs", ge=0.0, le=3.0
    )
    missingness: float = Field(
        description="share of missing values, by country, clinic", ge=0.0, le=3.0
    )
    hazard: float = Field(
        description="baseline hazards of worsening and of relapse", ge=0.0, le=3.0
    )
    predictor_effects: float = Field(
        description="effects of age, sex, course, relapses and EDSS on worsening (concept shift)",
        ge=0.0,
        le=3.0,
    )


Sd = Annotated[float, Field(ge=0.0, le=3.0)]


class Deviations(Section):
    """Standard deviations between countries (and clinics) where the knobs are at 1.

    ``log_`` and ``logit_`` are on those scales; effects are coefficients of the log hazard of a
    step of worsening.
    """

    balanced: bool = Field(
        description="whether deviations leave the mean over all patients as it is"
    )
    # case_mix
    onset_age: Sd = Field(description="age at onset, years")
    log_onset_age_spread: Sd = Field(description="sd of age at onset")
    log_duration: Sd = Field(description="disease duration at entry")
    log_duration_spread: Sd = Field(description="its coefficient of variation")
    logit_primary: Sd = Field(description="share of primary progressive onset")
    logit_female: Sd = Field(description="share of women")
    calendar: Sd = Field(description="calendar time of entry, years")
    log_disability: Sd = Field(description="disability at onset")
    log_disability_spread: Sd = Field(description="its coefficient of variation")
    education: Sd = Field(description="levels")
    # rater
    rater: Sd = Field(description="offset of all raters of a country, EDSS points")
    log_rater_error: Sd = Field(description="share of wrong ratings")
    log_fluctuation: Sd = Field(description="sd of the day's form")
    clinic_rater: Sd = Field(description="offset of a clinic, EDSS points")
    # visit_frequency
    log_visits: Sd = Field(description="visit rate of a country")
    clinic_log_visits: Sd = Field(description="visit rate of a clinic")
    # drug_access
    log_treatment_start: Sd = Field(description="rate of first treatments")
    log_high_efficacy: Sd = Field(description="weight of moderate and high-efficacy drugs")
    approval_delay: Sd = Field(description="years; never before the first approval")
    # missingness
    logit_missing: Sd = Field(description="missing items of a country")
    clinic_logit_missing: Sd = Field(description="missing items of a clinic")
    # hazard
    log_progression: Sd = Field(description="hazard of worsening")
    log_relapse: Sd = Field(description="relapse rate")
    log_frailty_spread: Sd = Field(description="sd of the log hazard between people")
    log_drift: Sd = Field(description="slow change, in exchange for steps of worsening")
    # predictor_effects
    effect_age: Sd = Field(description="a decade")
    effect_male: Sd = Field(description="of men against women")
    effect_progressive: Sd = Field(description="of progressive disease")
    effect_relapse: Sd = Field(description="of a relapse in the last year")
    effect_disability: Sd = Field(description="an EDSS point")
    effect_treatment: Sd = Field(description="times the effect of treatment")
    effect_spinal: Sd = Field(description="of spinal onset")


class SyntheticRegistryParameters(Section):
    """Size, seed and the main rates of the synthetic registry.

    The finer constants (effects, severities, drug catalog) stand with their sources in the
    modules that use them, see ``docs/synthetic-registry.md``.
    """

    n_patients: int = Field(
        ge=96, le=1_000_000, description="patients in all 32 countries together"
    )
    min_patients_per_country: int = Field(ge=3, le=100, description="floor for small countries")
    seed: int = Field(ge=0, description="same seed and parameters give the same tables")
    data_cut: date = Field(
        ge=date(2005, 1, 1),
        le=date(2100, 1, 1),
        description="the day of the export: nothing in the registry is later",
    )
    follow_up_years: float = Field(
        gt=0.5,
        le=40.0,
        description="mean years until a patient leaves, before the data cut shortens them",
    )
    visits_per_year: float = Field(
        gt=0.2, le=6.0, description="mean scheduled visits of a patient in a year"
    )
    relapse_rate: float = Field(
        ge=0.0,
        le=3.0,
        description="relapses a person-year: untreated man of 30 at onset of relapsing MS",
    )
    progression_rate: float = Field(
        ge=0.0,
        le=2.0,
        description="steps of lasting worsening a person-year: untreated woman of 40, RR, EDSS 3",
    )
    secondary_progression_rate: float = Field(
        ge=0.0,
        le=1.0,
        description="conversions from RR to SP a person-year of a woman of 40 at EDSS 3",
    )
    treatment_start_rate: float = Field(
        ge=0.0,
        le=5.0,
        description="first treatments a person-year once diagnosed and drugs are at hand",
    )
    heterogeneity: Heterogeneity = Field(description="how much the countries differ")
    deviations: Deviations = Field(description="sd between countries with the knobs at 1")
