"""Sizes, profiles and knobs of the simulated countries, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ms_pfl.registry.synthetic.countries import (
    COUNTRIES,
    balanced_scores,
    country_sizes,
    draw_clinics,
)
from synthetic_examples import deviations, knobs, profile_of, rng


def test_sizes_are_the_published_shape_at_full_size() -> None:
    sizes = country_sizes(26_246, 3)
    # 60 of 282.864 thousand episodes: 5567.2, less what raises the small tail.
    assert 5562 <= sizes[0] <= 5567
    assert sizes[-4:].tolist() == [3, 3, 3, 3]


@settings(max_examples=examples(200))
@given(n=st.integers(96, 30_000), minimum=st.integers(1, 3))
def test_sizes_add_up_and_keep_their_order(n: int, minimum: int) -> None:
    sizes = country_sizes(n, minimum)
    assert sizes.sum() == n
    assert sizes.min() >= minimum
    # COUNTRIES are in falling order of size; equal remainders may not turn two around.
    assert (np.diff(sizes) <= 0).all()


def test_knobs_at_zero_leave_no_deviation() -> None:
    profile = profile_of(knobs())
    assert {getattr(profile, field.name) for field in fields(profile)} == {0.0}
    clinics = draw_clinics(1000, profile, rng())
    assert len(clinics.share) == 8
    assert clinics.share.sum() == pytest.approx(1)
    for deviation in (clinics.rater, clinics.log_visits, clinics.logit_missing):
        assert not deviation.any()


@settings(max_examples=examples(50))
@given(seed=st.integers(0, 10_000), country=st.integers(0, 31), balanced=st.booleans())
def test_at_zero_no_country_deviates(seed: int, country: int, balanced: bool) -> None:
    given = deviations() | {"balanced": balanced}
    profile = profile_of(knobs(), country, seed=seed, deviations=given)
    assert not any(getattr(profile, field.name) for field in fields(profile))


def test_turning_one_knob_leaves_the_other_deviations() -> None:
    one = profile_of(knobs(case_mix=1.0, hazard=1.0))
    two = profile_of(knobs(case_mix=2.0, hazard=1.0))
    assert two.onset_age == pytest.approx(2 * one.onset_age)
    assert (two.log_progression, two.log_relapse) == (one.log_progression, one.log_relapse)
    assert one.effect_age == two.effect_age == one.rater == 0.0
    assert one.onset_age != 0.0
    assert one.log_progression != 0.0


@pytest.mark.parametrize(
    ("knob", "fields_of"),
    [
        (
            "case_mix",
            "onset_age log_onset_age_spread log_duration log_duration_spread logit_primary "
            "logit_female calendar log_disability log_disability_spread education",
        ),
        ("rater", "rater log_rater_error log_fluctuation clinic_rater"),
        ("visit_frequency", "log_visits clinic_log_visits"),
        ("drug_access", "log_treatment_start log_high_efficacy approval_delay"),
        ("missingness", "logit_missing clinic_logit_missing"),
        ("hazard", "log_progression log_relapse log_frailty_spread log_drift"),
        (
            "predictor_effects",
            # so that the mean hazard stays, it moves with the effects
            "effect_age effect_male effect_progressive effect_relapse effect_disability "
            "effect_treatment effect_spinal log_progression",
        ),
    ],
)
def test_each_knob_turns_its_own_deviations(knob: str, fields_of: str) -> None:
    # Over some countries: a drug is never approved earlier than in the common model.
    turned = set()
    for seed in range(5):
        profile = profile_of(knobs(**{knob: 1.0}), seed=seed)
        turned |= {field.name for field in fields(profile) if getattr(profile, field.name) != 0}
    assert turned == set(fields_of.split())


def test_balanced_deviations_leave_the_whole_where_it_is() -> None:
    scores = balanced_scores(2025)
    assert scores.shape == (32, 29)
    weights = np.array([country.thousand_episodes for country in COUNTRIES])
    weights /= weights.sum()
    # Independent draws of 32 countries of these sizes would have an sd of .37 here.
    assert np.abs(weights @ scores).max() < 0.15
    assert np.abs(weights @ scores**2 - 1).mean() < 0.15
    assert np.abs(scores).max() <= 2.0
    # Each takes the same values in another order, but for those that go together.
    assert np.sort(scores[:, 0]) == pytest.approx(np.sort(scores[:, 1]))
    assert (balanced_scores(2026) != scores).any()


def test_effects_leave_the_mean_hazard_where_it_is() -> None:
    profile = profile_of(knobs(predictor_effects=1.0))
    # at 43 years, EDSS 3.3, with 30 % men, 20 % progressive, 25 % relapsed, treatment x .82
    moved = (
        profile.log_progression
        + 0.3 * profile.effect_age
        + 0.3 * profile.effect_male
        + 0.2 * profile.effect_progressive
        + 0.25 * profile.effect_relapse
        + 0.3 * profile.effect_disability
        - 0.2 * profile.effect_treatment
        + 0.5 * profile.effect_spinal
    )
    assert moved == pytest.approx(0.0, abs=1e-12)


def test_unbalanced_deviations_are_normals_of_the_country() -> None:
    given = deviations() | {"balanced": False, "onset_age": 1.5}
    profile = profile_of(knobs(case_mix=1.0), deviations=given)
    assert profile.onset_age == pytest.approx(1.5 * np.clip(rng().standard_normal(), -2, 2))


def test_country_names_and_codes_are_unique() -> None:
    assert len({country.name for country in COUNTRIES}) == 32
    assert len({country.code for country in COUNTRIES}) == 32
