from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import parameters, random_registry, registry, relapses, visits
from hypothesis_profiles import examples
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.first_event import EVENT_REASONS, event_days, first_events
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import date_of, event_keys, visit_days

DATES = ["BASELINE_DATE", "ONSET_DATE", "CONFIRMATION_DATE", "LAST_CONFIRMING_DATE"]
EVENT = {"outcome": "first_confirmed_event"}


@pytest.mark.parametrize("name", ["sample", "edge"])
@pytest.mark.parametrize("sustained", [False, True])
def test_golden_events_are_met_on_every_patient_and_column(shared_data, name, sustained):
    folder = shared_data("oracles")
    file = f"golden_first_event_{'sustained_' if sustained else ''}{name}.csv"
    golden = pd.read_csv(folder / file, parse_dates=DATES)
    golden = golden.sort_values("PATIENT_ID", ignore_index=True)
    ours = first_events(
        pd.read_csv(folder / f"{name}_visits.csv", parse_dates=["DATE_OF_VISIT"]),
        pd.read_csv(folder / f"{name}_relapses.csv", parse_dates=["DATE_OF_ONSET"]),
        parameters(sustained=sustained),
    )
    pd.testing.assert_frame_equal(ours, golden, check_dtype=False)
    assert len(golden) == {"sample": 40, "edge": 29}[name]


@pytest.mark.parametrize("name", ["sample", "edge"])
@pytest.mark.parametrize("sustained", [False, True])
def test_the_visit_of_a_golden_baseline_has_the_golden_event(shared_data, name, sustained):
    folder = shared_data("oracles")
    file = f"golden_first_event_{'sustained_' if sustained else ''}{name}.csv"
    golden = pd.read_csv(folder / file, parse_dates=DATES).dropna(subset="BASELINE_DATE")
    # Two or three scores of one day are one score in an episode: docs/labels.md draws them.
    golden = golden[~golden["PATIENT_ID"].isin(["E22", "E23", "E24"])]
    visit_table = pd.read_csv(folder / f"{name}_visits.csv", parse_dates=["DATE_OF_VISIT"])
    relapse_table = pd.read_csv(folder / f"{name}_relapses.csv", parse_dates=["DATE_OF_ONSET"])
    patients = pd.Index(visit_table["PATIENT_ID"].unique()).sort_values()
    days = visit_days(visit_table, patients)
    onsets = event_keys(relapse_table["PATIENT_ID"], relapse_table["DATE_OF_ONSET"], patients)
    choice = parameters(sustained=sustained, minimum_edss=1, horizon_days=36525)
    ours = event_days(days, onsets, choice).assign(
        PATIENT_ID=patients[days.code], BASELINE_DATE=date_of(days.key)
    )
    both = golden.merge(ours, on=["PATIENT_ID", "BASELINE_DATE"], validate="one_to_one")
    assert len(both) == len(golden) == {"sample": 39, "edge": 26}[name]
    assert (both["label"] == 1).tolist() == (both["EVENT"] == 1).tolist()
    for mine, other in (
        ("worsening_date", "ONSET_DATE"),
        ("confirmation_date", "CONFIRMATION_DATE"),
    ):
        pd.testing.assert_series_equal(
            both[mine], both[other], check_names=False, check_dtype=False
        )


def first_event(
    rows: list[tuple[str, float]], onsets: list[str] | None = None, **changes: object
) -> pd.Series:
    table = first_events(
        visits([("P", date, edss) for date, edss in rows]),
        relapses([("P", onset) for onset in onsets or []]),
        parameters(**changes),
    )
    return table.iloc[0]


def test_an_event_begins_at_the_first_of_the_worse_scores_and_is_confirmed_180_days_on():
    at_179 = [("2000-01-01", 2.0), ("2001-01-01", 3.0), ("2001-06-29", 3.0)]
    assert first_event(at_179)["EVENT"] == 0
    row = first_event([*at_179, ("2001-06-30", 3.5), ("2002-01-01", 2.0)])
    assert (row["EVENT"], row["ONSET_EDSS"], row["DAYS_SUSTAINED"]) == (1, 3.0, 180)
    assert row["ONSET_DATE"] == pd.Timestamp("2001-01-01")
    assert row["CONFIRMATION_DATE"] == row["LAST_CONFIRMING_DATE"] == pd.Timestamp("2001-06-30")
    # The last visit is not worse: confirmed, and not sustained.
    assert (
        first_event([*at_179, ("2001-06-30", 3.5), ("2002-01-01", 2.0)], sustained=True)["EVENT"]
        == 0
    )


def test_one_score_that_is_not_worse_ends_it_also_at_relapse_time():
    rows = [("2000-01-01", 2.0), ("2001-01-01", 3.0), ("2001-03-01", 2.5), ("2001-09-01", 3.0)]
    assert first_event(rows)["EVENT"] == 0
    assert first_event(rows, ["2001-02-20"])["EVENT"] == 0
    row = first_event([*rows, ("2002-09-01", 3.0)])
    assert row["ONSET_DATE"] == pd.Timestamp("2001-09-01")


def test_a_score_at_relapse_time_opens_an_event_and_confirms_none():
    rows = [("2000-01-01", 2.0), ("2001-01-01", 3.0), ("2001-09-01", 3.0)]
    assert first_event(rows, ["2000-12-20"])["ONSET_DATE"] == pd.Timestamp("2001-01-01")
    assert first_event(rows, ["2001-08-20"])["EVENT"] == 0
    later = first_event([*rows, ("2002-01-01", 3.0)], ["2001-08-20"])
    assert later["CONFIRMATION_DATE"] == pd.Timestamp("2002-01-01")
    # Day 30 is relapse time, day 31 is not; without exclusion all confirm.
    assert first_event(rows, ["2001-08-02"])["EVENT"] == 0
    assert first_event(rows, ["2001-08-01"])["EVENT"] == 1
    assert first_event(rows, ["2001-08-20"], relapse_exclusion_days=-1)["EVENT"] == 1


def test_the_baseline_is_the_first_score_away_from_a_relapse():
    rows = [("2000-01-01", 5.0), ("2000-03-01", 2.0), ("2001-01-01", 3.0), ("2001-09-01", 3.0)]
    assert first_event(rows)["EVENT"] == 0
    row = first_event(rows, ["1999-12-20"])
    assert (row["BASELINE_EDSS"], row["BASELINE_DATE"]) == (2.0, pd.Timestamp("2000-03-01"))
    assert row["EVENT"] == 1
    nowhere = first_event(rows[:1], ["1999-12-20"])
    assert np.isnan(nowhere["BASELINE_EDSS"])
    assert nowhere["N_EVENTS"] == 0


def test_after_an_event_the_lowest_score_of_its_confirmation_is_the_next_baseline():
    rows = [("2000-01-01", 2.0), ("2001-01-01", 4.0), ("2001-03-01", 3.0), ("2001-09-01", 4.0)]
    # From 3.0, 4.0 is worse again; it is confirmed a year later.
    assert first_event(rows)["N_EVENTS"] == 1
    assert first_event([*rows, ("2002-09-01", 4.0)])["N_EVENTS"] == 2
    # The score that confirms, 180 days on, belongs to the period; the one a day later does not.
    at_180 = [*rows[:2], ("2001-06-30", 3.0), ("2002-01-01", 4.0), ("2002-09-01", 4.0)]
    assert first_event(at_180)["N_EVENTS"] == 2
    at_180[2] = ("2001-07-01", 3.0)
    assert first_event(at_180)["N_EVENTS"] == 1
    # Without the dip the next baseline is 4.0.
    del rows[2]
    assert first_event([*rows, ("2002-09-01", 4.0)])["N_EVENTS"] == 1


def label(
    baseline: float,
    later: list[tuple[str, float]],
    onsets: list[str] | None = None,
    **changes: object,
) -> tuple[float, str]:
    """Event label of the third of three visits at the same baseline, on 2001-01-01, and reason."""
    rows = [("P", date, baseline) for date in ("2000-01-01", "2000-07-01", "2001-01-01")]
    days = visit_days(visits(rows + [("P", date, edss) for date, edss in later]), pd.Index(["P"]))
    table = relapses([("P", onset) for onset in onsets or []])
    keys = event_keys(table["PATIENT_ID"], table["DATE_OF_ONSET"], days.patients)
    row = event_days(days, keys, parameters(**changes)).iloc[2]
    return row["label"], row["reason"]


# t0 + 730 days is 2003-01-01.
def test_an_onset_up_to_the_horizon_counts_and_one_after_it_does_not():
    assert label(2.0, [("2003-01-01", 3.0), ("2003-09-01", 3.0)])[0] == 1
    assert label(2.0, [("2003-01-02", 3.0), ("2003-09-01", 3.0)])[0] == 0
    assert label(2.0, [("2003-01-02", 3.0), ("2003-09-01", 3.0)], horizon_days=731)[0] == 1


def test_no_worsening_needs_an_edss_at_or_after_the_horizon():
    assert label(2.0, [("2003-01-01", 2.0)])[0] == 0
    assert label(2.0, [("2002-12-31", 2.0)])[1] == "no_edss_after_horizon"
    # An event is known as soon as it is confirmed.
    assert label(2.0, [("2001-06-01", 3.0), ("2001-12-01", 3.0)])[0] == 1


def test_worse_up_to_the_last_visit_without_confirmation_is_no_label():
    assert label(2.0, [("2002-12-01", 3.0)])[1] == "unconfirmed_at_end"
    assert label(2.0, [("2002-12-01", 3.0), ("2003-02-01", 3.0)])[1] == "unconfirmed_at_end"
    # The score that could confirm lies at relapse time.
    late = [("2002-12-01", 3.0), ("2003-09-01", 3.0)]
    assert label(2.0, late, ["2003-08-30"])[1] == "unconfirmed_at_end"
    # Refuted by a later score, and beyond the horizon.
    assert label(2.0, [*late[:1], ("2003-02-01", 2.0)])[0] == 0


def test_worse_once_and_confirmed_later_in_the_horizon_is_a_worsening():
    rows = [("2001-06-01", 3.0), ("2001-08-01", 2.0), ("2002-06-01", 3.0), ("2003-01-01", 3.0)]
    assert label(2.0, rows)[0] == 1


def test_sustained_needs_the_last_visit():
    rows = [("2002-01-01", 3.0), ("2002-09-01", 3.0), ("2004-01-01", 2.0)]
    assert label(2.0, rows)[0] == 1
    assert label(2.0, rows, sustained=True)[0] == 0
    assert label(2.0, rows[:2], sustained=True)[0] == 1
    assert label(2.0, rows[:2], ["2002-08-30"], sustained=True)[1] == "unconfirmed_at_end"


def test_history_and_baseline_are_shared_with_the_other_outcome():
    rows = [("2003-01-01", 3.0), ("2003-09-01", 3.0)]
    assert label(2.0, rows, minimum_edss=4)[1] == "history"
    assert label(2.0, rows, ["2000-12-25"], baseline_away_from_relapse=True)[1] == (
        "baseline_at_relapse"
    )
    assert label(2.0, rows, ["2000-12-25"])[0] == 1
    assert label(0.0, [("2003-01-01", 1.0), ("2003-09-01", 1.0)])[0] == 0
    assert label(0.0, [("2003-01-01", 1.0), ("2003-09-01", 1.0)], rule="two_strata")[0] == 1


def test_several_scores_of_a_day_are_the_lowest_in_an_episode_and_rows_in_a_first_event():
    rows = [("2003-01-01", 3.0), ("2003-01-01", 2.0), ("2003-09-01", 3.0)]
    assert label(2.0, rows)[0] == 0
    as_rows = [("2000-01-01", 2.0), ("2003-01-01", 2.0), ("2003-01-01", 3.0), ("2003-09-01", 3.0)]
    assert first_event(as_rows)["EVENT"] == 1


def test_every_reason_stands_in_the_attrition_of_the_event():
    history = [("2000-01-01", 2.0), ("2000-07-01", 2.0), ("2001-01-01", 2.0)]
    later = {
        "kept": [("2003-01-01", 2.0)],
        "pending": [("2003-01-01", 3.0)],
        "gone": [("2001-03-01", 2.0)],
    }
    rows = [(who, *row) for who, more in later.items() for row in history + more]
    cohort = build_episodes(registry(list(later), visits(rows)), parameters(**EVENT))
    assert cohort.episodes["episode_id"].tolist() == ["kept@2001-01-01"]
    dropped = cohort.attrition.set_index("reason")["episodes_dropped"]
    # The last visits of kept and of gone have no follow-up; those of pending too.
    assert dropped[EVENT_REASONS["no_edss_after_horizon"]] == 4
    assert dropped[EVENT_REASONS["unconfirmed_at_end"]] == 1


Row = tuple[pd.Timestamp, float, bool]


def threshold_of(baseline: float, choice: CohortParameters) -> float:
    if baseline == 0 and choice.rule == "three_strata":
        return 1.5
    return baseline + (1.0 if baseline <= 5.5 else 0.5)


def clean(date: pd.Timestamp, onsets: list[pd.Timestamp], choice: CohortParameters) -> bool:
    return not any(0 <= (date - o).days <= choice.relapse_exclusion_days for o in onsets)


def follow(
    rows: list[Row], onset: int, threshold: float, choice: CohortParameters
) -> tuple[list[int], bool]:
    """Rows that confirm an onset, and whether the worsening goes on to the end of the record."""
    confirming = []
    for i in range(onset + 1, len(rows)):
        date, edss, away = rows[i]
        if edss < threshold:
            return ([] if choice.sustained else confirming), False
        if away and (date - rows[onset][0]).days >= choice.confirmation_days:
            confirming.append(i)
    if choice.sustained and not (confirming and rows[confirming[-1]][0] == rows[-1][0]):
        confirming = []
    return confirming, True


def label_slowly(rows: list[Row], t0: int, choice: CohortParameters) -> list[object]:
    """[label, worsening date, confirmation date, reason] of one anchor, by the definition."""
    date, baseline, away = rows[t0]
    window = choice.observation_window_days
    if sum(0 <= (date - d).days <= window for d, _, _ in rows) < choice.minimum_edss:
        return [np.nan, pd.NaT, pd.NaT, "history"]
    if choice.baseline_away_from_relapse and not away:
        return [np.nan, pd.NaT, pd.NaT, "baseline_at_relapse"]
    threshold, pending = threshold_of(baseline, choice), False
    for i in range(t0 + 1, len(rows)):
        if (rows[i][0] - date).days > choice.horizon_days or rows[i][1] < threshold:
            continue
        confirming, goes_on = follow(rows, i, threshold, choice)
        if confirming:
            return [1.0, rows[i][0], rows[confirming[0]][0], None]
        pending |= goes_on
    if pending:
        return [np.nan, pd.NaT, pd.NaT, "unconfirmed_at_end"]
    if (rows[-1][0] - date).days < choice.horizon_days:
        return [np.nan, pd.NaT, pd.NaT, "no_edss_after_horizon"]
    return [0.0, pd.NaT, pd.NaT, None]


@st.composite
def trajectories(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Visits and relapses of two people whose EDSS stays near one level, so that runs are long."""
    rows, onsets = [], []
    for patient in ("A", "B"):
        level = draw(st.sampled_from([0.0, 2.0, 5.0, 6.0, 9.0]))
        steps = st.tuples(st.integers(1, 400), st.sampled_from([0, 0, 1, 2, 2, 3]))
        day = pd.Timestamp("2000-01-01")
        for gap, up in draw(st.lists(steps, min_size=1, max_size=12)):
            day += pd.Timedelta(days=gap)
            edss = min(level + up / 2, 10.0)
            rows.append((patient, str(day.date()), 0.0 if edss == 0.5 else edss))
        starts = st.lists(st.integers(0, 2500), max_size=4)
        onsets += [
            (patient, str((pd.Timestamp("2000-01-01") + pd.Timedelta(days=d)).date()))
            for d in draw(starts)
        ]
    return visits(rows), relapses(onsets)


choices = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(["three_strata", "two_strata"]),
        "sustained": st.booleans(),
        "baseline_away_from_relapse": st.booleans(),
        "relapse_exclusion_days": st.sampled_from([-1, 0, 30, 200]),
        "confirmation_days": st.sampled_from([0, 90, 180]),
        "horizon_days": st.sampled_from([730, 1460]),
        "minimum_edss": st.sampled_from([1, 3]),
    }
)


@settings(max_examples=examples(150))
@given(tables=trajectories(), changes=choices)
def test_all_at_once_equals_one_by_one(tables, changes):
    visit_table, relapse_table = tables
    choice = parameters(**changes)
    patients = pd.Index(["A", "B"])
    onsets = event_keys(relapse_table["PATIENT_ID"], relapse_table["DATE_OF_ONSET"], patients)
    fast = event_days(visit_days(visit_table, patients), onsets, choice)
    slow, firsts = [], []
    for patient in patients:
        own = visit_table[visit_table["PATIENT_ID"] == patient]
        began = relapse_table.loc[relapse_table["PATIENT_ID"] == patient, "DATE_OF_ONSET"].tolist()
        rows = [
            (date, edss, clean(date, began, choice))
            for date, edss in zip(own["DATE_OF_VISIT"], own["EDSS"], strict=True)
        ]
        slow += [label_slowly(rows, t0, choice) for t0 in range(len(rows))]
        firsts.append([patient, *first_slowly(rows, choice)])
    expected = pd.DataFrame(slow, columns=fast.columns).astype(
        {
            "label": "float64",
            "reason": "str",
            "worsening_date": "datetime64[us]",
            "confirmation_date": "datetime64[us]",
        }
    )
    pd.testing.assert_frame_equal(fast, expected)
    assert set(fast["reason"].dropna()) <= set(EVENT_REASONS)

    events = first_events(visit_table, relapse_table, choice)
    columns = ["PATIENT_ID", "ONSET_DATE", "CONFIRMATION_DATE", "LAST_CONFIRMING_DATE", "N_EVENTS"]
    wanted = pd.DataFrame(firsts, columns=columns).astype(
        dict.fromkeys(columns[1:4], "datetime64[us]")
    )
    pd.testing.assert_frame_equal(events[columns], wanted, check_dtype=False)


def first_slowly(rows: list[Row], choice: CohortParameters) -> list[object]:
    """Onset, confirmation, last confirmation of the first event, and the number of events."""
    found: list[tuple[int, list[int]]] = []
    baseline = next((i for i, row in enumerate(rows) if row[2]), None)
    while baseline is not None:
        threshold = threshold_of(rows[baseline][1], choice)
        for i in range(baseline + 1, len(rows)):
            # Any score away from a relapse can be the last one, however soon it comes.
            if rows[i][1] >= threshold and (c := follow(rows, i, threshold, choice)[0]):
                found.append((i, c))
                break
        else:
            break
        stop = rows[i][0] + pd.Timedelta(days=choice.confirmation_days)
        period = [j for j in range(i, len(rows)) if rows[j][0] <= stop]
        baseline = min(period, key=lambda j: (rows[j][1], j))
    if not found:
        return [pd.NaT, pd.NaT, pd.NaT, 0]
    assert all(a[0] < b[0] for a, b in pairwise(found))
    onset, confirming = found[0]
    return [rows[onset][0], rows[confirming[0]][0], rows[confirming[-1]][0], len(found)]


@settings(max_examples=examples(10))
@given(seed=st.integers(0, 2**32 - 1))
def test_patients_do_not_touch_each_other(seed):
    tables = random_registry(seed, n_patients=4)
    together = first_events(tables.visits, tables.relapses, parameters())
    for patient in together["PATIENT_ID"]:
        own = (t[t["PATIENT_ID"] == patient] for t in (tables.visits, tables.relapses))
        alone = first_events(*own, parameters())
        expected = together[together["PATIENT_ID"] == patient].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected)


def test_tables_without_a_visit_are_survived():
    none = visits([]).astype({"PATIENT_ID": "str"})
    assert first_events(none, relapses([]), parameters()).empty
    days = visit_days(none, pd.Index([], dtype="str"))
    assert event_days(days, np.empty(0, dtype=np.int64), parameters()).empty
