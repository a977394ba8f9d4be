"""The synthetic registry as a whole: contract, plausibility, heterogeneity knobs."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from ms_pfl.errors import InputError
from ms_pfl.registry import schemas
from ms_pfl.registry.contract import CONTRACT, EDSS_SCALE
from ms_pfl.registry.ingest.tables import RegistryTables, check
from ms_pfl.registry.synthetic.countries import COUNTRIES
from ms_pfl.registry.synthetic.simulation import second_ratings, simulate, simulate_country
from realism.summary import measure
from synthetic_examples import KNOBS, parameters, tables

YEAR = pd.Timedelta(days=365.25)


def per_patient(t: RegistryTables) -> pd.DataFrame:
    """One row per patient: what the knobs act on."""
    visits = t.visits.assign(high=t.visits["EDSS"] >= 4)
    groups = visits.groupby("PATIENT_ID")
    frame = t.patients.set_index("PATIENT_ID")[["country", "BIRTH_DATE", "MS_ONSET_DATE"]].copy()
    entry, last = groups["DATE_OF_VISIT"].min(), groups["DATE_OF_VISIT"].max()
    span = (last - entry) / YEAR
    frame["age"] = (entry - frame.pop("BIRTH_DATE")) / YEAR
    frame["onset_age"] = frame["age"] - (entry - frame.pop("MS_ONSET_DATE")) / YEAR
    frame["edss"] = groups["EDSS"].mean()
    long = span > 2
    frame["visit_rate"] = ((groups.size() - 1) / span).where(long)
    slope = (groups["EDSS"].last() - groups["EDSS"].first()) / span
    frame["slope"] = slope.where(long)
    since = t.relapses[t.relapses["DATE_OF_ONSET"] > t.relapses["PATIENT_ID"].map(entry)]
    count = since.groupby("PATIENT_ID").size().reindex(frame.index).fillna(0)
    frame["relapse_rate"] = (count / span).where(long)
    strong = t.treatments["dmt"].isin(
        ["natalizumab", "ocrelizumab", "rituximab", "fingolimod", "dimethyl fumarate"]
    )
    frame["strong_drug"] = frame.index.isin(t.treatments.loc[strong, "PATIENT_ID"]).astype(float)
    frame["treatments"] = t.treatments.groupby("PATIENT_ID").size().reindex(frame.index).fillna(0)
    frame["missing"] = visits["KFS_1"].isna().groupby(visits["PATIENT_ID"]).mean()
    return frame


def p_homogeneous(frame: pd.DataFrame, column: str) -> float:
    """Kruskal-Wallis p of one distribution in all countries with at least 30 patients."""
    groups = [g.dropna() for _, g in frame.groupby("country")[column]]
    return float(stats.kruskal(*(g for g in groups if len(g) >= 30)).pvalue)


MEASURES = (
    "age", "onset_age", "edss", "visit_rate", "slope", "relapse_rate", "strong_drug",
    "treatments", "missing",
)  # fmt: skip


def test_same_parameters_same_tables() -> None:
    a, b = tables(100), simulate(parameters(100))
    c = simulate(parameters(100, seed=12))
    for name in CONTRACT:
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    assert not a.visits.equals(c.visits)


def test_a_country_needs_nothing_of_the_others() -> None:
    whole = tables(600).visits
    n = int((tables(600).patients["country"] == "Belgium").sum())
    alone = simulate_country(COUNTRIES[4], n, parameters(600)).visits
    there = whole[whole["PATIENT_ID"].str.startswith("BE")].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, there, check_flags=False)


@pytest.mark.parametrize("n", [100, 600, 6000])
def test_every_country_has_patients(n: int) -> None:
    sizes = tables(n).patients["country"].value_counts()
    assert len(sizes) == 32
    assert sizes.min() >= 3
    assert sizes.sum() == n
    if n == 6000:
        assert sizes["Australia"] == sizes.max() > 1200


def test_tables_hold_the_ingest_contract() -> None:
    t = tables(600)
    checked = check(t, "synthetic registry")
    assert t.source["kind"] == "synthetic"
    assert checked.source == t.source
    for name, model in (
        ("patients", schemas.Patients),
        ("visits", schemas.Visits),
        ("relapses", schemas.Relapses),
        ("treatments", schemas.Treatments),
    ):
        frame = getattr(t, name)
        assert list(frame.columns) == [column.name for column in CONTRACT[name]]
        # Neither the checks nor the schema find anything to change or leave out.
        pd.testing.assert_frame_equal(frame, getattr(checked, name))
        pd.testing.assert_frame_equal(frame, model.validate(frame))
    assert set(t.visits["EDSS"]) <= set(EDSS_SCALE) - {10.0}
    assert not t.visits.duplicated(["PATIENT_ID", "DATE_OF_VISIT"]).any()
    assert not t.relapses.duplicated(["PATIENT_ID", "DATE_OF_ONSET"]).any()
    for column in ("gender", "MS_ONSET_DATE", "ONSET_OPTIC", "EDUCATION"):
        assert 0 < t.patients[column].notna().mean() <= 1
    assert t.patients["EDUCATION"].isna().any()
    assert t.visits["MSCOURSE_AT_VISIT"].isna().any()


def test_dates_are_in_order() -> None:
    t = simulate(parameters(600, data_cut="2015-06-30"))
    cut = pd.Timestamp("2015-06-30")
    for frame in (t.patients, t.visits, t.relapses, t.treatments):
        for column in frame.select_dtypes("datetime"):
            assert not (frame[column] > cut).any(), column
    assert t.visits["DATE_OF_VISIT"].min() >= pd.Timestamp("1990-01-01")
    p = t.patients
    assert not (p["BIRTH_DATE"] > p["MS_ONSET_DATE"]).any()
    assert not (p["MS_ONSET_DATE"] > p["MS_DIAGNOSIS_DATE"]).any()
    visits = t.visits.merge(p, on="PATIENT_ID")
    assert not (visits["DATE_OF_VISIT"] < visits["MS_ONSET_DATE"]).any()
    # One drug at a time.
    later = t.treatments.groupby("PATIENT_ID")["START_DATE"].shift(-1)
    assert not (t.treatments["END_DATE"] > later).any()
    assert not (t.treatments["END_DATE"].isna() & later.notna()).any()


def test_stronger_drugs_are_given_after_relapses() -> None:
    frame = per_patient(tables(6000))
    relapsing = frame["relapse_rate"] > frame["relapse_rate"].quantile(0.75)
    assert frame.loc[relapsing, "strong_drug"].mean() > frame.loc[~relapsing, "strong_drug"].mean()


def test_with_all_knobs_at_zero_countries_are_alike() -> None:
    frame = per_patient(tables(4000, 0.0))
    found = {column: p_homogeneous(frame, column) for column in MEASURES}
    # Nine tests of a true hypothesis: all of them above .002 but once in fifty.
    assert min(found.values()) > 0.002, found


def test_with_all_knobs_at_one_countries_differ() -> None:
    frame = per_patient(tables(6000))
    # Not the slope: between two noisy scores it says little; mean EDSS carries the hazard.
    found = {column: p_homogeneous(frame, column) for column in MEASURES if column != "slope"}
    assert max(found.values()) < 0.01, found


@pytest.mark.parametrize(
    ("knob", "moves", "leaves"),
    [
        ("case_mix", "onset_age", "missing"),
        ("rater", "edss", "visit_rate"),
        ("visit_frequency", "visit_rate", "onset_age"),
        ("drug_access", "strong_drug", "onset_age"),
        ("missingness", "missing", "edss"),
        # Not the visit rate: relapses bring visits.
        ("hazard", "edss", "onset_age"),
    ],
)
def test_each_knob_moves_its_own_measure(knob: str, moves: str, leaves: str) -> None:
    knobs = dict.fromkeys(KNOBS, 0.0) | {knob: 2.0}
    frame = per_patient(simulate(parameters(2000, knobs)))
    assert p_homogeneous(frame, moves) < 1e-3
    assert p_homogeneous(frame, leaves) > 0.002


# What a knob turned alone leaves exactly as it is, and what it changes, in one country.
PATIENTS = ["BIRTH_DATE", "MS_ONSET_DATE", "gender", "clinic_code", "EDUCATION"]


@pytest.mark.parametrize(
    ("knob", "leaves", "changes"),
    [
        ("case_mix", {"patients": ["clinic_code"]}, {"patients": ["MS_ONSET_DATE"]}),
        (
            "rater",
            {
                "patients": PATIENTS,
                "visits": ["DATE_OF_VISIT", "MSCOURSE_AT_VISIT"],
                "relapses": ["DATE_OF_ONSET", "severity"],
                "treatments": ["dmt", "START_DATE", "END_DATE"],
            },
            {"visits": ["EDSS"]},
        ),
        ("visit_frequency", {"patients": PATIENTS}, {"visits": ["DATE_OF_VISIT"]}),
        ("drug_access", {"patients": PATIENTS}, {"treatments": ["dmt", "START_DATE"]}),
        (
            "missingness",
            {
                "visits": ["DATE_OF_VISIT", "EDSS"],
                "relapses": ["DATE_OF_ONSET"],
                "treatments": ["dmt", "START_DATE", "END_DATE"],
            },
            {"visits": ["KFS_1"], "patients": ["EDUCATION"]},
        ),
        ("hazard", {"patients": PATIENTS}, {"visits": ["EDSS"]}),
        ("predictor_effects", {"patients": PATIENTS}, {"visits": ["EDSS"]}),
    ],
)
def test_each_knob_changes_what_it_says_and_leaves_the_rest(
    knob: str, leaves: dict[str, list[str]], changes: dict[str, list[str]]
) -> None:
    still = simulate_country(COUNTRIES[4], 300, parameters(600, 0.0))
    knobs = dict.fromkeys(KNOBS, 0.0) | {knob: 1.0}
    turned = simulate_country(COUNTRIES[4], 300, parameters(600, knobs))
    for name, columns in leaves.items():
        one, other = getattr(still, name), getattr(turned, name)
        pd.testing.assert_frame_equal(one[columns], other[columns])
    for name, columns in changes.items():
        one, other = getattr(still, name), getattr(turned, name)
        assert not one[columns].equals(other[columns])


@pytest.mark.parametrize(
    ("rate", "figure", "low", "high"),
    [
        ("follow_up_years", "First to last visit, mean (years)", 1.3, 2.0),
        ("visits_per_year", "Visits a person-year", 1.6, 2.2),
        ("relapse_rate", "Relapses a person-year", 1.4, 2.1),
        ("progression_rate", "EDSS 10 years after onset, mean", 1.05, 1.6),
        ("secondary_progression_rate", "RR to SP, a person-year", 1.1, 2.0),
        ("treatment_start_rate", "No treatment at first visit, share", 0.5, 0.9),
    ],
)
def test_each_rate_moves_its_own_figure(rate: str, figure: str, low: float, high: float) -> None:
    def found(**changed: float) -> float:
        return figures_of_one_country(**changed)[figure]

    value = getattr(parameters(600, 0.0), rate)
    # Twice the rate, and by how much the figure has to rise (or fall).
    assert low < found(**{rate: 2 * value}) / found() < high


@functools.cache
def figures_of_one_country(**changed: float) -> dict[str, float]:
    return measure(simulate_country(COUNTRIES[0], 2500, parameters(600, 0.0, **changed)))


def test_a_second_rater_sees_the_same_visits() -> None:
    p = parameters(600)
    edss, second = tables(600).visits["EDSS"].to_numpy(), second_ratings(p)
    assert len(second) == len(edss)
    assert set(second) <= set(EDSS_SCALE) - {10.0}
    assert np.array_equal(second, second_ratings(p))
    # Another rater, but the same patient on the same day.
    assert 0.6 < (second == edss).mean() < 0.8
    assert np.abs(second - edss).max() <= 2.5


def test_too_few_patients_and_wrong_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="n_patients = 100 cannot give each of 32 countries"):
        simulate(parameters(100, min_patients_per_country=4))
    with pytest.raises(ValidationError, match="n_patients"):
        parameters(95)
    with pytest.raises(ValidationError, match="relapse_rate"):
        parameters(100, relapse_rate=-0.1)
    with pytest.raises(ValidationError, match="case_mixx"):
        parameters(100, {"case_mixx": 1.0})
