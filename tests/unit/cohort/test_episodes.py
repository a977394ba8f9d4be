from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import TODAY, parameters, random_registry, registry, relapses, visits
from hypothesis_profiles import examples
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.outcomes import OUTCOMES
from ms_pfl.cohort.schemas import Episodes
from ms_pfl.errors import InputError
from ms_pfl.registry.importers.msoutcomes import convert
from ms_pfl.registry.ingest.tables import RegistryTables, check

IDS = ["episode_id", "patient_id", "country", "t0", "label"]

#: Five visits, of which the third (2001-01-01) becomes an episode, without worsening.
DATES = ("2000-01-01", "2000-07-01", "2001-01-01", "2003-01-01", "2003-09-01")


def one_episode(patient: str, edss: float = 2.0, years: int = 0) -> list[tuple[str, str, float]]:
    return [(patient, f"{int(date[:4]) + years}{date[4:]}", edss) for date in DATES]


def dropped(attrition: pd.DataFrame) -> dict[str, tuple[int, int]]:
    rows = attrition.groupby("stage")[["patients_dropped", "episodes_dropped"]].sum()
    return {stage: tuple(row) for stage, row in rows.iterrows() if row.any()}


def test_eligibility_of_each_kind_is_applied_and_counted():
    patients = pd.DataFrame(
        {
            "PATIENT_ID": ["kept", "onset", "minor", "short", "early", "nobody", "unknown"],
            "country": "Italy",
            "BIRTH_DATE": ["1970-01-01", None, "1983-01-02", None, None, None, None],
            "MS_ONSET_DATE": ["1990-01-01", "1989-12-31", None, None, None, None, None],
        }
    )
    visit_table = visits(
        one_episode("kept")
        + one_episode("onset")
        + one_episode("minor")  # 18 on 2001-01-02: t0 = 2001-01-01 is a day too early
        + [("short", f"2000-0{month}-01", 2.0) for month in range(1, 6)]
        + one_episode("early", years=-11)
        + one_episode("unknown")
    )
    episodes, attrition, *_ = build_episodes(registry(patients, visit_table), parameters())
    assert episodes["episode_id"].tolist() == ["kept@2001-01-01", "unknown@2001-01-01"]
    assert attrition.iloc[0].tolist() == ["Registry", "People in the registry", 7, 30, 0, 0]
    assert attrition.iloc[-1].tolist() == ["Episodes", "Labelled episodes", 2, 2, 0, 0]
    assert dropped(attrition) == {
        "Visits": (1, 0),
        "Age": (0, 3),
        "Era": (2, 10),
        "Time in the registry": (1, 5),
        # The first two visits of kept and of unknown; those of minor went for their age.
        "History": (0, 4),
        # The visits of 2003 of kept, minor and unknown.
        "Follow-up": (1, 6),
    }
    for count, drop in (("patients", "patients_dropped"), ("episodes", "episodes_dropped")):
        assert (-attrition[count].diff().iloc[1:] == attrition[drop].iloc[1:]).all()


def test_the_eighteenth_birthday_is_of_age():
    patients = pd.DataFrame({"PATIENT_ID": ["A"], "country": "Italy", "BIRTH_DATE": ["1983-01-01"]})
    episodes, *_ = build_episodes(registry(patients, visits(one_episode("A"))), parameters())
    assert len(episodes) == 1


def test_leaving_out_cis_is_an_option():
    visit_table = visits(
        one_episode("A") + one_episode("B"), MSCOURSE_AT_VISIT=["CIS"] * 5 + [None] * 5
    )
    tables = registry(["A", "B"], visit_table)
    assert len(build_episodes(tables, parameters())[0]) == 2
    episodes, attrition, *_ = build_episodes(tables, parameters(include_cis=False))
    assert episodes["patient_id"].tolist() == ["B"]
    assert dropped(attrition)["Course"] == (1, 5)


def test_a_syndrome_is_carried_on_to_a_visit_that_names_no_course():
    course = ["CIS", None, None, "RR", "RR"]  # the episode is the third
    tables = registry(
        ["A", "B"],
        visits(one_episode("A") + one_episode("B"), MSCOURSE_AT_VISIT=course + ["RR"] * 5),
    )
    episodes, attrition, *_ = build_episodes(tables, parameters(include_cis=False))
    assert episodes["patient_id"].tolist() == ["B"]
    assert dropped(attrition)["Course"] == (0, 3)


@pytest.mark.parametrize(("days", "kept"), [(1339, 1), (1340, 0)])
def test_exactly_the_least_time_in_the_registry_is_enough(days, kept):
    # From 2000-01-01 to 2003-09-01; B is there so that somebody remains.
    rows = one_episode("A") + one_episode("B") + [("B", "2010-01-01", 2.0)]
    tables = registry(["A", "B"], visits(rows))
    episodes, *_ = build_episodes(tables, parameters(minimum_registry_days=days))
    assert (episodes["patient_id"] == "A").sum() == kept


def test_visits_without_a_score_and_of_the_future_are_counted_and_date_the_record():
    nan = float("nan")
    rows = [
        *one_episode("kept"),
        ("kept", "2001-01-01", nan),  # a second row of a day with a score
        ("kept", "2001-02-01", nan),
        ("kept", "2030-01-01", 2.0),
        ("kept", "2030-01-01", 3.0),
        *one_episode("early"),
        ("early", "1989-12-31", nan),  # the first visit, although not the first score
        ("future", "2030-01-01", 2.0),
        ("unscored", "2001-01-01", nan),
    ]
    ids = ["kept", "early", "future", "unscored"]
    episodes, attrition, *_ = build_episodes(registry(ids, visits(rows)), parameters())
    assert episodes["episode_id"].tolist() == ["kept@2001-01-01"]
    assert episodes["VISITS_IN_WINDOW"].tolist() == [3]
    assert attrition.iloc[0].tolist() == ["Registry", "People in the registry", 4, 15, 0, 0]
    assert attrition.iloc[1].tolist() == ["Dates", "Visit dated in the future", 4, 13, 0, 2]
    assert attrition.iloc[2].tolist() == ["Visits", "Visit without an EDSS score", 2, 10, 2, 3]
    assert dropped(attrition)["Era"] == (1, 5)


def test_the_last_visit_counts_for_the_time_in_the_registry_with_a_score_or_without():
    rows = [*one_episode("A"), ("A", "2004-01-01", float("nan"))]
    for days, kept in [(1461, True), (1462, False)]:
        tables = registry(["A", "B"], visits(rows + one_episode("B") + [("B", "2009-01-01", 2.0)]))
        episodes, *_ = build_episodes(tables, parameters(minimum_registry_days=days))
        assert ("A" in episodes["patient_id"].tolist()) == kept


def test_reasons_for_no_label_are_counted():
    visit_table = visits(
        one_episode("kept")
        + one_episode("no closing")[:4]
        + one_episode("no rise confirmed")[:3]
        + [("no rise confirmed", "2003-01-01", 4.0)]
        + one_episode("relapse")[:4]
        + [("relapse", "2003-02-01", 2.0)]
    )
    tables = registry(
        ["kept", "no closing", "no rise confirmed", "relapse"],
        visit_table,
        relapses([("relapse", "2002-12-30"), ("relapse", "2003-01-15")]),
    )
    episodes, attrition, *_ = build_episodes(tables, parameters())
    assert episodes["patient_id"].tolist() == ["kept"]
    by_reason = attrition.set_index("reason")["episodes_dropped"]
    assert by_reason["Every EDSS near two years was taken shortly after a relapse"] == 1
    low, high = (
        "No later EDSS that settles the outcome; EDSS near two years not worse",
        "No later EDSS that confirms the worse EDSS near two years",
    )
    assert (by_reason[low], by_reason[high]) == (1, 1)


def test_gap_between_episodes_starts_at_the_last_one_kept():
    # Monthly visits over six years: every one from the third on has its history.
    days = pd.date_range("2000-01-01", periods=73, freq="30D")
    rows = [("A", str(day.date()), 2.0) for day in days]
    tables = registry(["A"], visits(rows))
    every, *_ = build_episodes(tables, parameters())
    spaced, attrition, *_ = build_episodes(tables, parameters(minimum_gap_days=100))
    assert every["t0"].diff().dt.days.iloc[1:].eq(30).all()
    assert spaced["t0"].diff().dt.days.iloc[1:].eq(120).all()
    assert spaced["t0"].iloc[0] == every["t0"].iloc[0] == days[2]
    # 71 eligible visits, of which one in four stays.
    assert dropped(attrition)["Distance of episodes"] == (0, 71 - 18)


def test_nothing_left_says_why():
    tables = registry(["A"], visits(one_episode("A")[:4]))
    with pytest.raises(InputError, match="no labelled episode remains of 4 visits of 1 patients"):
        build_episodes(tables, parameters())


def test_the_real_sample(shared_data):
    tables = convert(shared_data("msoutcomes_sample") / "sample_data.csv")
    episodes, attrition, *_ = build_episodes(tables, parameters())
    assert episodes["label"].value_counts().to_dict() == {0: 255, 1: 53}
    assert attrition["patients"].tolist() == [40, 40, 40, 40, 34, 34, 33, 33, 31, 29, 29]
    assert attrition["episodes"].iloc[[0, -1]].tolist() == [539, 308]
    unknown = ["SEX_FEMALE", "AGE_AT_0", "COURSE_AT_0_RR", "ONSET_OPTIC", "DMT_AT_0_Mild"]
    assert episodes[unknown].isna().all(axis=None)
    assert episodes["EDSS_at_0"].notna().all()
    Episodes.validate(episodes)


def test_columns_dtypes_order_and_source():
    tables = random_registry(1, n_patients=40, n_countries=4)
    episodes, *_ = build_episodes(tables, parameters(minimum_registry_days=0))
    assert list(episodes.columns) == [*IDS, *FEATURES]
    assert (episodes[list(FEATURES)].dtypes == np.float32).all()
    assert episodes["label"].dtype == np.int8
    assert episodes["t0"].dtype == "datetime64[us]"
    assert episodes["episode_id"].is_unique
    ordered = episodes.sort_values(["country", "patient_id", "t0"], ignore_index=True)
    pd.testing.assert_frame_equal(episodes, ordered)


@settings(max_examples=examples(8))
@given(seed=st.integers(0, 2**32 - 1), outcome=st.sampled_from(OUTCOMES))
def test_a_country_alone_gives_its_own_rows_and_row_order_none(seed, outcome):
    tables = random_registry(seed, n_patients=24, n_countries=3)
    choice = parameters(outcome=outcome, minimum_edss=1, horizon_tolerance_days=700)
    together = build_episodes(tables, choice)
    names = ("patients", "visits", "relapses", "treatments")

    mixed = RegistryTables(
        **{name: getattr(tables, name).sample(frac=1, random_state=seed) for name in names}
    )
    again = build_episodes(check(mixed, "test", today=TODAY), choice)
    for one, other in zip(together, again, strict=True):
        pd.testing.assert_frame_equal(one, other)

    country = together.episodes["country"].iloc[0]
    ids = tables.patients.loc[tables.patients["country"] == country, "PATIENT_ID"]
    own = {name: getattr(tables, name) for name in names}
    site = RegistryTables(**{n: t[t["PATIENT_ID"].isin(ids)] for n, t in own.items()})
    alone = build_episodes(check(site, "test", today=TODAY), choice)
    for name in ("episodes", "outcomes", "attrition_by_country"):
        whole = getattr(together, name)
        pd.testing.assert_frame_equal(
            getattr(alone, name), whole[whole["country"] == country].reset_index(drop=True)
        )
