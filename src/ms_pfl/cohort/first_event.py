"""First confirmed worsening: the event definition of the R package MSoutcomes (CDW) and msprog.

Two readings of one definition. :func:`first_events` gives each patient's first event after the
first EDSS, as those packages do. :func:`event_days` gives each visit day, as a baseline of its
own, whether the first event after it begins within the horizon: the second outcome of the cohort.
docs/labels.md gives the reading of every open point.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.runs import Scores, away_from_relapse
from ms_pfl.cohort.timeline import (
    VisitDays,
    count_between,
    date_of,
    day_number,
    event_keys,
    keys,
    patient_codes,
    reduce_ranges,
)
from ms_pfl.cohort.worsening import REASONS, minimum_increase

#: Why an anchor has no event label, in the order in which the reasons are looked at.
EVENT_REASONS: dict[str, str] = {
    **{name: REASONS[name] for name in ("history", "baseline_at_relapse")},
    "unconfirmed_at_end": "Worse within the horizon up to the last visit, and not confirmed yet",
    "no_edss_after_horizon": "Last EDSS before the horizon, and no confirmed worsening until then",
}
_CODE = {reason: code for code, reason in enumerate(EVENT_REASONS)}
_NONE = -1


def first_events(
    visits: pd.DataFrame, relapses: pd.DataFrame, parameters: CohortParameters
) -> pd.DataFrame:
    """First confirmed worsening of each patient, and how many follow when the baseline moves on.

    The baseline is the first EDSS away from a relapse. An onset is a worse EDSS later than it,
    itself at relapse time or not, from which on every EDSS is worse up to one at least
    `confirmation_days` later and away from a relapse. After an event the lowest EDSS of its
    confirmation period, from the onset on, is the next baseline.

    Args:
        visits: PATIENT_ID, DATE_OF_VISIT, EDSS; those without an EDSS do not count. Several on
            one day count one after the other, in the order of the table.
        relapses: PATIENT_ID, DATE_OF_ONSET; may be empty.
        parameters: `rule`, `confirmation_days`, `relapse_exclusion_days`, `sustained`.

    Returns:
        One row a patient with an EDSS, sorted by PATIENT_ID: PATIENT_ID, EVENT (0/1),
        BASELINE_EDSS and BASELINE_DATE (missing where every EDSS is at relapse time), ONSET_DATE,
        ONSET_EDSS, CONFIRMATION_DATE, LAST_CONFIRMING_DATE, DAYS_SUSTAINED (from the onset to the
        last confirming EDSS; missing without an event), N_EVENTS.
    """
    visits = visits[visits["EDSS"].notna()]
    patients = pd.Index(visits["PATIENT_ID"].drop_duplicates()).sort_values()
    own = relapses[relapses["PATIENT_ID"].isin(patients)]
    onsets = event_keys(own["PATIENT_ID"], own["DATE_OF_ONSET"], patients)
    key = keys(patient_codes(visits["PATIENT_ID"], patients), day_number(visits["DATE_OF_VISIT"]))
    order = np.argsort(key, kind="stable")
    key, edss = key[order], visits["EDSS"].to_numpy(dtype=np.float64)[order]
    scores = Scores(key, edss, away_from_relapse(key, onsets, parameters.relapse_exclusion_days))

    n = len(patients)
    baseline = np.full(n, _NONE)
    clean = np.flatnonzero(scores.clean)
    found, where = np.unique(scores.code[clean], return_index=True)
    baseline[found] = clean[where]
    first = {name: np.full(n, _NONE) for name in ("onset", "confirmation", "last")}
    events = np.zeros(n, dtype=np.int64)
    current = baseline
    while (current >= 0).any():
        onset, confirmation, last = _next_event(scores, current, parameters)
        happened = onset >= 0
        for name, rows in (("onset", onset), ("confirmation", confirmation), ("last", last)):
            first[name] = np.where((events == 0) & happened, rows, first[name])
        events += happened
        current = _moved_baseline(scores, onset, parameters.confirmation_days)

    def dates(rows: np.ndarray) -> np.ndarray:
        return np.where(rows >= 0, date_of(key[rows]), np.datetime64("NaT", "us"))

    onset, last = first["onset"], first["last"]
    return pd.DataFrame(
        {
            "PATIENT_ID": pd.Series(patients.to_numpy(), dtype="str"),
            "EVENT": (onset >= 0).astype(np.int64),
            "BASELINE_EDSS": np.where(baseline >= 0, edss[baseline], np.nan),
            "BASELINE_DATE": dates(baseline),
            "ONSET_DATE": dates(onset),
            "ONSET_EDSS": np.where(onset >= 0, edss[onset], np.nan),
            "CONFIRMATION_DATE": dates(first["confirmation"]),
            "LAST_CONFIRMING_DATE": dates(last),
            "DAYS_SUSTAINED": np.where(onset >= 0, key[last] - key[onset], np.nan),
            "N_EVENTS": events,
        }
    )


def _next_event(
    scores: Scores, baseline: np.ndarray, parameters: CohortParameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each patient the rows of onset, confirmation and last confirmation; -1: no event.

    `baseline` holds the row of each patient's baseline, -1 where there is none.
    """
    code = scores.code
    edss = np.where(baseline >= 0, scores.edss[baseline], np.inf)
    threshold = edss + minimum_increase(edss, parameters.rule)
    after = scores.key > np.where(baseline >= 0, scores.key[baseline], 0)[code]
    runs = scores.runs(after & (scores.edss >= threshold[code]))
    last_clean = runs.last_clean()
    confirmed = np.flatnonzero(
        runs.confirmed(last_clean, parameters.confirmation_days, parameters.sustained)
    )
    who, where = np.unique(code[confirmed], return_index=True)
    row = confirmed[where]
    onset, confirmation, last = (np.full(len(baseline), _NONE) for _ in range(3))
    onset[who], last[who] = row, last_clean[row]
    confirmation[who] = runs.confirming(row, parameters.confirmation_days)
    return onset, confirmation, last


def _moved_baseline(scores: Scores, onset: np.ndarray, confirmation_days: int) -> np.ndarray:
    """Row of the lowest EDSS of each patient from the onset through the confirmation period."""
    moved = np.full(len(onset), _NONE)
    rows = onset[onset >= 0]
    stop = np.searchsorted(scores.key, scores.key[rows] + confirmation_days, "right")
    lowest = reduce_ranges(np.minimum, scores.edss, rows, stop, np.nan)
    # The ranges of two patients never overlap, so each row is in at most one.
    index = np.arange(len(scores.key))
    of = np.searchsorted(rows, index, "right") - 1
    inside = (of >= 0) & (index < np.r_[stop, 0][of]) if len(rows) else np.zeros(0, dtype=bool)
    candidates = np.flatnonzero(inside)
    candidates = candidates[scores.edss[candidates] == lowest[of[candidates]]]
    who, where = np.unique(scores.code[candidates], return_index=True)
    moved[who] = candidates[where]
    return moved


def event_days(days: VisitDays, onsets: np.ndarray, parameters: CohortParameters) -> pd.DataFrame:
    """Whether the first confirmed worsening after each day with an EDSS begins by the horizon.

    The baseline is the EDSS of the day itself and does not move.

    Args:
        days: visit days; several EDSS of one day count as the lowest.
        onsets: sorted keys of relapse onsets.
        parameters: rule, windows and `sustained`.

    Returns:
        One row a patient and day with an EDSS, sorted: label (1, 0 or NaN), worsening_date and
        confirmation_date (NaT unless the label is 1), reason (missing where there is a label;
        else a key of :data:`EVENT_REASONS`).
    """
    key, edss = days.key[days.scored], days.edss[days.scored]
    n = len(key)
    scores = Scores(key, edss, away_from_relapse(key, onsets, parameters.relapse_exclusion_days))
    threshold = edss + minimum_increase(edss, parameters.rule)
    horizon = key + parameters.horizon_days
    index = np.arange(n)
    onset, confirmation = np.full(n, _NONE), np.full(n, _NONE)
    pending = np.zeros(n, dtype=bool)
    # There are as many thresholds as baselines on the scale; all rows are read once for each.
    for level in np.unique(threshold):
        anchor = index[threshold == level]
        runs = scores.runs(edss >= level)
        last_clean = runs.last_clean()
        confirmed = runs.confirmed(last_clean, parameters.confirmation_days, parameters.sustained)
        event = _first_within(key, np.flatnonzero(confirmed), anchor, horizon)
        happened = event >= 0
        onset[anchor] = event
        confirmation[anchor[happened]] = runs.confirming(
            event[happened], parameters.confirmation_days
        )
        open_end = np.flatnonzero(runs.to_the_end() & ~confirmed)
        pending[anchor] = _first_within(key, open_end, anchor, horizon) >= 0

    worse = onset >= 0
    last_key = key[np.searchsorted(scores.code, scores.code, "right") - 1] if n else key
    history = count_between(key, key - parameters.observation_window_days, key)
    conditions = {
        "history": history < parameters.minimum_edss,
        "baseline_at_relapse": ~scores.clean & parameters.baseline_away_from_relapse,
        "unconfirmed_at_end": ~worse & pending,
        "no_edss_after_horizon": ~worse & (last_key < horizon),
    }
    reason = np.select(list(conditions.values()), [_CODE[name] for name in conditions], _NONE)
    labelled = reason < 0
    known = labelled & worse
    names = np.array([*EVENT_REASONS, None], dtype=object)
    never = np.datetime64("NaT", "us")
    return pd.DataFrame(
        {
            "label": np.where(labelled, worse.astype(np.float64), np.nan),
            "worsening_date": np.where(known, date_of(key[onset]), never),
            "confirmation_date": np.where(known, date_of(key[confirmation]), never),
            "reason": pd.Series(names[reason], dtype="str"),
        }
    )


def _first_within(
    key: np.ndarray, rows: np.ndarray, anchor: np.ndarray, horizon: np.ndarray
) -> np.ndarray:
    """First of the sorted `rows` after each anchor and not beyond its horizon; -1: none."""
    if len(rows) == 0:
        return np.full(len(anchor), _NONE)
    following = np.searchsorted(rows, anchor, "right")
    row = rows[np.minimum(following, len(rows) - 1)]
    return np.where((following < len(rows)) & (key[row] <= horizon[anchor]), row, _NONE)
