"""Simulated people, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from synthetic_examples import people_of


def test_who_worsens_fast_comes_early_and_stays() -> None:
    people = people_of(20_000)
    frailty = people.log_progression_frailty
    # Rank correlation of a Gaussian copula: 6 / pi asin(r / 2), r = -.7.
    rank = stats.spearmanr(people.duration_at_entry, frailty).statistic
    assert rank == pytest.approx(6 / math.pi * math.asin(-0.35), abs=0.02)
    # It leaves how long people have been ill by then as it is: mean 6.2, sd 6.2 / sqrt(.85).
    assert people.duration_at_entry.mean() == pytest.approx(6.2, abs=0.2)
    assert people.duration_at_entry.std() == pytest.approx(6.72, abs=0.35)
    # The data cut ends some stays early.
    assert 0.3 < stats.spearmanr(people.follow_up, frailty).statistic < 0.5
