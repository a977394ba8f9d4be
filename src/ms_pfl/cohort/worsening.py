"""Confirmed disability worsening at two years, for all visits of all patients at once.

The end point of De Brouwer et al. (PLOS Digital Health 2024, e0000533) and Pirmani et al. (npj
Digital Medicine 8:478, 2025); thresholds as in the R package MSoutcomes. docs/labels.md gives
the reading of every open point.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import (
    VisitDays,
    away_from_relapse,
    code_of,
    count_between,
    date_of,
    date_where,
    event_keys,
    reduce_ranges,
    visit_days,
)

#: Why an anchor has no label, in the order in which the reasons are looked at.
REASONS: dict[str, str] = {
    "history": "Fewer EDSS than needed in the observation window",
    "baseline_at_relapse": "Baseline EDSS taken shortly after a relapse onset",
    "no_estar": "No EDSS near two years after the visit",
    "no_estar_only_relapse_time": "Every EDSS near two years was taken shortly after a relapse",
    "no_closing_estar_low": "No later EDSS that settles the outcome; EDSS near two years not worse",
    "no_closing_estar_high": "No later EDSS that confirms the worse EDSS near two years",
}


def first_reason(conditions: Mapping[str, np.ndarray]) -> pd.Series:
    """Name of the first condition that holds for each entry (dtype str), missing where none does.

    >>> first_reason({"a": np.array([True, False]), "b": np.array([True, False])}).tolist()
    ['a', nan]
    """
    code = np.select(list(conditions.values()), list(range(len(conditions))), -1)
    return pd.Series(np.array([*conditions, None], dtype=object)[code], dtype="str")


def minimum_increase(baseline: np.ndarray, rule: str) -> np.ndarray:
    """Increase of EDSS (points) that counts as worsening.

    Args:
        baseline: EDSS, any shape.
        rule: "three_strata" or "two_strata".

    >>> minimum_increase(np.array([0.0, 1.0, 5.5, 6.0]), "three_strata")
    array([1.5, 1. , 1. , 0.5])
    >>> minimum_increase(np.array([0.0, 1.0, 5.5, 6.0]), "two_strata")
    array([1. , 1. , 1. , 0.5])
    """
    increase = np.where(baseline <= 5.5, 1.0, 0.5)
    return np.where(baseline == 0, 1.5, increase) if rule == "three_strata" else increase


def label_anchors(
    visits: pd.DataFrame, relapses: pd.DataFrame, parameters: CohortParameters
) -> pd.DataFrame:
    """Outcome of every day with an EDSS of every patient, or why there is none.

    Args:
        visits: canonical visits; several on one day count as one with the lowest EDSS, those
            without an EDSS not at all.
        relapses: canonical relapses; may be empty.
        parameters: rule and windows.

    Returns:
        One row per patient and day with an EDSS, sorted by patient_id and t0: patient_id, t0, label
        (float64: 1, 0 or NaN), baseline (EDSS), e_star (EDSS near t0 + horizon), e_star_date,
        closing_date, reason (missing where there is a label; else a key of :data:`REASONS`).
        e_star and closing are missing where the history is too short to look for them.
    """
    everybody = pd.Index(
        pd.concat([visits["PATIENT_ID"], relapses["PATIENT_ID"]]).drop_duplicates()
    ).sort_values()
    days = visit_days(visits, everybody)
    onsets = event_keys(relapses["PATIENT_ID"], relapses["DATE_OF_ONSET"], everybody)
    return label_days(days, onsets, parameters)


def label_days(days: VisitDays, onsets: np.ndarray, parameters: CohortParameters) -> pd.DataFrame:
    """As :func:`label_anchors`, from visit days and sorted keys of relapse onsets."""
    key, edss = days.key[days.scored], days.edss[days.scored]
    threshold = edss + minimum_increase(edss, parameters.rule)
    history = count_between(key, key - parameters.observation_window_days, key)
    at_relapse = ~away_from_relapse(key, onsets, parameters.relapse_exclusion_days)
    clean_key, clean_edss = key[~at_relapse], edss[~at_relapse]

    first = key + parameters.horizon_days - parameters.horizon_tolerance_days
    last = key + parameters.horizon_days + parameters.horizon_tolerance_days
    star = _nearest(clean_key, clean_edss, key + parameters.horizon_days, first, last)
    any_near = count_between(key, first, last) > 0

    closing, lowest_after = _confirmation(clean_key, clean_edss, parameters.confirmation_days)
    # Where there is no E*, and no closing EDSS, index -1 reads what is appended.
    closing_of = np.append(closing, -1)[star]
    e_star = np.append(clean_edss, np.nan)[star]
    lowest = np.append(lowest_after, np.nan)[star]
    e_star_key, closing_key = (np.append(clean_key, 0)[row] for row in (star, closing_of))
    high = e_star >= threshold
    needs_closing = high | parameters.closing_required_below_threshold
    settled = (closing_of >= 0) | ~needs_closing
    reason = first_reason(
        {
            "history": history < parameters.minimum_edss,
            "baseline_at_relapse": at_relapse & parameters.baseline_away_from_relapse,
            "no_estar": (star < 0) & ~any_near,
            "no_estar_only_relapse_time": star < 0,
            "no_closing_estar_low": ~settled & ~high,
            "no_closing_estar_high": ~settled,
        }
    )
    labelled = reason.isna().to_numpy()
    followed = labelled | reason.isin(("no_closing_estar_low", "no_closing_estar_high")).to_numpy()
    worse = high & (lowest >= threshold)
    return pd.DataFrame(
        {
            "patient_id": pd.Series(days.patients.to_numpy()[code_of(key)], dtype="str"),
            "t0": date_of(key),
            "label": np.where(labelled, worse.astype(np.float64), np.nan),
            "baseline": edss,
            "e_star": np.where(followed, e_star, np.nan),
            "e_star_date": date_where(followed, e_star_key),
            "closing_date": date_where(followed & (closing_of >= 0), closing_key),
            "reason": reason,
        }
    )


def _nearest(
    key: np.ndarray, edss: np.ndarray, target: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Index of the entry nearest to each target within [first, last]; -1 where there is none.

    At equal distance the lower EDSS counts, then the earlier day.
    """
    after = np.searchsorted(key, target, "right")
    # Before the first entry and after the last one stands one that is infinitely far away.
    padded, scores = np.r_[-np.inf, key, np.inf], np.r_[np.nan, edss, np.nan]
    key_before, key_after = padded[after], padded[after + 1]
    has_before, has_after = key_before >= first, key_after <= last
    to_before, to_after = target - key_before, key_after - target
    lower = scores[after + 1] < scores[after]
    prefer_after = (to_after < to_before) | ((to_after == to_before) & lower)
    chosen = np.where(has_before & ~(has_after & prefer_after), after - 1, after)
    return np.where(has_before | has_after, chosen, -1)


def _confirmation(
    key: np.ndarray, edss: np.ndarray, confirmation_days: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find each entry's closing entry (-1: none), and the lowest EDSS after it up to that one.

    Without a closing entry the lowest EDSS is not used: there is no worsening to confirm.
    """
    code = code_of(key)
    closing = np.searchsorted(key, key + confirmation_days, "right")
    same = np.append(code, -1)[closing] == code
    stop = np.minimum(closing + 1, len(key))
    first = np.minimum(np.arange(1, len(key) + 1), stop)
    lowest = reduce_ranges(np.minimum, edss, first, stop, np.inf)
    return np.where(same, closing, -1), lowest
