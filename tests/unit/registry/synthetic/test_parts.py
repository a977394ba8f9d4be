"""Parts of the synthetic registry, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

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
    COUNTRIES,
    Clinics,
    country_sizes,
    draw_clinics,
    draw_profile,
)
from ms_pfl.registry.synthetic.disease import (
    Disease,
    Relapses,
    Treatments,
    _spells,
    disability_at,
    simulate_disease,
)
from ms_pfl.registry.synthetic.parameters import Heterogeneity
from ms_pfl.registry.synthetic.people import People, draw_people
from ms_pfl.registry.synthetic.treatment import NONE, choose_drugs
from synthetic_examples import KNOBS, NAMES, parameters, rng


def knobs(**values: float) -> Heterogeneity:
    return Heterogeneity(**(dict.fromkeys(KNOBS, 0.0) | values))


def test_sizes_are_the_published_shape_at_full_size() -> None:
    sizes = country_sizes(26_246, 3)
    # 60 of 282.864 thousand episodes: 5567.2, less what raises the small tail.
    assert 5562 <= sizes[0] <= 5567
    assert sizes[-4:].tolist() == [3, 3, 3, 3]


@settings(max_examples=200, deadline=None)
@given(n=st.integers(96, 30_000), minimum=st.integers(1, 3))
def test_sizes_add_up_and_keep_their_order(n: int, minimum: int) -> None:
    sizes = country_sizes(n, minimum)
    assert sizes.sum() == n
    assert sizes.min() >= minimum
    # COUNTRIES are in falling order of size; equal remainders may not turn two around.
    assert (np.diff(sizes) <= 0).all()


def test_knobs_at_zero_leave_no_deviation() -> None:
    profile = draw_profile(knobs(), rng())
    assert {getattr(profile, field.name) for field in fields(profile)} == {0.0}
    clinics = draw_clinics(1000, profile, rng())
    assert len(clinics.share) == 8
    assert clinics.share.sum() == pytest.approx(1)
    for deviation in (clinics.rater, clinics.log_visits, clinics.logit_missing):
        assert not deviation.any()


def test_turning_one_knob_leaves_the_other_deviations() -> None:
    one = draw_profile(knobs(case_mix=1.0, hazard=1.0), rng())
    two = draw_profile(knobs(case_mix=2.0, hazard=1.0), rng())
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
            "onset_age log_duration logit_primary logit_female calendar log_disability education",
        ),
        ("rater", "rater log_rater_error clinic_rater"),
        ("visit_frequency", "log_visits clinic_log_visits"),
        ("drug_access", "log_treatment_start log_high_efficacy approval_delay"),
        ("missingness", "logit_missing clinic_logit_missing"),
        ("hazard", "log_progression log_relapse"),
        (
            "predictor_effects",
            "effect_age effect_male effect_progressive effect_relapse effect_disability",
        ),
    ],
)
def test_each_knob_turns_its_own_deviations(knob: str, fields_of: str) -> None:
    # Over some countries: a drug is never approved earlier than in the common model.
    turned = set()
    for seed in range(5):
        profile = draw_profile(knobs(**{knob: 1.0}), rng(seed))
        turned |= {field.name for field in fields(profile) if getattr(profile, field.name) != 0}
    assert turned == set(fields_of.split())


def people_of(n: int, **rates: float) -> People:
    p = parameters(96, 0.0, **rates)
    profile = draw_profile(p.heterogeneity, rng())
    clinics = Clinics(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    return draw_people(n, profile, clinics, p, rng(1))


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


def test_gaps_between_visits_are_log_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_clinic, "_FREQUENCY_SD", 0.0)
    monkeypatch.setattr(synthetic_clinic, "_VISIT_AFTER_RELAPSE", 0.0)
    p = parameters(96, 0.0, visits_per_year=2.0)
    n = 1000
    people = replace(people_of(n), follow_up=np.full(n, 60.0))
    disease = simulate_disease(people, draw_profile(p.heterogeneity, rng()), p, rng(2))
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


def test_a_relapse_rises_decays_and_leaves_its_residual() -> None:
    # Level 2; at 0.1 years a relapse of 2 points, 1 of which stays: in the level from step 1 on.
    disease = Disease(
        disability=np.array([[2.0, 3.0, 3.0], [1.0, 1.0, 1.0]], dtype=np.float32),
        secondary=np.full(2, np.inf),
        relapses=Relapses(
            person=np.array([0]),
            time=np.array([0.1]),
            size=np.array([2.0]),
            residual=np.array([1.0]),
            severity=np.array([2]),
        ),
        treatments=Treatments(*(np.array([]) for _ in range(4))),
    )
    month = 25 / 365.25  # the time constant
    person = np.array([0, 0, 0, 0, 1])
    time = np.array([0.09, 0.1, 0.1 + month, 0.1 + 4 * month, 0.2])
    expected = [2.0, 4.0, 3.0 + math.exp(-1), 3.0 + math.exp(-4), 1.0]
    assert disability_at(disease, person, time) == pytest.approx(expected)


def test_a_spell_ends_when_the_next_begins() -> None:
    # Person 0: drug 3 at 1, drug 5 at 2, stops at 3. Person 1: drug 4 at 2, goes on.
    changes = [
        (np.array([0]), np.array([1.0]), np.array([3])),
        (np.array([0, 1]), np.array([2.0, 2.0]), np.array([5, 4])),
        (np.array([0]), np.array([3.0]), np.array([NONE])),
    ]
    spells = _spells(changes)
    assert spells.person.tolist() == [0, 0, 1]
    assert spells.drug.tolist() == [3, 5, 4]
    assert spells.start.tolist() == [1, 2, 2]
    assert spells.end.tolist() == [2, 3, math.inf]


def test_drugs_are_chosen_from_what_there_is() -> None:
    profile = draw_profile(knobs(), rng())

    def choose(
        current: int, year: float, escalate: bool, delay: float = 0.0, had: str = ""
    ) -> set[str]:
        m = 500
        found = choose_drugs(
            np.full(m, current),
            np.full(m, year),
            np.full(m, escalate),
            np.tile([name == had for name in NAMES], (m, 1)),
            replace(profile, approval_delay=delay),
            rng(),
        )
        return {"none" if k == NONE else NAMES[k] for k in found}

    assert choose(NONE, 1993.0, False) == {"azathioprine"}
    interferon, natalizumab = NAMES.index("interferon beta-1a"), NAMES.index("natalizumab")
    assert choose(natalizumab, 2010.0, True) == {"none"}
    assert "natalizumab" not in choose(interferon, 2006.4, True)
    assert "natalizumab" in choose(interferon, 2006.5, True)
    assert "natalizumab" not in choose(interferon, 2006.5, True, delay=1.0)
    assert "interferon beta-1a" not in choose(interferon, 2010.0, False)
    assert "mitoxantrone" in choose(interferon, 2003.0, True)
    assert choose(interferon, 2003.0, True, had="mitoxantrone") == {"none"}
    assert "daclizumab" in choose(NONE, 2018.1, False)
    assert "daclizumab" not in choose(NONE, 2018.2, False)


def test_a_country_may_have_its_own_effect_of_sex() -> None:
    p = parameters(96, 0.0)
    profile = draw_profile(p.heterogeneity, rng())
    clinics = Clinics(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    people = draw_people(3000, profile, clinics, p, rng(1))
    end = ((people.duration_at_entry + people.follow_up) / 0.25).astype(int)
    rise = []
    for effect in (0.0, 1.2):
        disease = simulate_disease(people, replace(profile, effect_male=effect), p, rng(2))
        gain = disease.disability[np.arange(3000), end] - people.disability_at_onset
        rise.append((gain[~people.female].mean(), gain[people.female].mean()))
    assert rise[1][0] - rise[0][0] > 0.5
    assert abs(rise[1][1] - rise[0][1]) < 0.2


def test_country_names_and_codes_are_unique() -> None:
    assert len({country.name for country in COUNTRIES}) == 32
    assert len({country.code for country in COUNTRIES}) == 32
