from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_examples import parameters, random_registry, registry, relapses, visits
from hypothesis_profiles import examples
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.worsening import REASONS, label_anchors, minimum_increase

COLUMNS = ["patient_id", "t0", "label", "baseline", "e_star", "e_star_date", "closing_date"]


@pytest.mark.parametrize(("name", "labels"), [("sample", (53, 255, 231)), ("edge", (15, 11, 131))])
def test_golden_labels_are_met_on_every_anchor(shared_data, name, labels):
    folder = shared_data("oracles")
    golden = pd.read_csv(
        folder / f"golden_state2y_{name}.csv", parse_dates=["t0", "E_star_date", "closing_date"]
    ).sort_values(["PATIENT_ID", "t0"], ignore_index=True)
    ours = label_anchors(
        pd.read_csv(folder / f"{name}_visits.csv", parse_dates=["DATE_OF_VISIT"]),
        pd.read_csv(folder / f"{name}_relapses.csv", parse_dates=["DATE_OF_ONSET"]),
        parameters(),
    )
    golden.columns = ours.columns
    pd.testing.assert_frame_equal(ours, golden, check_dtype=False)
    worse, same, none = labels
    assert (ours["label"] == 1).sum() == worse
    assert (ours["label"] == 0).sum() == same
    assert ours["label"].isna().sum() == none


@pytest.mark.parametrize("name", ["sample", "edge"])
def test_golden_labels_come_out_of_the_whole_way_to_episodes(shared_data, name):
    folder = shared_data("oracles")
    golden = pd.read_csv(folder / f"golden_state2y_{name}.csv", parse_dates=["t0"])
    golden = golden.sort_values(["PATIENT_ID", "t0"], ignore_index=True)
    visit_table = pd.read_csv(folder / f"{name}_visits.csv", parse_dates=["DATE_OF_VISIT"])
    relapse_table = pd.read_csv(folder / f"{name}_relapses.csv", parse_dates=["DATE_OF_ONSET"])
    ids = pd.concat([visit_table["PATIENT_ID"], relapse_table["PATIENT_ID"]]).unique()
    # Nothing but the outcome drops an anchor.
    open_wide = parameters(minimum_registry_days=0, minimum_age_years=0, earliest_year=1900)
    tables = registry(sorted(ids), visit_table, relapse_table)
    episodes, attrition, *_ = build_episodes(tables, open_wide)
    labelled = golden[golden["label"].notna()].reset_index(drop=True)
    assert episodes["patient_id"].tolist() == labelled["PATIENT_ID"].tolist()
    assert episodes["t0"].tolist() == labelled["t0"].tolist()
    assert episodes["label"].tolist() == labelled["label"].tolist()
    assert attrition["episodes"].iloc[[0, -1]].tolist() == [len(golden), len(labelled)]
    texts = REASONS | {"history": attrition.set_index("stage").loc["History", "reason"]}
    by_reason = attrition.groupby("reason")["episodes_dropped"].sum()
    expected = golden["reason"].map(texts).value_counts()
    assert by_reason[by_reason > 0].to_dict() == expected.to_dict()


def test_without_need_of_closing_the_sample_gains_37_labels(shared_data):
    folder = shared_data("oracles")
    ours = label_anchors(
        pd.read_csv(folder / "sample_visits.csv", parse_dates=["DATE_OF_VISIT"]),
        pd.read_csv(folder / "sample_relapses.csv", parse_dates=["DATE_OF_ONSET"]),
        parameters(closing_required_below_threshold=False),
    )
    assert (ours["label"] == 1).sum() == 53
    assert (ours["label"] == 0).sum() == 255 + 37
    assert ours["label"].mean() == pytest.approx(0.154, abs=5e-4)


def outcome(
    baseline: float,
    later: list[tuple[str, float]],
    onsets: list[str] | None = None,
    **changes: object,
) -> pd.Series:
    """Outcome of the third of three visits at the same baseline, on 2001-01-01."""
    rows = [("P", date, baseline) for date in ("2000-01-01", "2000-07-01", "2001-01-01")]
    table = label_anchors(
        visits(rows + [("P", date, edss) for date, edss in later]),
        relapses([("P", onset) for onset in onsets or []]),
        parameters(**changes),
    )
    return table[table["t0"] == "2001-01-01"].iloc[0]


# t0 + 730 days is 2003-01-01.
@pytest.mark.parametrize(
    ("rule", "baseline", "later", "label"),
    [
        ("three_strata", 0.0, 1.0, 0),
        ("two_strata", 0.0, 1.0, 1),
        ("three_strata", 0.0, 1.5, 1),
        ("three_strata", 1.0, 2.0, 1),
        ("three_strata", 5.5, 6.0, 0),
        ("three_strata", 5.5, 6.5, 1),
        ("three_strata", 6.0, 6.5, 1),
        ("two_strata", 5.5, 6.0, 0),
        ("two_strata", 6.0, 6.5, 1),
        ("three_strata", 10.0, 10.0, 0),
    ],
)
def test_increase_that_counts(rule, baseline, later, label):
    row = outcome(baseline, [("2003-01-01", later), ("2003-09-01", later)], rule=rule)
    assert row["label"] == label
    assert row["baseline"] == baseline
    assert row["e_star"] == later


def test_rise_at_a_relapse_that_has_gone_at_confirmation_is_no_worsening():
    later = [("2003-01-01", 4.0), ("2003-03-01", 2.0), ("2003-09-01", 2.0)]
    unconfirmed = outcome(2.0, later)
    assert (unconfirmed["label"], unconfirmed["e_star"]) == (0, 4.0)
    with_relapse = outcome(2.0, later, ["2002-12-20"])
    # The score 12 days after the onset does not count: the next nearest is E*.
    assert (with_relapse["label"], with_relapse["e_star"]) == (0, 2.0)
    assert with_relapse["e_star_date"] == pd.Timestamp("2003-03-01")


def test_rise_with_no_later_visit_has_no_label():
    row = outcome(2.0, [("2003-01-01", 3.0)])
    assert np.isnan(row["label"])
    assert row["reason"] == "no_closing_estar_high"


def test_of_two_visits_equally_far_the_lower_edss_counts():
    # 10 days before and after t0 + 730; both are worse, so that E* alone is at stake.
    later = [("2002-12-22", 4.0), ("2003-01-11", 3.5), ("2003-09-01", 4.0)]
    row = outcome(2.0, later)
    assert (row["e_star"], row["e_star_date"]) == (3.5, pd.Timestamp("2003-01-11"))
    row = outcome(2.0, [("2002-12-22", 3.5), ("2003-01-11", 3.5), ("2003-09-01", 4.0)])
    assert row["e_star_date"] == pd.Timestamp("2002-12-22")
    assert row["label"] == 1


def test_closing_edss_lies_later_than_the_confirmation_window():
    at_180, at_181 = "2003-06-30", "2003-07-01"
    assert outcome(2.0, [("2003-01-01", 3.0), (at_180, 3.0)])["reason"] == "no_closing_estar_high"
    row = outcome(2.0, [("2003-01-01", 3.0), (at_181, 3.0)])
    assert (row["label"], row["closing_date"]) == (1, pd.Timestamp(at_181))
    assert outcome(2.0, [("2003-01-01", 3.0), (at_180, 2.5), (at_181, 3.0)])["label"] == 0


def test_relapse_time_is_day_0_to_30():
    later = [("2003-01-01", 3.0), ("2003-09-01", 3.0)]
    for onset, counted in [("2003-01-01", False), ("2002-12-02", False), ("2002-12-01", True)]:
        row = outcome(2.0, later, [onset])
        assert (row["e_star_date"] == pd.Timestamp("2003-01-01")) == counted
    # Day 30 of another patient's relapse is of no concern.
    assert outcome(2.0, later, ["2002-12-02"], relapse_exclusion_days=-1)["label"] == 1


def test_baseline_away_from_relapse_is_a_choice():
    later = [("2003-01-01", 3.0), ("2003-09-01", 3.0)]
    assert outcome(2.0, later, ["2000-12-25"])["label"] == 1
    row = outcome(2.0, later, ["2000-12-25"], baseline_away_from_relapse=True)
    assert row["reason"] == "baseline_at_relapse"


def test_minimum_increase_of_both_rules():
    baseline = np.array([0.0, 1.0, 5.5, 6.0, 9.5])
    assert minimum_increase(baseline, "three_strata").tolist() == [1.5, 1.0, 1.0, 0.5, 0.5]
    assert minimum_increase(baseline, "two_strata").tolist() == [1.0, 1.0, 1.0, 0.5, 0.5]


def label_slowly(
    visit_table: pd.DataFrame, relapse_table: pd.DataFrame, choice: CohortParameters
) -> pd.DataFrame:
    """The definition, visit by visit, over all rows as they are."""
    day = pd.Timedelta(days=1)
    rows = []
    for patient in sorted(visit_table["PATIENT_ID"].unique()):
        own = visit_table[(visit_table["PATIENT_ID"] == patient) & visit_table["EDSS"].notna()]
        scores = list(zip(own["DATE_OF_VISIT"], own["EDSS"], strict=True))
        onsets = list(relapse_table.loc[relapse_table["PATIENT_ID"] == patient, "DATE_OF_ONSET"])

        def near(date, onsets=onsets):
            return any(0 <= (date - o) / day <= choice.relapse_exclusion_days for o in onsets)

        for t0 in sorted({date for date, _ in scores}):
            row = dict.fromkeys(COLUMNS) | {"patient_id": patient, "t0": t0}
            rows.append(row)
            b = row["baseline"] = min(edss for date, edss in scores if date == t0)
            seen = {d for d, _ in scores if 0 <= (t0 - d) / day <= choice.observation_window_days}
            if len(seen) < choice.minimum_edss:
                row["reason"] = "history"
                continue
            if choice.baseline_away_from_relapse and near(t0):
                row["reason"] = "baseline_at_relapse"
                continue

            def off(date, t0=t0):
                return abs((date - t0) / day - choice.horizon_days)

            window = [(d, e) for d, e in scores if off(d) <= choice.horizon_tolerance_days]
            clean = [(d, e) for d, e in window if not near(d)]
            if not clean:
                row["reason"] = "no_estar_only_relapse_time" if window else "no_estar"
                continue
            star_date, star = min(clean, key=lambda s: (off(s[0]), s[1], s[0]))
            row["e_star"], row["e_star_date"] = star, star_date
            if b == 0 and choice.rule == "three_strata":
                threshold = 1.5
            else:
                threshold = b + (1.0 if b <= 5.5 else 0.5)
            after = [(d, e) for d, e in scores if d > star_date and not near(d)]
            closing = [d for d, _ in after if (d - star_date) / day > choice.confirmation_days]
            if not closing:
                if star < threshold and not choice.closing_required_below_threshold:
                    row["label"] = 0
                else:
                    row["reason"] = (
                        "no_closing_estar_low" if star < threshold else "no_closing_estar_high"
                    )
                continue
            row["closing_date"] = min(closing)
            held = all(e >= threshold for d, e in after if d <= row["closing_date"])
            row["label"] = int(star >= threshold and held)
    return pd.DataFrame(rows, columns=[*COLUMNS, "reason"])


@settings(max_examples=examples(20))
@given(
    seed=st.integers(0, 2**32 - 1),
    rule=st.sampled_from(["three_strata", "two_strata"]),
    away=st.booleans(),
    closing=st.booleans(),
    exclusion=st.sampled_from([-1, 0, 30, 200]),
    horizon=st.sampled_from([(730, 365), (720, 360), (420, 60), (90, 0)]),
    confirmation=st.sampled_from([0, 90, 180]),
)
def test_all_at_once_equals_one_by_one(seed, rule, away, closing, exclusion, horizon, confirmation):
    tables = random_registry(seed, n_patients=4)
    choice = parameters(
        rule=rule,
        baseline_away_from_relapse=away,
        closing_required_below_threshold=closing,
        relapse_exclusion_days=exclusion,
        horizon_days=horizon[0],
        horizon_tolerance_days=horizon[1],
        confirmation_days=confirmation,
    )
    fast = label_anchors(tables.visits, tables.relapses, choice)
    slow = label_slowly(tables.visits, tables.relapses, choice)
    for column in ("t0", "e_star_date", "closing_date"):
        slow[column] = slow[column].astype("datetime64[us]")
    slow = slow.astype({"label": "float64", "e_star": "float64", "reason": "str"})
    pd.testing.assert_frame_equal(fast, slow, check_dtype=False)
    assert set(fast["reason"].dropna()) <= set(REASONS)


def test_tables_without_any_relapse_or_visit_are_survived():
    none = visits([])
    assert label_anchors(none.astype({"PATIENT_ID": "str"}), relapses([]), parameters()).empty
    assert outcome(2.0, [("2003-01-01", 3.0), ("2003-09-01", 3.0)])["label"] == 1
