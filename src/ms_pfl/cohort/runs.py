"""Unbroken runs of worse EDSS scores, and which of them are confirmed, for all patients at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ms_pfl.cohort.timeline import code_of, count_between


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
        """Runs of scores that are all worse; a score that is not, or the record's end, ends one."""
        index = np.arange(len(self.key))
        code = self.code
        opens = np.r_[True, code[1:] != code[:-1]] if len(index) else np.zeros(0, dtype=bool)
        broken = np.where(~worse | opens, index, len(index))
        stop = np.r_[np.minimum.accumulate(broken[::-1])[::-1][1:], len(index)][: len(index)]
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
        last = latest[self.stop - 1] if len(index) else index
        return np.where(self.worse & (last > index), last, -1)

    def confirmed(self, last_clean: np.ndarray, days: int, sustained: bool) -> np.ndarray:
        """Whether the score is the onset of a confirmed worsening (bool).

        Args:
            last_clean: of :meth:`last_clean`.
            days: the run must reach a later score away from a relapse at least so many days on.
            sustained: and the last visit of the record must be such a score.
        """
        key = self.scores.key
        if len(key) == 0:
            return np.zeros(0, dtype=bool)
        held = (last_clean >= 0) & (key[last_clean] - key >= days)
        return held & (key[last_clean] == self.last_key()) if sustained else held

    def confirming(self, onset: np.ndarray, days: int) -> np.ndarray:
        """Index of the first score away from a relapse at least `days` after confirmed onsets."""
        key = self.scores.key
        clean = np.flatnonzero(self.scores.clean)
        earliest = np.maximum(np.searchsorted(key, key[onset] + days, "left"), onset + 1)
        return clean[np.searchsorted(clean, earliest, "left")]

    def to_the_end(self) -> np.ndarray:
        """Whether nothing ends the run before the record does (bool); false where not worse."""
        stop = np.minimum(self.stop, len(self.worse) - 1)
        ended = (self.stop < len(self.worse)) & (self.scores.code[stop] == self.scores.code)
        return self.worse & ~ended

    def last_key(self) -> np.ndarray:
        """Key of the last score of each score's patient."""
        code = self.scores.code
        return self.scores.key[np.searchsorted(code, code, "right") - 1]


def away_from_relapse(key: np.ndarray, onsets: np.ndarray, exclusion_days: int) -> np.ndarray:
    """Whether no relapse began from `exclusion_days` before a day up to it (bool); -1: always."""
    if exclusion_days < 0:
        return np.ones(len(key), dtype=bool)
    return count_between(onsets, key - exclusion_days, key) == 0
