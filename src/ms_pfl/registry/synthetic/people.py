"""People of the synthetic registry: who they are when they enter it."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy import stats

from ms_pfl.registry.synthetic.countries import DISABILITY_SHAPE, Clinics, CountryProfile
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters

DAYS_PER_YEAR = 365.25
EPOCH = date(1970, 1, 1)
FIRST_ENTRY = (date(1990, 1, 1) - EPOCH).days

# MSBase first visits (n = 23,236), Australia, Ribbons 2015, Novartis NO.MS: age at first visit
# 36.3 +- 10.5, duration then 6.2 +- 6.8 years, 71-75 % women (48 % in PP), PP about 9 %.
FEMALE = {False: 0.735, True: 0.48}  # by primary progressive onset
PRIMARY_PROGRESSIVE = 0.08
ONSET_AGE = {False: (29.0, 8.3), True: (38.5, 9.0)}  # mean, sd in years
DURATION_MEAN, DURATION_SHAPE = 6.2, 0.85
PROGRESSION_FRAILTY_SD = 0.78  # of the log hazard: most of what distinguishes people
# Who worsens fast comes to a clinic early and stays, mild disease comes late and leaves: rank
# correlation (Gaussian copula) of duration at entry and of follow-up with the frailty. It is what
# lets people be little disabled at their first visit, 6 years into the disease, and those who are
# seen 10 years after onset much more so. Ours.
ENTRY_CORRELATION = -0.7
STAY_CORRELATION = 0.5
DIAGNOSIS_LAG = 1.0  # years, mean
FOLLOW_UP_SHAPE = 0.9  # about exponential: many leave early, some stay for decades
CALENDAR = (2.6, 2.6)  # beta, from 1990 to a year before the data cut
DISABILITY_MEAN = 1.45  # EDSS points at onset, gamma
_SITE_SHARE = np.array([0.22, 0.20, 0.22, 0.38])  # in the order of contract.ONSET_SITES


@dataclass(frozen=True)
class People:
    """Arrays of length n; times in years or in days since 1970-01-01 where the name says so."""

    female: np.ndarray
    primary: np.ndarray  # primary progressive onset
    with_relapses: np.ndarray  # primary progressive with relapses (PR)
    onset_age: np.ndarray  # years
    duration_at_entry: np.ndarray  # years
    follow_up: np.ndarray  # years in the registry
    entry_day: np.ndarray  # day of the first visit
    onset_day: np.ndarray
    birth_day: np.ndarray
    diagnosis_lag: np.ndarray  # years from onset
    onset_site: np.ndarray  # (n, 4) bool, in the order of contract.ONSET_SITES
    education: np.ndarray  # levels 1 (primary) to 5 (postgraduate)
    disability_at_onset: np.ndarray  # latent EDSS points
    clinic: np.ndarray  # index into the country's clinics
    relapse_frailty: np.ndarray  # mean 1, CV .8
    log_progression_frailty: np.ndarray

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.female)


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _expit(x: np.ndarray | float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x, dtype=float))))


def _correlated(z: np.ndarray, own: np.ndarray, correlation: float) -> np.ndarray:
    """Return a standard normal with a given correlation to ``z``, made of ``z`` and another one."""
    return correlation * z + np.sqrt(1 - correlation**2) * own


def _gamma(z: np.ndarray, shape: float, mean: float) -> np.ndarray:
    """Gamma with the ranks of standard normals ``z``."""
    return np.asarray(stats.gamma.ppf(stats.norm.cdf(z), shape, scale=mean / shape))


def _frailty(z: np.ndarray, log_spread: float) -> np.ndarray:
    """Log frailty with the ranks of ``z``; its spread leaves the mean frailty as it is."""
    sd = PROGRESSION_FRAILTY_SD * float(np.exp(log_spread))
    return np.asarray(sd * z - (sd**2 - PROGRESSION_FRAILTY_SD**2) / 2)


def draw_people(
    n: int,
    profile: CountryProfile,
    clinics: Clinics,
    parameters: SyntheticRegistryParameters,
    rng: np.random.Generator,
) -> People:
    """``n`` people of a country at their entry into the registry."""
    primary = rng.random(n) < _expit(_logit(PRIMARY_PROGRESSIVE) + profile.logit_primary)
    p_female = np.where(
        primary,
        _expit(_logit(FEMALE[True]) + profile.logit_female),
        _expit(_logit(FEMALE[False]) + profile.logit_female),
    )
    mean = np.where(primary, ONSET_AGE[True][0], ONSET_AGE[False][0]) + profile.onset_age
    sd = np.where(primary, ONSET_AGE[True][1], ONSET_AGE[False][1])
    sd = sd * np.exp(profile.log_onset_age_spread)
    onset_age = np.clip(mean + sd * rng.standard_normal(n), 10.0, 65.0)
    z_frailty, z_duration, z_stay = rng.standard_normal((3, n))
    # Those who fall ill young have had more time to be ill before they enter.
    duration = _gamma(
        _correlated(z_frailty, z_duration, ENTRY_CORRELATION),
        DURATION_SHAPE * float(np.exp(-2 * profile.log_duration_spread)),
        DURATION_MEAN,
    )
    duration *= np.exp(profile.log_duration) * np.exp(-0.015 * (onset_age - mean))
    duration = np.clip(duration, 0.05, np.minimum(40.0, 78.0 - onset_age))

    cut = (parameters.data_cut - EPOCH).days
    last_entry = cut - int(DAYS_PER_YEAR)
    calendar = (
        rng.beta(*CALENDAR, n) * (last_entry - FIRST_ENTRY) + profile.calendar * DAYS_PER_YEAR
    )
    entry_day = np.clip(FIRST_ENTRY + calendar, FIRST_ENTRY, last_entry).astype(np.int64)
    stay = _gamma(
        _correlated(z_frailty, z_stay, STAY_CORRELATION),
        FOLLOW_UP_SHAPE,
        parameters.follow_up_years,
    )
    follow_up = np.minimum(stay, (cut - entry_day) / DAYS_PER_YEAR)

    onset_day = entry_day - np.ceil(duration * DAYS_PER_YEAR).astype(np.int64)
    birth_day = onset_day - np.floor(onset_age * DAYS_PER_YEAR).astype(np.int64)
    site = rng.random((n, 4)) < _SITE_SHARE
    # Onset has a site; where the draws gave none it is the most frequent one.
    site[~site.any(axis=1), 3] = True
    shape = DISABILITY_SHAPE * float(np.exp(-2 * profile.log_disability_spread))
    disability = np.exp(profile.log_disability) * rng.gamma(shape, DISABILITY_MEAN / shape, n)
    disability = np.clip(disability * np.where(primary, 1.8, 1.0), 0.0, 7.0)
    return People(
        female=rng.random(n) < p_female,
        primary=primary,
        with_relapses=primary & (rng.random(n) < 0.3),
        onset_age=onset_age,
        duration_at_entry=(entry_day - onset_day) / DAYS_PER_YEAR,
        follow_up=follow_up,
        entry_day=entry_day,
        onset_day=onset_day,
        birth_day=birth_day,
        diagnosis_lag=np.minimum(rng.exponential(DIAGNOSIS_LAG, n), duration + 1.0),
        onset_site=site,
        education=np.clip(np.rint(3.0 + profile.education + 1.1 * rng.standard_normal(n)), 1, 5),
        disability_at_onset=disability,
        clinic=rng.choice(len(clinics.share), size=n, p=clinics.share),
        relapse_frailty=rng.gamma(1 / 0.64, 0.64, n),
        log_progression_frailty=_frailty(z_frailty, profile.log_frailty_spread),
    )
