"""Disease-modifying treatments of the synthetic registry: which drugs, from when, and how well."""

from dataclasses import dataclass

import numpy as np

from ms_pfl.registry.synthetic.countries import CountryProfile

NONE = -1
PLATFORM, MODERATE, HIGH = 0, 1, 2


@dataclass(frozen=True)
class Drug:
    """A treatment: efficacy tier, calendar time of use, popularity within its era."""

    name: str
    tier: int
    first_year: float  # calendar year with decimals, no day before approval
    weight: float
    last_start: float = np.inf  # nobody starts it from then on
    withdrawn: float = np.inf  # nobody takes it from then on
    longest: float = np.inf  # years: the lifetime dose is reached
    # Induction: first and last day of each course, counted from the start; the effect outlasts
    # them, so a person is on the drug (in the model, not in the record) until it wears off.
    courses: tuple[tuple[int, int], ...] = ()


# First approval in the EU or US, whichever came first, rounded up to a hundredth of a year
# (natalizumab: its return in June 2006; azathioprine, rituximab, AHSCT: use without approval,
# ours). Daclizumab left the market on 2 March 2018. Popularity is ours, so that shares at entry
# come near to MSBase's. Azathioprine is no DMT in the cohort.
DRUGS: tuple[Drug, ...] = (
    Drug("interferon beta-1b", PLATFORM, 1993.56, 1.1),
    Drug("interferon beta-1a", PLATFORM, 1996.38, 3.0),
    Drug("glatiramer acetate", PLATFORM, 1996.98, 1.3),
    Drug("azathioprine", PLATFORM, 1990.0, 0.25, last_start=2015.0),
    Drug("peginterferon beta-1a", PLATFORM, 2014.55, 0.3),
    Drug("teriflunomide", PLATFORM, 2012.70, 0.9),
    Drug("fingolimod", MODERATE, 2010.73, 2.4),
    Drug("dimethyl fumarate", MODERATE, 2013.24, 1.4),
    Drug("daclizumab", MODERATE, 2016.41, 0.2, last_start=2018.165, withdrawn=2018.165),
    Drug("siponimod", MODERATE, 2019.24, 0.15),
    Drug("ozanimod", MODERATE, 2020.24, 0.25),
    Drug("ponesimod", MODERATE, 2021.22, 0.15),
    Drug("diroximel fumarate", MODERATE, 2019.83, 0.15),
    Drug("natalizumab", HIGH, 2006.43, 0.8),
    Drug("ocrelizumab", HIGH, 2017.24, 2.0),
    Drug("ofatumumab", HIGH, 2020.64, 0.7),
    Drug("rituximab", HIGH, 2009.0, 0.4),
    # Eight to twelve infusions, three months apart.
    Drug("mitoxantrone", HIGH, 2000.79, 0.15, last_start=2014.0, longest=2.0),
    Drug("alemtuzumab", HIGH, 2013.70, 0.35, courses=((0, 4), (365, 367))),
    Drug("cladribine", HIGH, 2017.65, 0.5, courses=((0, 32), (365, 397))),
    Drug("AHSCT", HIGH, 2005.0, 0.02, courses=((0, 0),)),
)
TIER = np.array([drug.tier for drug in DRUGS] + [NONE])  # TIER[NONE] is the last: no drug
# Whether nobody starts it a second time.
ONCE = np.array([bool(drug.courses) or np.isfinite(drug.longest) for drug in DRUGS] + [False])
WITHDRAWN = np.array([drug.withdrawn for drug in DRUGS] + [np.inf])
_FIRST = np.array([drug.first_year for drug in DRUGS])
_LAST_START = np.array([drug.last_start for drug in DRUGS])
_LONGEST = np.array([drug.longest for drug in DRUGS] + [np.inf])
_WEIGHT = np.array([drug.weight for drug in DRUGS])
_NAMES = [drug.name for drug in DRUGS]
_AZATHIOPRINE, _AHSCT = _NAMES.index("azathioprine"), _NAMES.index("AHSCT")

# Relapse rate against no treatment: platform -30 to -35 %, moderate -45 to -55 %, high -65 to
# -70 %; progression hazard x .8 (platform) and x .6 (high), moderate in between.
LOG_RELAPSE_EFFECT = np.log([0.675, 0.50, 0.325, 1.0])[TIER]
LOG_PROGRESSION_EFFECT = np.log([0.8, 0.7, 0.6, 1.0])[TIER]
LOG_RELAPSE_EFFECT[_AZATHIOPRINE] = np.log(0.85)
LOG_PROGRESSION_EFFECT[_AZATHIOPRINE] = np.log(0.95)

# How far a first choice reaches for the stronger tiers; newer entrants escalate earlier.
_FIRST_CHOICE_TIER = np.array([1.0, 0.45, 0.12])
# Who has had a transplantation is seldom treated again, and then hardly ever with a mild drug.
_AFTER_AHSCT, _MILD_AFTER_AHSCT = 0.25, 0.05
_STOP_LIMITED = 0.5  # stops a year of a drug with a lifetime dose


def choose_drugs(
    current: np.ndarray,
    year: np.ndarray,
    escalate: np.ndarray,
    spent: np.ndarray,
    profile: CountryProfile,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a next drug for each of m people who start, switch or escalate.

    Args:
        current: (m,) index of the drug now taken, or NONE.
        year: (m,) calendar year with decimals.
        escalate: (m,) whether only a stronger tier will do.
        spent: (m, drugs) drugs that are given once in a life, and have been.
        profile: the country's access to drugs.
        rng: source of random numbers.

    Returns:
        (m,) indices into :data:`DRUGS`, or NONE where nothing suitable is at hand.
    """
    tier = TIER[:-1]
    access = np.where(tier > PLATFORM, np.exp(profile.log_high_efficacy), 1.0)
    weight = np.broadcast_to(_WEIGHT * access, (len(current), len(DRUGS))).copy()
    new_era = np.clip((year - 2012.0) / 8.0, 0.0, 1.0)[:, None]
    reach = _FIRST_CHOICE_TIER[tier] + new_era * (1.2 - _FIRST_CHOICE_TIER[tier]) * (tier > 0)
    weight *= np.where(escalate[:, None], 1.0, reach)
    delayed = _FIRST + np.where(tier > PLATFORM, profile.approval_delay, 0.0)
    weight *= (year[:, None] >= delayed) & (year[:, None] < _LAST_START) & ~spent
    weight[spent[:, _AHSCT, None] & (tier == PLATFORM)] *= _MILD_AFTER_AHSCT
    weight[np.arange(len(DRUGS)) == current[:, None]] = 0.0
    weight[escalate[:, None] & (tier <= TIER[current][:, None])] = 0.0
    total = np.cumsum(weight, axis=1)
    draw = rng.random(len(current)) * total[:, -1]
    chosen = (total <= draw[:, None]).sum(axis=1)
    # Where all that is stronger is seldom used (before natalizumab), few escalate.
    rare = escalate & (rng.random(len(current)) >= total[:, -1])
    return np.where((total[:, -1] > 0) & ~rare, np.minimum(chosen, len(DRUGS) - 1), NONE)


def decide(
    drug: np.ndarray,
    since_start: np.ndarray,
    spent: np.ndarray,
    treatable: np.ndarray,
    since_relapse: np.ndarray,
    disability: np.ndarray,
    progressive: np.ndarray,
    year: np.ndarray,
    start_rate: float,
    step: float,
    profile: CountryProfile,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the drug of each of n people at the end of a step of ``step`` years.

    People start and escalate after relapses and at higher disability (so treatment is
    confounded by indication), and stop late in the disease.

    Args:
        drug: (n,) current drug or NONE.
        since_start: (n,) years since the current drug was started.
        spent: (n, drugs) drugs that are given once in a life, and have been.
        treatable: (n,) diagnosed and under observation.
        since_relapse: (n,) years since the last relapse.
        disability: (n,) latent EDSS points.
        progressive: (n,) primary or secondary progressive.
        year: (n,) calendar year with decimals.
        start_rate: first treatments a person-year.
        step: length of the step in years.
        profile: the country's access to drugs.
        rng: source of random numbers.

    Returns:
        (n,) new drug or NONE.
    """
    untreated = drug == NONE
    recent = since_relapse < 0.5
    # Drugs came into general use between 1994 and 2000.
    era = np.clip((year - 1994.0) / 6.0, 0.0, 1.0)
    start = (
        start_rate
        * np.exp(profile.log_treatment_start)
        * era
        * (1.0 + 2.0 * recent)
        * np.where(progressive, 0.4, 1.0)
    )
    change = 0.05 + np.exp(0.5 * profile.log_high_efficacy) * (
        0.05 + 0.9 * recent + 0.02 * np.maximum(disability - 3.0, 0.0)
    ) * (TIER[drug] < HIGH)
    # What was transplanted cannot be stopped, and is rarely followed by anything.
    transplanted = spent[:, _AHSCT]
    start, change = (rate * np.where(transplanted, _AFTER_AHSCT, 1.0) for rate in (start, change))
    stop = 0.08 * np.where(progressive | (disability > 6.25), 1.8, 1.0) * (drug != _AHSCT)
    stop = np.where(np.isfinite(_LONGEST[drug]), _STOP_LIMITED, stop)
    draw = rng.random(len(drug))
    p_stop = 1 - np.exp(-stop * step)
    p_change = 1 - np.exp(-np.where(untreated, start, change) * step)
    ends = (year >= WITHDRAWN[drug]) | (since_start >= _LONGEST[drug])
    stops = treatable & ~untreated & ((draw < p_stop) | ends)
    changes = np.flatnonzero(treatable & ~stops & (draw > 1 - p_change))
    result = np.where(stops, NONE, drug)
    escalate = ~untreated[changes] & (TIER[drug[changes]] < HIGH) & (rng.random(len(changes)) < 0.8)
    chosen = choose_drugs(drug[changes], year[changes], escalate, spent[changes], profile, rng)
    # Who finds nothing stronger stays with what he has.
    result[changes] = np.where(chosen == NONE, drug[changes], chosen)
    return result
