from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import TODAY, parameters, random_registry, registry, visits
from hypothesis_profiles import examples
from ms_pfl.cohort.attrition import UNKNOWN_COUNTRY, Flow, future_days_by_country
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.outcomes import OUTCOMES
from ms_pfl.registry.ingest.tables import RegistryTables, check

COUNTS = ["patients", "episodes", "patients_dropped", "episodes_dropped"]


def test_a_flow_by_hand():
    # Patients a, b of X, c of Y; d of Y has no visit.
    flow = Flow(np.array([0, 0, 1, 2]), np.array(["X", "X", "Y", "Y"]), {"Y": 2})
    flow.keep("S", "reason", np.array([True, False, True, False]))
    assert flow.table().to_numpy().tolist() == [
        ["Registry", "People in the registry", 4, 6, 0, 0],
        ["Dates", "Visit dated in the future", 4, 4, 0, 2],
        ["S", "reason", 2, 2, 2, 2],
        ["Episodes", "Labelled episodes", 2, 2, 0, 0],
    ]
    assert flow.by_country().to_numpy().tolist() == [
        ["X", "Registry", "People in the registry", 2, 3, 0, 0],
        ["X", "Dates", "Visit dated in the future", 2, 3, 0, 0],
        ["X", "S", "reason", 2, 2, 0, 1],
        ["X", "Episodes", "Labelled episodes", 2, 2, 0, 0],
        ["Y", "Registry", "People in the registry", 2, 3, 0, 0],
        ["Y", "Dates", "Visit dated in the future", 2, 1, 0, 2],
        ["Y", "S", "reason", 0, 0, 2, 1],
        ["Y", "Episodes", "Labelled episodes", 0, 0, 0, 0],
    ]


def test_future_days_are_counted_where_their_patient_lives():
    country = pd.Series({"a": "X", "b": "X", "c": "Y"})
    found = future_days_by_country({"a": 1, "b": 2, "c": 3, "nobody": 1}, country)
    assert found == {"X": 3, "Y": 3, UNKNOWN_COUNTRY: 1}
    assert future_days_by_country({"nobody": 2}, country) == {UNKNOWN_COUNTRY: 2}


def test_future_visits_by_country_out_of_the_ingest():
    dates = ("2000-01-01", "2000-07-01", "2001-01-01", "2003-01-01", "2003-09-01")
    late = ("2030-01-01", "2030-01-01", "2031-01-01")
    rows = [(who, date, 2.0) for who in ("A", "B") for date in dates]
    rows += [("B", date, 2.0) for date in late] + [("C", late[0], 2.0)]
    patients = pd.DataFrame({"PATIENT_ID": ["A", "B", "C"], "country": ["X", "Y", "Y"]})
    tables = registry(patients, visits(rows))
    # Checked once more, as tables read from a folder that an earlier run wrote.
    for given_tables in (tables, check(tables, "again", today=TODAY)):
        table = build_episodes(given_tables, parameters()).attrition_by_country
        late_rows = table[table["stage"] == "Dates"].set_index("country")["episodes_dropped"]
        assert late_rows.to_dict() == {"X": 0, "Y": 3}


@settings(max_examples=examples(15))
@given(
    seed=st.integers(0, 2**32 - 1),
    outcome=st.sampled_from(OUTCOMES),
    cis=st.booleans(),
    gap=st.sampled_from([0, 200]),
    late=st.integers(0, 3),
)
def test_the_countries_add_up_to_the_whole_and_each_is_its_own(seed, outcome, cis, gap, late):
    tables = random_registry(seed, n_patients=24, n_countries=3)
    ids = tables.patients["PATIENT_ID"].iloc[:late].tolist()
    future = visits([(who, "2031-05-05", 2.0) for who in ids])
    tables = RegistryTables(
        tables.patients,
        pd.concat([tables.visits, future], ignore_index=True),
        tables.relapses,
        tables.treatments,
    )
    tables = check(tables, "test", today=TODAY)
    choice = parameters(
        outcome=outcome,
        include_cis=cis,
        minimum_gap_days=gap,
        minimum_edss=1,
        horizon_tolerance_days=700,
    )
    cohort = build_episodes(tables, choice)
    total, by_country = cohort.attrition, cohort.attrition_by_country
    assert by_country["country"].nunique() == tables.patients["country"].nunique()
    summed = by_country.groupby(["stage", "reason"], sort=False)[COUNTS].sum().reset_index()
    pd.testing.assert_frame_equal(summed, total)
    last = by_country[by_country["stage"] == "Episodes"].set_index("country")
    people = cohort.episodes.groupby("country")["patient_id"].nunique()
    assert last["episodes"].to_dict() == (
        cohort.episodes["country"].value_counts().reindex(last.index, fill_value=0).to_dict()
    )
    assert last["patients"].to_dict() == people.reindex(last.index, fill_value=0).to_dict()
    for _, rows in by_country.groupby("country"):
        assert (-rows["patients"].diff().iloc[1:] == rows["patients_dropped"].iloc[1:]).all()
        assert (-rows["episodes"].diff().iloc[1:] == rows["episodes_dropped"].iloc[1:]).all()
