"""The two outcomes of an episode side by side: labels, dates, relapse association, prevalence.

A worsening is PIRA (progression independent of relapse activity) where no relapse began near its
onset, and RAW (relapse-associated worsening) where one did; by default from 90 days before it to
30 after. Müller et al. review the definitions (JAMA Neurology 2023, 10.1001/jamaneurol.2023.3331).
"""

from typing import get_args

import numpy as np
import pandas as pd

from ms_pfl.cohort.first_event import EVENT_REASONS, Scores, event_days
from ms_pfl.cohort.parameters import CohortParameters, Outcome, Rule
from ms_pfl.cohort.timeline import (
    VisitDays,
    code_of,
    count_between,
    date_of,
    day_number,
    day_of,
    keys,
)
from ms_pfl.cohort.worsening import REASONS, label_days, minimum_increase

OUTCOMES: tuple[str, ...] = get_args(Outcome)
RULES: tuple[str, ...] = get_args(Rule)
ASSOCIATIONS: tuple[str, ...] = ("PIRA", "RAW")

#: Of each outcome the reasons for no label after the history, each with its stage of the attrition.
OUTCOME_STAGES: dict[str, dict[str, tuple[str, str]]] = {
    "state_near_two_years": {
        "baseline_at_relapse": ("Baseline", REASONS["baseline_at_relapse"]),
        "no_estar": ("Follow-up", REASONS["no_estar"]),
        "no_estar_only_relapse_time": ("Follow-up", REASONS["no_estar_only_relapse_time"]),
        "no_closing_estar_low": ("Confirmation", REASONS["no_closing_estar_low"]),
        "no_closing_estar_high": ("Confirmation", REASONS["no_closing_estar_high"]),
    },
    "first_confirmed_event": {
        "baseline_at_relapse": ("Baseline", EVENT_REASONS["baseline_at_relapse"]),
        "no_edss_after_horizon": ("Follow-up", EVENT_REASONS["no_edss_after_horizon"]),
        "unconfirmed_at_end": ("Confirmation", EVENT_REASONS["unconfirmed_at_end"]),
    },
}


def outcome_days(days: VisitDays, onsets: np.ndarray, parameters: CohortParameters) -> pd.DataFrame:
    """Return the outcome of `parameters.outcome` of each day with an EDSS.

    Args:
        days: visit days.
        onsets: sorted keys of relapse onsets.
        parameters: outcome, rule, windows.

    Returns:
        One row per patient and day with an EDSS, sorted: label (1, 0 or NaN), worsening_date (where
        the label is 1: first EDSS of the unbroken run of worse scores) and confirmation_date (the
        EDSS that settles it), reason (missing where there is a label).
    """
    if parameters.outcome == "first_confirmed_event":
        return event_days(days, onsets, parameters)
    state = label_days(days, onsets, parameters)
    begins = pd.Series(_run_begins(days, state, parameters.rule))
    worse = state["label"] == 1
    return state[["label", "reason"]].assign(
        worsening_date=begins.where(worse), confirmation_date=state["closing_date"].where(worse)
    )


def _run_begins(days: VisitDays, state: pd.DataFrame, rule: str) -> np.ndarray:
    """Date of the first EDSS of the unbroken run of worse scores that leads to E* (datetime64).

    NaT where E* is missing or not worse. Scores at relapse time belong to the run, as they do for
    the first confirmed event.
    """
    key, edss = days.key[days.scored], days.edss[days.scored]
    begin = np.full(len(key), np.datetime64("NaT", "us"))
    threshold = edss + minimum_increase(edss, rule)
    high = (state["e_star"] >= threshold).to_numpy()
    scores = Scores(key, edss, np.ones(len(key), dtype=bool))
    for level in np.unique(threshold[high]):
        anchor = np.flatnonzero(high & (threshold == level))
        star = keys(code_of(key[anchor]), day_number(state["e_star_date"].iloc[anchor]))
        first = scores.runs(edss >= level).first[np.searchsorted(key, star)]
        begin[anchor] = date_of(key[first])
    return begin


def relapse_association(
    worsening: np.ndarray,
    patient: np.ndarray,
    onsets: np.ndarray,
    country: np.ndarray,
    parameters: CohortParameters,
) -> np.ndarray:
    """PIRA, RAW or None (unknown) of each worsening.

    Without a relapse in its window a worsening is PIRA only where the country is known to record
    relapses by the day the window begins: somebody of it has had one by then. Where nobody ever
    has, nothing is PIRA.

    Args:
        worsening: datetime64 of each worsening, NaT where there is none (the result is None).
        patient: code of the patient of each worsening.
        onsets: sorted keys of relapse onsets.
        country: integer country of each patient code.
        parameters: days before and after the worsening in which a relapse goes with it.

    Returns:
        Object array of "PIRA", "RAW" or None.
    """
    result = np.full(len(worsening), None, dtype=object)
    there = ~np.isnat(worsening)
    day = worsening[there].astype("datetime64[D]").astype(np.int64)
    who = patient[there]
    before, after = (
        parameters.relapse_days_before_worsening,
        parameters.relapse_days_after_worsening,
    )
    near = count_between(onsets, keys(who, day) - before, keys(who, day) + after) > 0
    recorded = pd.Series(day_of(onsets)).groupby(country[code_of(onsets)]).min()
    known = (recorded.reindex(country[who]) <= day - before).to_numpy()
    names = np.array([*ASSOCIATIONS, None], dtype=object)
    result[there] = names[np.select([near, known], [1, 0], 2)]
    return result


def every_outcome(
    days: VisitDays, onsets: np.ndarray, parameters: CohortParameters
) -> dict[tuple[str, str], pd.DataFrame]:
    """:func:`outcome_days` under each outcome and rule, the chosen pair first."""
    mine = (parameters.outcome, parameters.rule)
    pairs = [mine, *((o, r) for o in OUTCOMES for r in RULES if (o, r) != mine)]
    return {
        (outcome, rule): outcome_days(
            days, onsets, parameters.model_copy(update={"outcome": outcome, "rule": rule})
        )
        for outcome, rule in pairs
    }


def outcome_table(
    episodes: pd.DataFrame,
    baseline: np.ndarray,
    results: dict[tuple[str, str], pd.DataFrame],
    association: np.ndarray,
    rule: str,
) -> pd.DataFrame:
    """Labels of the episodes under both outcomes, and the worsening of the chosen one.

    Args:
        episodes: episode_id, patient_id, country, t0, label.
        baseline: EDSS of each episode.
        results: of :func:`every_outcome`, a row per episode.
        association: of :func:`relapse_association`, for the chosen outcome.
        rule: the chosen one.

    Returns:
        episode_id, patient_id, country, t0, baseline_edss, label (int8, of the chosen outcome), a
        column for each outcome (float64: 1, 0, NaN = no label), worsening_date, confirmation_date
        and relapse_association of the chosen one (missing without worsening; the last also where
        relapses are not known).
    """
    own = next(iter(results.values()))
    return episodes[["episode_id", "patient_id", "country", "t0"]].assign(
        baseline_edss=baseline,
        label=episodes["label"],
        **{outcome: results[outcome, rule]["label"].to_numpy() for outcome in OUTCOMES},
        worsening_date=own["worsening_date"].to_numpy(),
        confirmation_date=own["confirmation_date"].to_numpy(),
        relapse_association=pd.Series(association, index=episodes.index, dtype="str"),
    )


def prevalence_table(
    results: dict[tuple[str, str], pd.DataFrame],
    associations: dict[tuple[str, str], np.ndarray],
) -> pd.DataFrame:
    """How often each outcome is seen under each rule, and how it agrees with the chosen one.

    Args:
        results: of :func:`every_outcome`, for the days that are eligible before the outcome is
            looked at.
        associations: of :func:`relapse_association`, for the same days.

    Returns:
        One row an outcome and rule, the chosen pair first: outcome, rule, episodes (labelled),
        worsened, prevalence; labelled_under_both (also under the chosen pair) and on these the
        share of equal labels (agreement) and Cohen's kappa; share_pira of the worsenings whose
        relapse association is known. NaN where a share has nothing to divide by.
    """
    reference = next(iter(results.values()))["label"].to_numpy()
    rows = []
    for (outcome, rule), result in results.items():
        label = result["label"].to_numpy()
        pira, raw = ((associations[outcome, rule] == name).sum() for name in ASSOCIATIONS)
        both = ~np.isnan(label) & ~np.isnan(reference)
        agreement, kappa = agreement_of(label[both], reference[both])
        episodes, worsened = int((~np.isnan(label)).sum()), int((label == 1).sum())
        rows.append(
            {
                "outcome": outcome,
                "rule": rule,
                "episodes": episodes,
                "worsened": worsened,
                "prevalence": worsened / episodes if episodes else np.nan,
                "labelled_under_both": int(both.sum()),
                "agreement": agreement,
                "kappa": kappa,
                "share_pira": pira / (pira + raw) if pira + raw else np.nan,
            }
        )
    return pd.DataFrame(rows).astype({"outcome": "str", "rule": "str"})


def agreement_of(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Share of equal labels and Cohen's kappa, (p - p_chance) / (1 - p_chance), of 0/1 labels.

    Both are NaN without labels, kappa also where chance alone agrees always.

    >>> agreement_of(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
    (0.75, 0.5)
    """
    if len(first) == 0:
        return np.nan, np.nan
    observed = float(np.mean(first == second))
    p, q = float(np.mean(first)), float(np.mean(second))
    chance = p * q + (1 - p) * (1 - q)
    return observed, (observed - chance) / (1 - chance) if chance < 1 else np.nan
