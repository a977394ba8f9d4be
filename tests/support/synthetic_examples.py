"""Synthetic registries at the settings that their tests share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ms_pfl.registry.ingest.tables import RegistryTables
from ms_pfl.registry.synthetic.countries import (
    COUNTRIES,
    Clinics,
    draw_profile,
)
from ms_pfl.registry.synthetic.parameters import Heterogeneity, SyntheticRegistryParameters
from ms_pfl.registry.synthetic.people import People, draw_people
from ms_pfl.registry.synthetic.simulation import simulate
from ms_pfl.registry.synthetic.treatment import DRUGS
from parameter_examples import load

KNOBS = tuple(Heterogeneity.model_fields)
NAMES = [drug.name for drug in DRUGS]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@functools.cache
def deviations() -> dict[str, Any]:
    return dict(load("base")["synthetic_registry"]["deviations"])


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
        "deviations": deviations(),
    }
    return SyntheticRegistryParameters.model_validate(values | other)


@functools.cache
def tables(n: int, knob: float = 1.0) -> RegistryTables:
    return simulate(parameters(n, knob))


def knobs(**values: float) -> dict[str, float]:
    return dict.fromkeys(KNOBS, 0.0) | values


def profile_of(knobs: dict[str, float] | float = 0.0, country: int = 4, **other: Any):
    return draw_profile(COUNTRIES[country], parameters(96, knobs, **other), rng())


def people_of(n: int, **rates: float) -> People:
    p = parameters(96, 0.0, **rates)
    profile = profile_of()
    clinics = Clinics(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    return draw_people(n, profile, clinics, p, rng(1))
