"""The published figures that the synthetic registry has to meet, each with its tolerance.

Data alone: :mod:`realism.summary` measures them. Where the published figure is a range, the target
is its middle. Tolerances are .40 EDSS points for means and standard deviations and .08 for shares,
or narrower; wider ones, with the reasons, stand in ``docs/synthetic-registry.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ms_pfl.registry.contract import FUNCTIONAL_SYSTEMS


@dataclass(frozen=True)
class Target:
    """A published figure: what it is in words, where it is from, its value and how near is near."""

    figure: str
    source: str
    target: float
    tolerance: float
    only_with_knobs: bool = False  # it says how countries differ: at knobs 0 they do not

    def holds(self, achieved: float) -> bool:
        """Whether ``achieved`` lies within the tolerance; a missing value does not."""
        return abs(achieved - self.target) <= self.tolerance + 1e-9


_FIRST_VISITS = "MSBase first visits"
_QUIET = "on treatment, n = 5,339"
# Crude .2 (modern) to .6 (all time) a person-year: .4 at 35 years, 17 % less every five years
# (Tremlett 2008).
_BY_AGE_SOURCE = ".4 at 35, -17 % every 5 years (Tremlett 2008)"
RELAPSE_AGES = {"under 30": (0, 30), "30 to 39": (30, 40), "40 to 49": (40, 50), "50 on": (50, 120)}

# Roxburgh 2005 and Manouchehrinia 2017, inverted from their severity scores: mean, sd, share at 0,
# at <= 2, >= 4, >= 6. The treated cohort of the second is the target, the first is for comparison.
EDSS_COLUMNS = ("mean", "sd", "share at 0", "share <= 2", "share >= 4", "share >= 6")
# Half the width of the window around a duration, years: the longer, the fewer are seen.
EDSS_WINDOW = {1: 0.5, 5: 1.0, 10: 1.0, 15: 1.5, 20: 1.5, 30: 2.5}
ROXBURGH = {
    1: (1.99, 1.51, 0.13, 0.67, 0.11, 0.03),
    5: (3.01, 2.02, 0.06, 0.46, 0.31, 0.15),
    10: (4.07, 2.29, 0.04, 0.28, 0.51, 0.32),
    15: (4.74, 2.37, 0.02, 0.20, 0.63, 0.44),
    20: (5.37, 2.20, 0.01, 0.11, 0.74, 0.56),
    30: (5.80, 2.17, 0.00, 0.10, 0.81, 0.64),
}
MANOUCHEHRINIA = {
    1: (2.11, 1.78, 0.18, 0.64, 0.15, 0.08),
    5: (2.74, 2.12, 0.13, 0.52, 0.27, 0.15),
    10: (3.56, 2.34, 0.07, 0.37, 0.40, 0.27),
    15: (4.07, 2.34, 0.04, 0.28, 0.50, 0.33),
    20: (4.67, 2.39, 0.03, 0.21, 0.60, 0.45),
    30: (5.54, 2.23, 0.01, 0.11, 0.75, 0.60),
}
BY_AGE = {30: (2.25, 1.99), 40: (3.12, 2.30), 50: (4.01, 2.37), 60: (4.88, 2.31)}

# Published correlations with EDSS of KFS_1..KFS_7 and ambulation.
_KFS = {
    "pyramidal": 0.90,
    "cerebellar": 0.61,
    "brainstem": 0.44,
    "sensory": 0.37,
    "bowel and bladder": 0.70,
    "visual": 0.50,
    "cerebral": 0.56,
    "ambulation": 0.95,
}
KFS_FIGURES = {
    name: f"Correlation with EDSS, {label}"
    for name, label in zip(FUNCTIONAL_SYSTEMS, _KFS, strict=True)
}


def _tolerance(year: int, column: int) -> float:
    """Fewer are seen late: chance alone moves a share by .03 at 15 and 20 years, .04 at 30."""
    if column < 2:
        return 0.40 if year < 30 else 0.50
    return 0.08 if year < 15 else 0.10 if year < 30 else 0.12


#: What the four tables (and the raters) tell, in the order of the documentation.
REGISTRY_TARGETS: tuple[Target, ...] = (
    # people
    Target("Women, share", "MSBase, Australia, NO.MS: .71-.75", 0.73, 0.03),
    Target("Age at first visit, mean (years)", _FIRST_VISITS, 36.3, 1.5),
    Target("Age at first visit, sd", _FIRST_VISITS, 10.5, 1.0),
    Target("Disease duration at first visit, mean (years)", _FIRST_VISITS, 6.2, 0.8),
    Target("Disease duration at first visit, sd", _FIRST_VISITS, 6.8, 0.8),
    Target("EDSS at first visit, mean", _FIRST_VISITS, 2.12, 0.40),
    Target("EDSS at first visit, sd", _FIRST_VISITS, 1.50, 0.50),
    Target("RR or CIS at first visit, share", _FIRST_VISITS, 0.86, 0.05),
    Target("PP or PR at first visit, share", _FIRST_VISITS, 0.09, 0.03),
    Target("SP at first visit, share", _FIRST_VISITS + ": the rest", 0.05, 0.04),
    Target("No treatment at first visit, share", _FIRST_VISITS, 0.35, 0.06),
    Target("Interferon at first visit, share", _FIRST_VISITS, 0.41, 0.06),
    Target("Glatiramer at first visit, share", _FIRST_VISITS, 0.11, 0.04),
    Target("Natalizumab at first visit, share", _FIRST_VISITS, 0.05, 0.025),
    Target("Fingolimod at first visit, share", _FIRST_VISITS, 0.045, 0.025),
    Target("Dimethyl fumarate at first visit, share", _FIRST_VISITS, 0.015, 0.01),
    Target("Teriflunomide at first visit, share", _FIRST_VISITS, 0.013, 0.01),
    # visits
    Target("Visits a person-year", "Australia", 1.4, 0.2),
    Target("First to last visit, mean (years)", "Australia: about 6", 6.0, 1.2),
    Target("Gap between visits, median (days)", "about 6 months", 182.0, 25.0),
    Target("Functional systems missing, share", ".10-.15", 0.125, 0.035),
    # EDSS by duration and age
    *(
        Target(
            f"EDSS {year} years after onset, {column}",
            f"Manouchehrinia 2017 (Roxburgh 2005: {ROXBURGH[year][k]:.2f})",
            MANOUCHEHRINIA[year][k],
            _tolerance(year, k),
        )
        for year, (k, column) in product(MANOUCHEHRINIA, enumerate(EDSS_COLUMNS))
    ),
    *(
        Target(f"EDSS at age {age}, {column}", "severity score by age", BY_AGE[age][k], 0.50)
        for age, (k, column) in product(BY_AGE, enumerate(("mean", "sd")))
    ),
    # course
    Target("Year without a relapse, mean change", _QUIET, -0.05, 0.14),
    Target("Year without a relapse, sd of change", _QUIET, 0.58, 0.15),
    Target("Year without a relapse, unchanged", _QUIET, 0.70, 0.10),
    Target("Year without a relapse, up >= 1", _QUIET, 0.058, 0.025),
    Target("Year with a relapse, mean change", _QUIET, 0.26, 0.12),
    Target("Year with a relapse, up >= 1", _QUIET, 0.188, 0.06),
    Target("Year without a relapse, up >= 1, age up to 25", "by age", 0.029, 0.05),
    Target("Year without a relapse, up >= 1, age 45 to 55", "by age", 0.061, 0.035),
    Target("A year on, EDSS 0 stays 0", "Australia", 0.54, 0.16),
    Target("A year on, 1-3.5 stays there", "Australia", 0.82, 0.12),
    Target("A year on, 4-6 stays there", "Australia", 0.70, 0.12),
    Target("A year on, 6.5 or more stays there", "Australia", 0.78, 0.16),
    Target("A year on, EDSS 0 becomes 1-3.5", "Australia", 0.42, 0.12),
    Target("A year on, 1-3.5 becomes 4-6", "Australia", 0.11, 0.08),
    Target("A year on, 4-6 becomes 6.5 or more", "Australia", 0.09, 0.10),
    Target("RR to SP, a person-year", "registries", 0.046, 0.012),
    Target("RR to SP, men against women", "registries", 1.4, 0.3),
    # relapses
    Target("Relapses a person-year", ".2 (modern) to .6 (all time)", 0.40, 0.20),
    *(
        Target(f"Relapses a person-year, age {age}", _BY_AGE_SOURCE, target, 0.15)
        for age, target in zip(RELAPSE_AGES, (0.56, 0.40, 0.28, 0.19), strict=True)
    ),
    Target("Relapses, women against men", "+18 %", 1.18, 0.12),
    Target("Severe relapses, share", ".17-.30", 0.235, 0.065),
    Target("Severe relapse, >= 1 point left a year on", "about half", 0.50, 0.12),
    # raters
    Target("Two raters agree exactly", "rater studies", 0.69, 0.03),
    Target("Two raters agree within half a point", "rater studies: .92 or more", 0.96, 0.04),
    # functional systems
    *(
        Target(figure, "functional systems", target, 0.05)
        for figure, target in zip(KFS_FIGURES.values(), _KFS.values(), strict=True)
    ),
)
#: What only the labelled episodes tell. Larger countries: 100 patients or more in the cohort.
COHORT_TARGETS: tuple[Target, ...] = (
    Target("Confirmed worsening at two years, share", ".11-.20", 0.155, 0.045),
    Target(
        "Its sd over larger countries", "Beta with sd .03-.04", 0.035, 0.015, only_with_knobs=True
    ),
    Target("Episodes a cohort patient", "Pirmani 2025: 283,115 of 26,246", 10.8, 1.5),
)
#: How much countries differ to one model: :mod:`realism.between_countries`.
BETWEEN_TARGETS: tuple[Target, ...] = (
    Target(
        "Between countries, sd of ROC-AUC (tau)",
        "469 models, 1,603 validations: sd .015 (van Leeuwen 2025)",
        0.055,
        0.015,
        only_with_knobs=True,
    ),
    Target(
        "Between countries, sd of log(expected / observed)",
        "derived: half the variance of log prevalence, sd .03-.04 of .155",
        0.16,
        0.07,
        only_with_knobs=True,
    ),
)
TARGETS: tuple[Target, ...] = REGISTRY_TARGETS + COHORT_TARGETS + BETWEEN_TARGETS
