"""Simulated visits, raters and missing values, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ms_pfl.registry.synthetic import clinic as synthetic_clinic
from ms_pfl.registry.synthetic.clinic import (
    fluctuation,
    missing_rate,
    rate_edss,
    rate_systems,
    rater_errors,
    visit_days,
)
from ms_pfl.registry.synthetic.countries import (
    Clinics,
)
from ms_pfl.registry.synthetic.disease import (
    simulate_disease,
)
from synthetic_examples import parameters, people_of, profile_of, rng


def test_gaps_between_visits_are_log_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_clinic, "_FREQUENCY_SD", 0.0)
    monkeypatch.setattr(synthetic_clinic, "_VISIT_AFTER_RELAPSE", 0.0)
    p = parameters(96, 0.0, visits_per_year=2.0)
    n = 1000
    people = replace(people_of(n), follow_up=np.full(n, 60.0))
    disease = simulate_disease(people, profile_of(), p, rng(2))
    clinics = Clinics(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    person, day = visit_days(people, disease, clinics, p, rng(3))
    gap = np.diff(day)[person[1:] == person[:-1]]
    # Mean half a year, log sd .75: the median is exp(.75^2 / 2) times shorter.
    assert gap.mean() == pytest.approx(365.25 / 2, rel=0.02)
    assert np.median(gap) == pytest.approx(365.25 / 2 * math.exp(-(0.75**2) / 2), rel=0.02)
    assert np.log(gap[gap > 0]).std() == pytest.approx(0.75, abs=0.02)


def test_latent_disability_is_cut_to_the_scale() -> None:
    latent = np.array([0.0, 0.59, 0.61, 1.19, 1.21, 3.59, 3.61, 4.24, 4.26, 5.21, 6.14, 6.16, 9.4])
    # The middle of the uniform numbers is no error; nor is any, where errors never happen.
    for log_error, error in ((0.0, 0.5), (-math.inf, 0.001)):
        exact = rate_edss(latent, log_error, np.full(13, error))
        assert exact.tolist() == [0, 0, 1, 1, 1.5, 3.5, 4, 4, 4.5, 6, 6, 6.5, 9]


def test_raters_err_by_one_or_two_steps_at_the_stated_rates() -> None:
    # Below EDSS 4 16.5 % of ratings are one step off and 1.3 % two, half of them downwards.
    error = np.array([0.0064, 0.0066, 0.0889, 0.0891, 0.9109, 0.9111, 0.9934, 0.9936])
    low = rate_edss(np.full(8, 2.4), 0.0, error)  # 2.5 on the scale
    assert low.tolist() == [1.5, 2.0, 2.0, 2.5, 2.5, 3.0, 3.0, 3.5]
    # From 4 on 13.5 % and .7 %; with errors half as frequent 6.75 % and .35 %.
    error = np.array([0.0034, 0.0036, 0.0709, 0.0711])
    assert rate_edss(np.full(4, 5.5), 0.0, error).tolist() == [5.0, 5.5, 5.5, 6.0]
    error = np.array([0.0017, 0.0018, 0.0354, 0.0356])
    assert rate_edss(np.full(4, 5.5), math.log(0.5), error).tolist() == [5.0, 5.5, 5.5, 6.0]
    # The scale has ends.
    assert rate_edss(np.array([0.0, 9.4]), 0.0, np.array([0.0, 0.999])).tolist() == [0.0, 9.5]


def test_the_same_rater_mostly_errs_in_the_same_way() -> None:
    person = np.repeat(np.arange(5000), 20)
    error = rater_errors(person, rng())
    assert 0 <= error.min() < error.max() < 1
    # Each number is uniform: a single rating errs at the stated rates.
    assert np.quantile(error, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    same_person = person[1:] == person[:-1]
    same = error[1:] == error[:-1]
    # The rater stays (.95) and both ratings have the standing error (.97 squared).
    assert same[same_person].mean() == pytest.approx(0.95 * 0.97**2, abs=0.005)
    assert not same[~same_person].any()


def test_form_varies_near_zero_and_from_six_on() -> None:
    assert fluctuation(np.array([0.0, 0.59, 0.61, 5.99, 6.0])).tolist() == [0.24, 0.24, 0, 0, 0.35]


def test_ambulation_follows_the_walking_part_of_the_scale() -> None:
    edss = np.array([0.0, 1.5, 4.0, 6.0, 6.5, 9.0])
    kfs, ambulation = rate_systems(edss, np.zeros(6, dtype=int), np.zeros((1, 4)), rng())
    assert ambulation.tolist() == [0, 0, 1, 5, 6, 11]
    assert kfs[0].tolist() == [0] * 7
    assert kfs.min() >= 0
    assert kfs.max() <= 6


def test_missing_rate_shifts_on_the_logit() -> None:
    assert missing_rate("visit_kfs", 0.0) == pytest.approx(0.10)
    assert missing_rate("visit_kfs", math.log(9)) == pytest.approx(0.5)
