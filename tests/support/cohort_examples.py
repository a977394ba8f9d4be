"""Tables and parameters that the cohort's tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters, SplitFractions
from ms_pfl.registry.contract import COURSES, FUNCTIONAL_SYSTEMS, ONSET_SITES
from ms_pfl.registry.ingest.tables import RegistryTables, check

TODAY = pd.Timestamp("2024-12-31")
FRACTIONS = SplitFractions(train=0.6, validation=0.2, test=0.2)
DRUGS = ("Avonex", "fingolimod", "Tysabri 300 mg", "alemtuzumab", "Copaxone", "methylprednisolone")


def parameters(**changes: Any) -> CohortParameters:
    """The defaults of the goldens, with changes."""
    values: dict[str, Any] = {
        "outcome": "state_near_two_years",
        "rule": "three_strata",
        "observation_window_days": 1187,
        "minimum_edss": 3,
        "horizon_days": 730,
        "horizon_tolerance_days": 365,
        "confirmation_days": 180,
        "relapse_exclusion_days": 30,
        "baseline_away_from_relapse": False,
        "closing_required_below_threshold": True,
        "sustained": False,
        "relapse_days_before_worsening": 90,
        "relapse_days_after_worsening": 30,
        "minimum_gap_days": 0,
        "include_cis": True,
        "minimum_age_years": 18,
        "minimum_registry_days": 365,
        "earliest_year": 1990,
        "treatments": {
            "mild": [
                ["interferon beta-1a", "ifn beta 1a", "avonex", "rebif"],
                ["glatiramer acetate", "copaxone"],
            ],
            "moderate": [["fingolimod", "gilenya"], ["dimethyl fumarate", "tecfidera", "bg 12"]],
            "high": [["natalizumab", "tysabri"]],
            "high_induction": [["alemtuzumab", "lemtrada"]],
            "none": [["methylprednisolone"], ["steroids"], ["no treatment"]],
            "trial": [["placebo"], ["blinded"]],
        },
    }
    return CohortParameters.model_validate(values | changes)


def visits(rows: list[tuple[str, str, float]], **columns: list[Any]) -> pd.DataFrame:
    """A visits table from (patient, date, EDSS)."""
    frame = pd.DataFrame(rows, columns=["PATIENT_ID", "DATE_OF_VISIT", "EDSS"])
    return frame.astype({"DATE_OF_VISIT": "datetime64[us]"}).assign(**columns)


def relapses(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """A relapses table from (patient, date)."""
    frame = pd.DataFrame(rows, columns=["PATIENT_ID", "DATE_OF_ONSET"])
    return frame.astype({"PATIENT_ID": "str", "DATE_OF_ONSET": "datetime64[us]"})


def treatments(rows: list[tuple[str, str, str, str | None]]) -> pd.DataFrame:
    """A treatments table from (patient, drug, start, end)."""
    frame = pd.DataFrame(rows, columns=["PATIENT_ID", "dmt", "START_DATE", "END_DATE"])
    return frame.astype({"START_DATE": "datetime64[us]", "END_DATE": "datetime64[us]"})


def registry(
    patients: pd.DataFrame | list[str],
    visit_table: pd.DataFrame,
    relapse_table: pd.DataFrame | None = None,
    treatment_table: pd.DataFrame | None = None,
) -> RegistryTables:
    """Checked tables; a list of ids stands for patients of whom no more is known."""
    if isinstance(patients, list):
        patients = pd.DataFrame({"PATIENT_ID": patients, "country": "Belgium"})
    return check(
        RegistryTables(
            patients,
            visit_table,
            relapses([]) if relapse_table is None else relapse_table,
            treatments([]) if treatment_table is None else treatment_table,
        ),
        "test",
        today=TODAY,
    )


def random_registry(seed: int, n_patients: int = 6, n_countries: int = 2) -> RegistryTables:
    """A small registry of random people, with every kind of missing value."""
    rng = np.random.default_rng(seed)
    day_zero = np.datetime64("1995-01-01", "D")
    # Half of the registries hold days 30 apart, so that days and distances are often equal.
    step = int(rng.choice([1, 30]))

    def dates(low: int, high: int, n: int) -> np.ndarray:
        return day_zero + rng.integers(low // step, high // step, n) * step

    def some(values: np.ndarray, share: float = 0.2) -> pd.Series:
        return pd.Series(values).mask(rng.random(len(values)) < share)

    ids = np.array([f"P{i:02d}" for i in range(n_patients)], dtype=object)
    patients = pd.DataFrame(
        {
            "PATIENT_ID": ids,
            "country": rng.choice([f"Country {i}" for i in range(n_countries)], n_patients),
            "BIRTH_DATE": some(dates(-14000, -5000, n_patients)),
            "gender": some(rng.choice(["F", "M"], n_patients)),
            "MS_ONSET_DATE": some(dates(-1500, 1500, n_patients)),
            "EDUCATION": some(rng.integers(1, 5, n_patients).astype(float)),
            **{site: some(rng.integers(0, 2, n_patients).astype(float)) for site in ONSET_SITES},
        }
    )
    n_visits = rng.integers(1, 25, n_patients)
    total = int(n_visits.sum())
    scale = np.array([0.0, *np.arange(1, 10.5, 0.5)])
    visit_table = pd.DataFrame(
        {
            "PATIENT_ID": np.repeat(ids, n_visits),
            "DATE_OF_VISIT": dates(0, 3000, total),
            "EDSS": some(scale[rng.integers(0, 19, total)], 0.1),
            "MSCOURSE_AT_VISIT": some(rng.choice(COURSES, total), 0.5),
            **{
                system: some(rng.integers(0, 6, total).astype(float))
                for system in FUNCTIONAL_SYSTEMS
            },
        }
    )
    n_relapses, n_treatments = int(rng.integers(0, 20)), int(rng.integers(0, 15))
    relapse_table = pd.DataFrame(
        {
            "PATIENT_ID": pd.Series(rng.choice(ids, n_relapses), dtype="str"),
            "DATE_OF_ONSET": dates(-300, 3000, n_relapses),
        }
    )
    start = dates(-300, 2800, n_treatments)
    treatment_table = pd.DataFrame(
        {
            "PATIENT_ID": pd.Series(rng.choice(ids, n_treatments), dtype="str"),
            "dmt": pd.Series(rng.choice(DRUGS, n_treatments), dtype="str"),
            "START_DATE": start,
            "END_DATE": some(start + rng.integers(0, 900, n_treatments), 0.3),
        }
    )
    return registry(patients, visit_table, relapse_table, treatment_table)
