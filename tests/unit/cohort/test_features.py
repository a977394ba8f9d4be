from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import (
    TODAY,
    parameters,
    random_registry,
    registry,
    relapses,
    treatments,
    visits,
)
from hypothesis_profiles import examples
from ms_pfl.cohort.features import FEATURES, build_features
from ms_pfl.errors import InputError
from ms_pfl.registry.contract import FUNCTIONAL_SYSTEMS, ONSET_SITES
from ms_pfl.registry.ingest.tables import RegistryTables, check

TREATMENT = [
    *(name for name in FEATURES if name.startswith("DMT_")),
    "YEARS_ON_DMT_AT_0",
    "EARLIER_DMTS",
]


def anchors(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "t0"]).astype({"t0": "datetime64[us]"})


def all_anchors(tables: RegistryTables) -> pd.DataFrame:
    scored = tables.visits[tables.visits["EDSS"].notna()]
    days = scored[["PATIENT_ID", "DATE_OF_VISIT"]].drop_duplicates()
    return days.set_axis(["patient_id", "t0"], axis=1).reset_index(drop=True)


def test_there_are_42_names():
    assert len(FEATURES) == len(set(FEATURES)) == 42
    published = {"EDSS_at_0", "DMT_AT_0_Mild", "DMT_AT_0_Moderate", "DMT_AT_0_High"}
    assert published | {"DMT_IND_AT_0_High_Induction"} <= set(FEATURES)


def test_a_patient_worked_by_hand():
    patients = pd.DataFrame(
        {
            "PATIENT_ID": ["A", "B"],
            "country": "Italy",
            "BIRTH_DATE": ["1970-01-01", None],
            "gender": ["F", "M"],
            "MS_ONSET_DATE": ["2000-01-01", None],
            "ONSET_OPTIC": [1, None],
            "ONSET_SPINAL": [0, None],
            "EDUCATION": [3, None],
        }
    )
    visit_table = visits(
        [
            ("A", "2006-01-01", 6.0),  # before the window
            ("A", "2008-07-01", 2.0),
            ("A", "2009-07-01", 3.0),
            ("A", "2010-01-01", 3.5),
            ("A", "2010-01-01", 4.0),  # the lower score of the day counts
            ("B", "2010-01-01", 1.0),
            ("A", "2011-01-01", 9.0),  # later
        ],
        MSCOURSE_AT_VISIT=["CIS", "RR", "SP", None, None, None, "PP"],
        KFS_1=[5, 1, 2, 4, 3, None, 5],
        KFS_2=[5, 1, 2, None, None, None, 5],
    )
    tables = registry(
        patients,
        visit_table,
        relapses(
            [
                ("A", "2004-01-01"),
                ("A", "2008-01-01"),
                ("A", "2009-12-02"),
                ("A", "2009-12-02"),
                ("A", "2010-06-01"),
            ]
        ),
        treatments(
            [
                ("A", "Avonex", "2003-01-01", "2005-01-01"),
                ("A", "Copaxone", "2005-01-01", "2009-01-01"),
                ("A", "Copaxone", "2005-06-01", "2006-01-01"),
                ("A", "methylprednisolone", "2009-12-01", None),
                ("A", "Tysabri", "2009-01-01", "2010-01-01"),
                ("A", "fingolimod", "2010-01-02", None),
            ]
        ),
    )
    table = build_features(tables, anchors(("A", "2010-01-01"), ("B", "2010-01-01")), parameters())
    a, b = table.iloc[0], table.iloc[1]
    expected = {
        "SEX_FEMALE": 1,
        "AGE_AT_0": 14610 / 365.25,
        "AGE_AT_ONSET": 10957 / 365.25,
        "DISEASE_DURATION_AT_0": 3653 / 365.25,
        "COURSE_AT_0_RR": 0,
        "COURSE_AT_0_SP": 1,  # carried on from 2009, as the visit names none
        "COURSE_AT_0_PP": 0,
        "COURSE_AT_0_OTHER": 0,
        "ONSET_SUPRATENTORIAL": np.nan,
        "ONSET_OPTIC": 1,
        "ONSET_BRAINSTEM": np.nan,
        "ONSET_SPINAL": 0,
        "EDUCATION": 3,
        "EDUCATION_MISSING": 0,
        "EDSS_at_0": 3.5,
        "KFS_1_AT_0": 3,
        "KFS_2_AT_0": np.nan,  # not carried on
        **{f"{system}_AT_0": np.nan for system in FUNCTIONAL_SYSTEMS[2:]},
        "DMT_AT_0_Mild": 0,
        "DMT_AT_0_Moderate": 0,
        "DMT_AT_0_High": 1,  # ends on the day of the visit
        "DMT_IND_AT_0_High_Induction": 0,
        "YEARS_ON_DMT_AT_0": 365 / 365.25,
        "EARLIER_DMTS": 2,
        "EDSS_PREVIOUS_1": 3,
        "EDSS_PREVIOUS_2": 2,
        "DAYS_SINCE_PREVIOUS_1": 184,
        "DAYS_SINCE_PREVIOUS_2": 549,
        "EDSS_MEAN_IN_WINDOW": 8.5 / 3,
        "EDSS_SD_IN_WINDOW": np.std([2, 3, 3.5], ddof=1),
        "EDSS_MIN_IN_WINDOW": 2,
        "EDSS_MAX_IN_WINDOW": 3.5,
        "EDSS_CHANGE_IN_WINDOW": 1.5,
        "VISITS_IN_WINDOW": 3,
        "RELAPSES_IN_WINDOW": 2,
        "RELAPSES_LAST_YEAR": 1,
        "DAYS_SINCE_RELAPSE": 30,
    }
    assert set(expected) == set(FEATURES)
    for name, value in expected.items():
        assert a[name] == pytest.approx(value, rel=1e-6, nan_ok=True), name
    known = {
        "SEX_FEMALE": 0,
        "EDUCATION_MISSING": 1,
        "EDSS_at_0": 1,
        "EDSS_MEAN_IN_WINDOW": 1,
        "EDSS_MIN_IN_WINDOW": 1,
        "EDSS_MAX_IN_WINDOW": 1,
        "EDSS_CHANGE_IN_WINDOW": 0,
        "VISITS_IN_WINDOW": 1,
        "RELAPSES_IN_WINDOW": 0,
        "RELAPSES_LAST_YEAR": 0,
        "DAYS_SINCE_RELAPSE": 1187,
        "YEARS_ON_DMT_AT_0": 0,
        "EARLIER_DMTS": 0,
        "DMT_AT_0_Mild": 0,
        "DMT_AT_0_Moderate": 0,
        "DMT_AT_0_High": 0,
        "DMT_IND_AT_0_High_Induction": 0,
    }
    assert b.dropna().to_dict() == known
    assert (table.dtypes == np.float32).all()


def test_both_ends_of_the_window_count():
    # 1187 days before 2010-01-01 is 2006-10-02.
    for first, count in [("2006-10-02", 3), ("2006-10-01", 2)]:
        tables = registry(
            ["A"],
            visits([("A", first, 1.0), ("A", "2009-01-01", 2.0), ("A", "2010-01-01", 3.0)]),
            relapses([("A", first)]),
        )
        row = build_features(tables, anchors(("A", "2010-01-01")), parameters()).iloc[0]
        assert row["VISITS_IN_WINDOW"] == count
        assert row["RELAPSES_IN_WINDOW"] == count - 2
        # Never more than the window, which is what "never relapsed" reads.
        assert row["DAYS_SINCE_RELAPSE"] == 1187
        # The two visits before t0 are the two before t0, however long ago.
        assert row["EDSS_PREVIOUS_2"] == 1


def test_induction_sets_its_own_flag_alone():
    tables = registry(
        ["A"],
        visits([("A", "2010-01-01", 1.0)]),
        None,
        treatments([("A", "Alemtuzumab", "2009-06-01", None)]),
    )
    row = build_features(tables, anchors(("A", "2010-01-01")), parameters()).iloc[0]
    flags = row[[name for name in FEATURES if name.startswith("DMT_")]]
    assert flags.to_dict() == {
        "DMT_AT_0_Mild": 0,
        "DMT_AT_0_Moderate": 0,
        "DMT_AT_0_High": 0,
        "DMT_IND_AT_0_High_Induction": 1,
    }


def treatment_at(rows: list[tuple[str, str, str, str | None]], *dates: str) -> pd.DataFrame:
    """Treatment features of patient A at each date."""
    tables = registry(["A"], visits([("A", day, 1.0) for day in dates]), None, treatments(rows))
    table = build_features(tables, anchors(*(("A", day) for day in dates)), parameters())
    return table[TREATMENT]


def test_induction_counts_from_its_start_until_the_next_drug_starts():
    # Courses of days, as registries carry them.
    courses = [
        ("A", "Lemtrada", "2009-06-01", "2009-06-05"),
        ("A", "Lemtrada", "2010-06-01", "2010-06-03"),
    ]
    table = treatment_at(courses, "2009-05-31", "2009-06-01", "2010-01-01", "2011-01-01")
    assert table["DMT_IND_AT_0_High_Induction"].isna().tolist() == [True, False, False, False]
    assert table["DMT_IND_AT_0_High_Induction"].tolist()[1:] == [1, 1, 1]
    assert (table.iloc[1:][["DMT_AT_0_Mild", "DMT_AT_0_Moderate", "DMT_AT_0_High"]] == 0).all(
        axis=None
    )
    assert table["YEARS_ON_DMT_AT_0"].tolist()[1:] == pytest.approx([0, 214 / 365.25, 214 / 365.25])
    assert table["EARLIER_DMTS"].tolist()[1:] == [0, 0, 0]

    # A steroid is no next drug; the drug of 2012 is, also where the course was left open.
    for end in ("2010-06-03", None):
        followed = [
            courses[0],
            ("A", "Lemtrada", "2010-06-01", end),
            ("A", "methylprednisolone", "2011-06-01", None),
            ("A", "Tysabri", "2012-01-01", "2013-01-01"),
        ]
        table = treatment_at(followed, "2011-12-31", "2012-01-01", "2014-01-01")
        assert table["DMT_IND_AT_0_High_Induction"].tolist() == [1, 0, 0]
        assert table["DMT_AT_0_High"].tolist() == [0, 1, 0]
        assert table["EARLIER_DMTS"].tolist() == [0, 1, 2]


def test_the_drug_of_another_patient_ends_no_induction():
    tables = registry(
        ["A", "B"],
        visits([("A", "2010-01-01", 1.0)]),
        None,
        treatments(
            [("A", "Lemtrada", "2009-06-01", "2009-06-05"), ("B", "Tysabri", "2009-07-01", None)]
        ),
    )
    row = build_features(tables, anchors(("A", "2010-01-01")), parameters()).iloc[0]
    assert row["DMT_IND_AT_0_High_Induction"] == 1


def test_of_two_ongoing_drugs_the_one_that_began_last_gives_the_years():
    rows = [
        ("A", "Tysabri", "2009-01-01", None),
        ("A", "Avonex", "2005-01-01", None),
        ("A", "Gilenya", "2009-06-01", "2009-09-01"),
    ]
    table = treatment_at(rows, "2010-01-01")
    assert table["YEARS_ON_DMT_AT_0"].tolist() == pytest.approx([365 / 365.25])
    assert table[["DMT_AT_0_Mild", "DMT_AT_0_High"]].to_numpy().tolist() == [[1, 1]]
    assert table["EARLIER_DMTS"].tolist() == [1]


def test_treatment_is_unknown_until_the_country_records_the_first_one():
    patients = pd.DataFrame({"PATIENT_ID": ["A", "B", "C"], "country": ["Italy", "Iran", "Italy"]})
    days = ("2011-12-31", "2012-01-01", "2013-01-01")
    tables = registry(
        patients,
        visits([(patient, day, 1.0) for patient in "ABC" for day in days]),
        None,
        treatments([("C", "avonex", "2012-01-01", None)]),
    )
    chosen = anchors(*((patient, day) for patient in "ABC" for day in days))
    table = build_features(tables, chosen, parameters())
    recorded = [False, True, True, False, False, False, False, True, True]
    for name in TREATMENT:
        assert table[name].notna().tolist() == recorded
    assert (table.loc[[1, 2], TREATMENT] == 0).all(axis=None)
    assert table.loc[[7, 8], "DMT_AT_0_Mild"].tolist() == [1, 1]
    # An empty table of relapses reads as no relapse.
    assert (table["DAYS_SINCE_RELAPSE"] == 1187).all()


def test_a_visit_without_a_score_tells_course_and_systems_and_is_no_score():
    nan = float("nan")
    tables = registry(
        ["A"],
        visits(
            [
                ("A", "2009-01-01", 2.0),
                ("A", "2009-06-01", nan),
                ("A", "2010-01-01", 3.0),
                ("A", "2010-01-01", nan),
            ],
            MSCOURSE_AT_VISIT=["RR", "SP", None, None],
            KFS_1=[1, 5, None, 2],
        ),
    )
    row = build_features(tables, anchors(("A", "2010-01-01")), parameters()).iloc[0]
    assert row["COURSE_AT_0_SP"] == 1
    assert row["KFS_1_AT_0"] == 2
    assert row["VISITS_IN_WINDOW"] == 2
    assert (row["EDSS_at_0"], row["EDSS_PREVIOUS_1"], row["DAYS_SINCE_PREVIOUS_1"]) == (3, 2, 365)
    assert row["EDSS_CHANGE_IN_WINDOW"] == 1
    assert np.isnan(row["EDSS_PREVIOUS_2"])
    with pytest.raises(InputError, match="'A' has no visit with an EDSS on 2009-06-01"):
        build_features(tables, anchors(("A", "2009-06-01")), parameters())


def test_anchors_may_come_in_any_order_and_keep_their_index():
    tables = random_registry(3)
    given_anchors = all_anchors(tables)
    mixed = given_anchors.sample(frac=1, random_state=0)
    straight = build_features(tables, given_anchors, parameters())
    pd.testing.assert_frame_equal(
        build_features(tables, mixed, parameters()), straight.loc[mixed.index]
    )


def test_an_anchor_that_is_no_visit_is_refused():
    tables = registry(["A"], visits([("A", "2010-01-01", 1.0)]))
    with pytest.raises(InputError, match="'A' has no visit with an EDSS on 2010-01-02"):
        build_features(tables, anchors(("A", "2010-01-02")), parameters())


def with_another_future(
    tables: RegistryTables, now: pd.Timestamp, rng: np.random.Generator
) -> RegistryTables:
    """The same tables up to a day, and other ones later."""
    other = random_registry(int(rng.integers(2**32)), n_patients=len(tables.patients))

    def later_days(n: int) -> pd.Series:
        return pd.Series(now + pd.to_timedelta(rng.integers(1, 2000, n), unit="D"))

    def replace(table: pd.DataFrame, replacement: pd.DataFrame, date: str) -> pd.DataFrame:
        replacement = replacement.sample(frac=rng.random(), random_state=int(rng.integers(2**31)))
        replacement = replacement.reset_index(drop=True)
        replacement[date] = later_days(len(replacement)).astype("datetime64[us]")
        if "END_DATE" in replacement:
            replacement["END_DATE"] = replacement["END_DATE"].mask(
                replacement["END_DATE"] < replacement[date]
            )
        return pd.concat([replacement, table[table[date] <= now]], ignore_index=True)

    treatment_table = replace(tables.treatments, other.treatments, "START_DATE")
    open_or_later = treatment_table["END_DATE"].isna() | (treatment_table["END_DATE"] > now)
    ends = later_days(len(treatment_table)).mask(rng.random(len(treatment_table)) < 0.5)
    treatment_table["END_DATE"] = treatment_table["END_DATE"].mask(
        open_or_later & (treatment_table["START_DATE"] <= now), ends
    )
    patients = tables.patients.copy()
    later_onset = patients["MS_ONSET_DATE"] > now
    patients.loc[later_onset, "MS_ONSET_DATE"] = later_days(int(later_onset.sum())).to_numpy()
    for site in ONSET_SITES:
        patients.loc[later_onset, site] = 1.0 - patients.loc[later_onset, site].fillna(0.0)
    changed = RegistryTables(
        patients,
        replace(tables.visits, other.visits, "DATE_OF_VISIT"),
        replace(tables.relapses, other.relapses, "DATE_OF_ONSET"),
        treatment_table,
    )
    return check(changed, "another future", today=TODAY)


@settings(max_examples=examples(15))
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
def test_nothing_after_t0_enters_a_feature(seed, share):
    tables = random_registry(seed)
    now = tables.visits["DATE_OF_VISIT"].quantile(share, interpolation="lower")
    chosen = all_anchors(tables)
    chosen = chosen[chosen["t0"] <= now]
    before = build_features(tables, chosen, parameters())
    rng = np.random.default_rng(seed)
    changed = with_another_future(tables, now, rng)
    pd.testing.assert_frame_equal(before, build_features(changed, chosen, parameters()))
    no_future = RegistryTables(
        tables.patients,
        tables.visits[tables.visits["DATE_OF_VISIT"] <= now],
        tables.relapses[tables.relapses["DATE_OF_ONSET"] <= now],
        tables.treatments[tables.treatments["START_DATE"] <= now],
    )
    no_future = check(no_future, "no future", today=TODAY)
    pd.testing.assert_frame_equal(before, build_features(no_future, chosen, parameters()))


def test_the_other_future_of_that_property_is_one():
    """Else the property would hold for nothing."""
    later = np.zeros(3)
    for seed in range(4):
        tables = random_registry(seed)
        now = tables.visits["DATE_OF_VISIT"].quantile(0.5, interpolation="lower")
        changed = with_another_future(tables, now, np.random.default_rng(seed))
        later += [
            (changed.visits["DATE_OF_VISIT"] > now).sum(),
            (changed.relapses["DATE_OF_ONSET"] > now).sum(),
            (changed.treatments["START_DATE"] > now).sum(),
        ]
    assert (later >= 4).all()


@settings(max_examples=examples(6))
@given(seed=st.integers(0, 2**32 - 1))
def test_window_features_equal_a_plain_count(seed):
    tables = random_registry(seed, n_patients=3)
    chosen = all_anchors(tables)
    ours = build_features(tables, chosen, parameters())
    for i, (patient, t0) in enumerate(chosen.itertuples(index=False)):
        own = tables.visits[tables.visits["PATIENT_ID"] == patient]
        age = (t0 - own["DATE_OF_VISIT"]).dt.days
        daily = own[(age >= 0) & (age <= 1187)].groupby("DATE_OF_VISIT")["EDSS"].min().dropna()
        row = ours.iloc[i]
        assert row["VISITS_IN_WINDOW"] == len(daily)
        assert row["EDSS_MEAN_IN_WINDOW"] == pytest.approx(daily.mean(), rel=1e-6)
        assert row["EDSS_SD_IN_WINDOW"] == pytest.approx(daily.std(), rel=1e-5, nan_ok=True)
        assert row["EDSS_MIN_IN_WINDOW"] == daily.min()
        assert row["EDSS_MAX_IN_WINDOW"] == daily.max()
        assert row["EDSS_CHANGE_IN_WINDOW"] == daily.iloc[-1] - daily.iloc[0]
        onsets = tables.relapses[tables.relapses["PATIENT_ID"] == patient]["DATE_OF_ONSET"]
        since = sorted({days for days in (t0 - onsets).dt.days if days >= 0})
        assert row["RELAPSES_IN_WINDOW"] == sum(days <= 1187 for days in since)
        assert row["RELAPSES_LAST_YEAR"] == sum(days <= 365 for days in since)
        assert row["DAYS_SINCE_RELAPSE"] == min([*since, 1187])
