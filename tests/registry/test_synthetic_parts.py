"""Parts of the synthetic registry, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_synthetic import KNOBS, parameters

from ms_pfl.registry.parameters import Heterogeneity
from ms_pfl.registry.synthetic_clinic import missing_rate, rate_edss, rate_systems
from ms_pfl.registry.synthetic_countries import (
    COUNTRIES,
    Clinics,
    country_sizes,
    draw_clinics,
    draw_profile,
)
from ms_pfl.registry.synthetic_disease import (
    Disease,
    Relapses,
    Treatments,
    _spells,
    disability_at,
    simulate_disease,
)
from ms_pfl.registry.synthetic_people import draw_people
from ms_pfl.registry.synthetic_treatment import DRUGS, NONE, choose_drugs

NAMES = [drug.name for drug in DRUGS]


def knobs(**values: float) -> Heterogeneity:
    return Heterogeneity(**(dict.fromkeys(KNOBS, 0.0) | values))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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


def test_latent_disability_is_cut_to_the_scale() -> None:
    latent = np.array([0.0, 0.59, 0.61, 1.19, 1.21, 3.61, 4.24, 4.26, 5.21, 6.14, 6.16, 9.4])
    exact = rate_edss(latent, -math.inf, rng())
    assert exact.tolist() == [0, 0, 1, 1, 1.5, 4, 4, 4.5, 6, 6, 6.5, 9]


def test_raters_err_by_one_or_two_steps_at_the_stated_rates() -> None:
    low = rate_edss(np.full(100_000, 2.4), 0.0, rng())  # 2.5 on the scale
    steps = (low - 2.5) / 0.5
    assert set(steps) == {-2, -1, 0, 1, 2}
    assert (np.abs(steps) == 1).mean() == pytest.approx(0.07, abs=0.004)
    assert (np.abs(steps) == 2).mean() == pytest.approx(0.01, abs=0.002)
    assert steps.mean() == pytest.approx(0, abs=0.01)


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
    month = 35 / 365.25  # the time constant
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
