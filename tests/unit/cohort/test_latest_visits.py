"""The latest visit of a patient: the same features as an episode's, or the reason for none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import (
    parameters,
    random_registry,
    registry,
    relapses,
    treatments,
    visits,
)
from hypothesis_profiles import examples
from ms_pfl.cohort.episodes import build_episodes, latest_visits, treatment_recorded_since
from ms_pfl.cohort.features import FEATURES
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.tables import RegistryTables

SCORES = ("2000-01-01", "2000-07-01", "2001-01-01")
TREATED = ["YEARS_ON_DMT_AT_0", "EARLIER_DMTS", "DMT_AT_0_Mild"]


def cut_off(tables: RegistryTables, t0: pd.Timestamp, patient: str | None) -> RegistryTables:
    """What was on record at the end of a day; of one patient alone where named."""

    def until(table: pd.DataFrame, column: str) -> pd.DataFrame:
        own = table if patient is None else table[table["PATIENT_ID"] == patient]
        return own[own[column] <= t0].reset_index(drop=True)

    people = tables.patients
    if patient is not None:
        people = people[people["PATIENT_ID"] == patient].reset_index(drop=True)
    return RegistryTables(
        people,
        until(tables.visits, "DATE_OF_VISIT"),
        until(tables.relapses, "DATE_OF_ONSET"),
        until(tables.treatments, "START_DATE"),
    )


def reasons(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["patient_id"], table["not_scored_because"], strict=True))


@settings(max_examples=examples(4))
@given(seed=st.integers(0, 10_000))
def test_cut_off_at_t0_every_episode_has_the_same_features(seed: int) -> None:
    tables = random_registry(seed)
    try:
        episodes = build_episodes(tables, parameters(minimum_edss=2)).episodes
    except InputError:
        return  # of a small registry maybe nobody remains
    since = treatment_recorded_since(episodes)
    for i, row in enumerate(episodes.to_dict("records")):
        cut = cut_off(tables, row["t0"], None)
        found = latest_visits(cut, parameters(minimum_edss=2), since if i % 2 else {})
        mine = found.set_index("patient_id").loc[row["patient_id"]]
        assert (mine["visit_date"], mine["not_scored_because"]) == (row["t0"], "")
        np.testing.assert_array_equal(
            mine[list(FEATURES)].to_numpy(np.float32),
            np.array([row[name] for name in FEATURES], np.float32),
        )


def test_a_patient_alone_has_the_same_features_once_the_country_records_treatment() -> None:
    tables = random_registry(3, n_patients=12)
    episodes = build_episodes(tables, parameters(minimum_edss=2)).episodes
    since = treatment_recorded_since(episodes)
    later = episodes[episodes["t0"].dt.year > episodes["country"].map(since)]
    assert len(later) > 30
    for row in later.iloc[::3].to_dict("records"):
        alone = cut_off(tables, row["t0"], row["patient_id"])
        (found,) = latest_visits(alone, parameters(minimum_edss=2), since).to_dict("records")
        for name in FEATURES:
            assert found[name] == row[name] or (np.isnan(found[name]) and np.isnan(row[name])), name


def test_each_reason_has_the_words_of_the_attrition() -> None:
    people = pd.DataFrame(
        {
            "PATIENT_ID": ["scored", "nobody", "unscored", "cis", "minor", "early", "few", "zzz"],
            "country": "Italy",
            "BIRTH_DATE": ["1970-01-01"] * 4 + ["1983-01-02"] + ["1970-01-01"] * 3,
            "MS_ONSET_DATE": [None] * 5 + ["1989-12-31", None, None],
        }
    )
    three = [
        (name, date, 2.0) for name in ("scored", "cis", "minor", "early", "unscored")
        for date in SCORES
    ]  # fmt: skip
    table = visits([*three, ("unscored", "2001-02-01", np.nan), ("few", "2001-01-01", 2.0)]).assign(
        MSCOURSE_AT_VISIT=None
    )
    table.loc[table["PATIENT_ID"] == "cis", "MSCOURSE_AT_VISIT"] = "CIS"
    found = latest_visits(registry(people, table), parameters(include_cis=False))
    assert reasons(found) == {
        "scored": "",
        "nobody": "No visit",
        "zzz": "No visit",
        "unscored": "Visit without an EDSS score",
        "cis": "Clinically isolated syndrome at the visit",
        "minor": "Younger than 18 years at the visit",
        "early": "Onset or first visit before 1990",
        "few": "Fewer than 3 days with an EDSS score in the 1187 days up to the visit",
    }
    assert found["patient_id"].tolist() == sorted(found["patient_id"])
    dated = found.set_index("patient_id")["visit_date"]
    assert dated["unscored"] == pd.Timestamp("2001-02-01")
    assert dated[["nobody", "zzz"]].isna().all()
    blank = found.set_index("patient_id")[list(FEATURES)].drop("scored")
    assert blank.isna().all(axis=None)


@pytest.mark.parametrize(("away", "reason"), [(True, True), (False, False)])
def test_a_visit_soon_after_a_relapse_counts_where_the_cohort_took_it(
    away: bool, reason: bool
) -> None:
    tables = registry(
        ["A"], visits([("A", date, 2.0) for date in SCORES]), relapses([("A", "2000-12-20")])
    )
    found = latest_visits(tables, parameters(baseline_away_from_relapse=away))
    told = "Baseline EDSS taken shortly after a relapse onset" if reason else ""
    assert reasons(found) == {"A": told}


def test_the_record_may_be_short() -> None:
    # the cohort asks for a year from the first to the last visit, which may lie after t0
    scores = [("A", f"2000-0{month}-01", 2.0) for month in (1, 2, 3)]
    assert reasons(latest_visits(registry(["A"], visits(scores)), parameters())) == {"A": ""}


def test_nobody_treated_is_not_a_country_that_records_no_treatment() -> None:
    tables = registry(["A"], visits([("A", date, 2.0) for date in SCORES]))
    assert latest_visits(tables, parameters())[TREATED].isna().all(axis=None)
    # known to have recorded it by the end of 2000, so by the visit of January 2001
    told = latest_visits(tables, parameters(), {"Belgium": 2000})
    assert told[TREATED].iloc[0].tolist() == [0.0, 0.0, 0.0]
    assert latest_visits(tables, parameters(), {"Belgium": 2001})[TREATED].isna().all(axis=None)
    # somebody's own record says so as well
    own = registry(
        ["A", "B"],
        visits([("A", date, 2.0) for date in SCORES]),
        treatment_table=treatments([("B", "Avonex", "2000-12-31", None)]),
    )
    found = latest_visits(own, parameters(), {"Belgium": 2001}).set_index("patient_id")
    assert found.loc["A", TREATED].tolist() == [0.0, 0.0, 0.0]


def test_a_year_is_kept_and_no_date() -> None:
    episodes = pd.DataFrame(
        {
            "country": ["A", "A", "A", "B"],
            "t0": pd.to_datetime(["2003-05-01", "2001-05-01", "1999-05-01", "2003-05-01"]),
            "YEARS_ON_DMT_AT_0": [1.0, 0.0, np.nan, np.nan],
        }
    )
    assert treatment_recorded_since(episodes) == {"A": 2001}
