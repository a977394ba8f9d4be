"""First confirmed worsening: the event definition of the R package MSoutcomes (CDW) and msprog.

Two readings of one definition. :func:`first_events` gives each patient's first event after the
first EDSS, as those packages do. :func:`event_days` gives each visit day, as a baseline of its
own, whether the first event after it begins within the horizon: the second outcome of the cohort.
Both ask unbroken runs of worse scores, of all patients at once. docs/labels.md gives the reading of
every open point.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    day_number,
    event_keys,
    keys,
    patient_codes,
    span_of,
    spread_ranges,
)
from ms_pfl.cohort.worsening import REASONS, first_reason, minimum_increase

#: Why an anchor has no event label, in the order in which the reasons are looked at.
EVENT_REASONS: dict[str, str] = {
    **{name: REASONS[name] for name in ("history", "baseline_at_relapse")},
    "unconfirmed_at_end": "Worse within the horizon up to the last visit, and not confirmed yet",
    "no_edss_after_horizon": "Last EDSS before the horizon, and no confirmed worsening until then",
}
_NONE = -1


@dataclass(frozen=True)
class Scores:
    """EDSS scores of all patients, sorted by patient and day.

    Attributes:
        key: int64, see :func:`ms_pfl.cohort.timeline.keys`; non-decreasing.
        edss: float64, points.
        clean: bool, false for a score at relapse time.
    """

    key: np.ndarray
    edss: np.ndarray
    clean: np.ndarray

    @property
    def code(self) -> np.ndarray:
        """Patient code of each score."""
        return code_of(self.key)

    def runs(self, worse: np.ndarray) -> Runs:
        """Return runs of scores that are all worse; a score that is not, or the record's end, ends
        one."""
        index = np.arange(len(self.key))
        opens = np.diff(self.code, prepend=-1) != 0
        breaks = ~worse | opens
        stop = np.append(np.flatnonzero(breaks), len(index))[np.cumsum(breaks)]
        begins = worse & (opens | ~np.r_[False, worse[:-1]])
        first = np.maximum.accumulate(np.where(begins, index, -1))
        return Runs(self, worse, np.where(worse, first, -1), stop)


@dataclass(frozen=True)
class Runs:
    """Of each score the run it belongs to (arrays of one entry a score).

    Attributes:
        scores: the scores.
        worse: bool, which are worse than the baseline.
        first: index of the first score of the run; -1 where the score is not worse.
        stop: index behind the last worse score that follows without a break.
    """

    scores: Scores
    worse: np.ndarray
    first: np.ndarray
    stop: np.ndarray

    def last_clean(self) -> np.ndarray:
        """Index of the last score of the rest of the run away from a relapse; -1: none later."""
        index = np.arange(len(self.worse))
        latest = np.maximum.accumulate(np.where(self.scores.clean, index, -1))
        last = latest[self.stop - 1]
        return np.where(self.worse & (last > index), last, -1)

    def confirmed(self, last_clean: np.ndarray, days: int, sustained: bool) -> np.ndarray:
        """Whether the score is the onset of a confirmed worsening (bool).

        Args:
            last_clean: of :meth:`last_clean`.
            days: the run must reach a later score away from a relapse at least so many days on.
            sustained: and the last visit of the record must be such a score.
        """
        key = self.scores.key
        held = (last_clean >= 0) & (key[last_clean] - key >= days)
        return held & (key[last_clean] == span_of(key)[1]) if sustained else held

    def confirming(self, onset: np.ndarray, days: int) -> np.ndarray:
        """Index of the first score away from a relapse at least `days` after confirmed onsets."""
        key = self.scores.key
        clean = np.flatnonzero(self.scores.clean)
        earliest = np.maximum(np.searchsorted(key, key[onset] + days, "left"), onset + 1)
        return clean[np.searchsorted(clean, earliest, "left")]

    def to_the_end(self) -> np.ndarray:
        """Whether nothing ends the run before the record does (bool); false where not worse."""
        code = self.scores.code
        return self.worse & (np.append(code, -1)[self.stop] != code)


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
        One row per patient with an EDSS, sorted by PATIENT_ID: PATIENT_ID, EVENT (0/1),
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

    baseline = _first_of_patients(scores, np.flatnonzero(scores.clean))
    found = [_next_events(scores, baseline, parameters)]
    while len(found[-1]):
        moved = _moved_baseline(scores, found[-1]["onset"], parameters.confirmation_days)
        found.append(_next_events(scores, moved, parameters))
    events = pd.concat(found).groupby(level=0)
    everybody = range(len(patients))
    first = events.first().reindex(everybody).assign(baseline=baseline)
    row = first.fillna(_NONE).astype(np.int64)
    # Row -1, which is none, reads what is appended.
    date = np.append(date_of(key), np.datetime64("NaT", "us"))
    score = np.append(edss, np.nan)
    onset, last = date[row["onset"]], date[row["last"]]
    return pd.DataFrame(
        {
            "PATIENT_ID": pd.Series(patients.to_numpy(), dtype="str"),
            "EVENT": (row["onset"] >= 0).astype(np.int64),
            "BASELINE_EDSS": score[row["baseline"]],
            "BASELINE_DATE": date[row["baseline"]],
            "ONSET_DATE": onset,
            "ONSET_EDSS": score[row["onset"]],
            "CONFIRMATION_DATE": date[row["confirmation"]],
            "LAST_CONFIRMING_DATE": last,
            "DAYS_SUSTAINED": (last - onset) / np.timedelta64(1, "D"),
            "N_EVENTS": events.size().reindex(everybody, fill_value=0),
        }
    )


def _first_of_patients(scores: Scores, rows: np.ndarray) -> pd.Series:
    """Return the first of some rows of each patient that has any, by patient code."""
    by_patient = pd.Series(rows, scores.code[rows])
    return by_patient[~by_patient.index.duplicated()]


def _next_events(scores: Scores, baseline: pd.Series, parameters: CohortParameters) -> pd.DataFrame:
    """Rows of the onset, the confirmation and the last confirmation of each patient's next event.

    `baseline` holds the row of each patient's baseline, by patient code, which is the index of the
    result too; patients without a baseline or an event are not in it.
    """
    row = baseline.reindex(scores.code, fill_value=_NONE).to_numpy()
    edss = scores.edss[row]
    later = (row >= 0) & (scores.key > scores.key[row])
    runs = scores.runs(later & (scores.edss >= edss + minimum_increase(edss, parameters.rule)))
    last_clean = runs.last_clean()
    days = parameters.confirmation_days
    confirmed = runs.confirmed(last_clean, days, parameters.sustained)
    onset = _first_of_patients(scores, np.flatnonzero(confirmed))
    confirmation = runs.confirming(onset.to_numpy(), days)
    return pd.DataFrame({"onset": onset, "confirmation": confirmation, "last": last_clean[onset]})


def _moved_baseline(scores: Scores, onset: pd.Series, confirmation_days: int) -> pd.Series:
    """Row of the lowest EDSS of each patient from the onset through the confirmation period."""
    stop = np.searchsorted(scores.key, scores.key[onset] + confirmation_days, "right")
    _, row = spread_ranges(onset.to_numpy(), stop)
    return pd.Series(scores.edss[row], row).groupby(scores.code[row]).idxmin()


def event_days(days: VisitDays, onsets: np.ndarray, parameters: CohortParameters) -> pd.DataFrame:
    """Whether the first confirmed worsening after each day with an EDSS begins by the horizon.

    The baseline is the EDSS of the day itself and does not move.

    Args:
        days: visit days; several EDSS of one day count as the lowest.
        onsets: sorted keys of relapse onsets.
        parameters: rule, windows and `sustained`.

    Returns:
        One row per patient and day with an EDSS, sorted: label (1, 0 or NaN), worsening_date and
        confirmation_date (NaT unless the label is 1), reason (missing where there is a label;
        else a key of :data:`EVENT_REASONS`).
    """
    key, edss = days.key[days.scored], days.edss[days.scored]
    scores = Scores(key, edss, away_from_relapse(key, onsets, parameters.relapse_exclusion_days))
    threshold = edss + minimum_increase(edss, parameters.rule)
    horizon = key + parameters.horizon_days
    days_held = parameters.confirmation_days
    onset, confirmation = np.full(len(key), _NONE), np.full(len(key), _NONE)
    pending = np.zeros(len(key), dtype=bool)
    # There are as many thresholds as baselines on the scale; all rows are read once for each.
    for level in np.unique(threshold):
        anchor = np.flatnonzero(threshold == level)
        runs = scores.runs(edss >= level)
        confirmed = runs.confirmed(runs.last_clean(), days_held, parameters.sustained)
        event = _first_within(key, np.flatnonzero(confirmed), anchor, horizon)
        happened = event >= 0
        onset[anchor] = event
        confirmation[anchor[happened]] = runs.confirming(event[happened], days_held)
        open_end = np.flatnonzero(runs.to_the_end() & ~confirmed)
        pending[anchor] = _first_within(key, open_end, anchor, horizon) >= 0

    worse = onset >= 0
    history = count_between(key, key - parameters.observation_window_days, key)
    reason = first_reason(
        {
            "history": history < parameters.minimum_edss,
            "baseline_at_relapse": ~scores.clean & parameters.baseline_away_from_relapse,
            "unconfirmed_at_end": ~worse & pending,
            "no_edss_after_horizon": ~worse & (span_of(key)[1] < horizon),
        }
    )
    labelled = reason.isna().to_numpy()
    return pd.DataFrame(
        {
            "label": np.where(labelled, worse.astype(np.float64), np.nan),
            "worsening_date": date_where(labelled & worse, key[onset]),
            "confirmation_date": date_where(labelled & worse, key[confirmation]),
            "reason": reason,
        }
    )


def _first_within(
    key: np.ndarray, rows: np.ndarray, anchor: np.ndarray, horizon: np.ndarray
) -> np.ndarray:
    """First of the sorted `rows` after each anchor and not beyond its horizon; -1: none."""
    row = np.append(rows, _NONE)[np.searchsorted(rows, anchor, "right")]
    return np.where(key[row] <= horizon[anchor], row, _NONE)
