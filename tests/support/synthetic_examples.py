"""Synthetic registries at the settings that their tests share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ms_pfl.registry.ingest.tables import RegistryTables
from ms_pfl.registry.synthetic.countries import Clinics, draw_profile
from ms_pfl.registry.synthetic.parameters import Heterogeneity, SyntheticRegistryParameters
from ms_pfl.registry.synthetic.people import People, draw_people
from ms_pfl.registry.synthetic.simulation import simulate
from ms_pfl.registry.synthetic.treatment import DRUGS

KNOBS = tuple(Heterogeneity.model_fields)
NAMES = [drug.name for drug in DRUGS]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def parameters(n: int, knobs: dict[str, float] | float = 1.0, **other: Any):
    values = {
        "n_patients": n,
        "min_patients_per_country": 3,
        "seed": 11,
        "data_cut": "2024-12-31",
        "follow_up_years": 9.5,
        "visits_per_year": 1.17,
        "relapse_rate": 0.85,
        "progression_rate": 0.026,
        "secondary_progression_rate": 0.25,
        "treatment_start_rate": 1.8,
        "heterogeneity": knobs if isinstance(knobs, dict) else dict.fromkeys(KNOBS, knobs),
    }
    return SyntheticRegistryParameters.model_validate(values | other)


@functools.cache
def tables(n: int, knob: float = 1.0) -> RegistryTables:
    return simulate(parameters(n, knob))


def knobs(**values: float) -> Heterogeneity:
    return Heterogeneity(**(dict.fromkeys(KNOBS, 0.0) | values))


def people_of(n: int, **rates: float) -> People:
    p = parameters(96, 0.0, **rates)
    profile = draw_profile(p.heterogeneity, rng())
    clinics = Clinics(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    return draw_people(n, profile, clinics, p, rng(1))
