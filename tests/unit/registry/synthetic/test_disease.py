"""The simulated course of the disease, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ms_pfl.registry.synthetic.countries import (
    Clinics,
)
from ms_pfl.registry.synthetic.disease import (
    Disease,
    Relapses,
    Treatments,
    _spells,
    disability_at,
    simulate_disease,
)
from ms_pfl.registry.synthetic.people import draw_people
from ms_pfl.registry.synthetic.treatment import NONE
from synthetic_examples import parameters, profile_of, rng


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


def test_a_country_may_have_its_own_effect_of_sex() -> None:
    p = parameters(96, 0.0)
    profile = profile_of()
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
