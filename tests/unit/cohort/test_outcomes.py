from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pandera.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from cohort_examples import parameters, random_registry, registry, relapses, visits
from hypothesis_profiles import examples
from ms_pfl.cohort.episodes import Cohort, build_episodes
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.outcomes import OUTCOMES, RULES, agreement_of
from ms_pfl.cohort.schemas import Outcomes
from ms_pfl.registry.ingest.tables import RegistryTables

BOTH = pytest.mark.parametrize("outcome", OUTCOMES)
HISTORY = [("2000-01-01", 2.0), ("2000-07-01", 2.0), ("2001-01-01", 2.0)]
#: Worse from 2002-07-01 on; E* of 2001-01-01 is the EDSS of 2003-01-01.
WORSENING = [("2002-07-01", 3.0), ("2003-01-01", 3.0), ("2003-09-01", 3.0)]


def cohort(
    rows: list[tuple[str, float]],
    onsets: list[str] | None = None,
    others: list[str] | None = None,
    **changes: object,
) -> Cohort:
    """P's visits and relapses, and the relapses of Q of the same country, who has no visit."""
    table = [("P", onset) for onset in onsets or []] + [("Q", onset) for onset in others or []]
    tables = registry(
        ["P", "Q"], visits([("P", date, edss) for date, edss in rows]), relapses(table)
    )
    return build_episodes(tables, parameters(**changes))


def first_row(*args: object, **changes: object) -> pd.Series:
    """The episode of 2001-01-01."""
    return cohort(*args, **changes).outcomes.iloc[0]


@BOTH
def test_a_worsening_begins_with_the_run_of_worse_scores(outcome):
    row = first_row(HISTORY + WORSENING, outcome=outcome)
    assert row["episode_id"] == "P@2001-01-01"
    assert (row["label"], row["baseline_edss"]) == (1, 2.0)
    assert row["worsening_date"] == pd.Timestamp("2002-07-01")
    assert (row["state_near_two_years"], row["first_confirmed_event"]) == (1, 1)
    # State: the closing EDSS, more than 180 days after E*; event: the first 180 days on.
    settled = {"state_near_two_years": "2003-09-01", "first_confirmed_event": "2003-01-01"}
    assert row["confirmation_date"] == pd.Timestamp(settled[outcome])


def test_a_score_that_is_not_worse_parts_two_runs():
    rows = [*HISTORY, ("2001-06-01", 4.0), ("2002-01-01", 2.5), *WORSENING]
    row = first_row(rows)
    assert row["worsening_date"] == pd.Timestamp("2002-07-01")
    # A worse score at relapse time belongs to the run although it is not E*.
    rows[4] = ("2002-01-01", 3.0)
    row = first_row(rows, ["2001-12-25"])
    assert row["worsening_date"] == pd.Timestamp("2001-06-01")


@BOTH
@pytest.mark.parametrize(
    ("onset", "association"),
    [
        ("2002-04-01", "PIRA"),  # 91 days before 2002-07-01
        ("2002-04-02", "RAW"),
        ("2002-07-31", "RAW"),
        ("2002-08-01", "PIRA"),  # 31 days after it
    ],
)
def test_pira_and_raw_at_the_edges_of_their_window(outcome, onset, association):
    known = ["1999-01-01"]
    row = first_row(HISTORY + WORSENING, [onset], known, outcome=outcome, relapse_exclusion_days=-1)
    assert row["relapse_association"] == association


def test_the_window_of_pira_is_a_parameter():
    rows, known = HISTORY + WORSENING, ["1999-01-01"]
    before = {"relapse_days_before_worsening": 91}
    assert first_row(rows, ["2002-04-01"], known, **before)["relapse_association"] == "RAW"
    after = {"relapse_days_after_worsening": 31, "relapse_exclusion_days": -1}
    assert first_row(rows, ["2002-08-01"], known, **after)["relapse_association"] == "RAW"


def test_where_relapses_are_not_recorded_nothing_is_pira():
    rows = HISTORY + WORSENING
    assert pd.isna(first_row(rows)["relapse_association"])
    # The country's first relapse must lie before the window, or be the patient's own in it.
    assert pd.isna(first_row(rows, [], ["2002-04-03"])["relapse_association"])
    assert first_row(rows, [], ["2002-04-02"])["relapse_association"] == "PIRA"
    own = first_row(rows, ["2002-05-01"])
    assert own["relapse_association"] == "RAW"


def test_the_relapses_of_another_country_tell_nothing():
    patients = pd.DataFrame({"PATIENT_ID": ["P", "Q"], "country": ["Italy", "Spain"]})
    table = visits([("P", date, edss) for date, edss in HISTORY + WORSENING])
    tables = registry(patients, table, relapses([("Q", "1999-01-01")]))
    assert build_episodes(tables, parameters()).outcomes["relapse_association"].isna().all()


def test_an_episode_without_worsening_has_no_date_and_no_association():
    quiet = [("2003-01-01", 2.0), ("2003-09-01", 2.0)]
    row = first_row(HISTORY + quiet, ["2002-12-01"])
    assert row["label"] == 0
    assert row[["worsening_date", "confirmation_date", "relapse_association"]].isna().all()


def test_the_other_outcome_may_have_no_label_or_another_one():
    # Worse in between, back near two years: an event, and no state.
    passing = [("2001-03-01", 3.0), ("2001-10-01", 3.0), ("2003-01-01", 2.0), ("2003-09-01", 2.0)]
    row = first_row(HISTORY + passing)
    assert (row["label"], row["state_near_two_years"], row["first_confirmed_event"]) == (0, 0, 1)
    # Confirmed early, gone before two years: only the event is known.
    early = [("2001-03-01", 3.0), ("2001-10-01", 3.0)]
    row = first_row(HISTORY + early, outcome="first_confirmed_event")
    assert row["label"] == 1
    assert np.isnan(row["state_near_two_years"])


def test_the_outcome_chooses_the_labels_and_the_episodes():
    tables = random_registry(3, n_patients=60)
    state, event = (
        build_episodes(tables, parameters(outcome=outcome, minimum_edss=1)) for outcome in OUTCOMES
    )
    assert state.episodes["episode_id"].tolist() != event.episodes["episode_id"].tolist()
    both = state.outcomes.merge(event.outcomes, on="episode_id", suffixes=("", "_event"))
    assert len(both) > 20
    # Each says of the other what the other says itself.
    assert (both["first_confirmed_event"] == both["label_event"]).all()
    assert (both["state_near_two_years_event"] == both["label"]).all()


@functools.cache
def slow_change(n_patients: int = 60) -> RegistryTables:
    """People whose EDSS moves half a point at a time, many from 0, with a relapse a year."""
    rng = np.random.default_rng(11)
    rows, onsets = [], []
    for i in range(n_patients):
        days = pd.Timestamp("2000-01-01") + pd.to_timedelta(
            np.cumsum(rng.integers(60, 260, 16)), "D"
        )
        steps = np.maximum(np.cumsum(rng.choice([-1, 0, 0, 1, 1], 16)) + rng.choice([0, 1, 9]), 0)
        edss = np.where(steps == 0, 0.0, np.minimum((steps + 1) / 2, 10.0))
        rows += [(f"P{i}", str(day.date()), e) for day, e in zip(days, edss, strict=True)]
        onsets += [(f"P{i}", f"{year}-{rng.integers(1, 13):02d}-05") for year in range(2000, 2008)]
    return registry([f"P{i}" for i in range(n_patients)], visits(rows), relapses(onsets))


@functools.cache
def slow_labels(outcome: str, **changes: object) -> pd.Series:
    """Labels of these people by episode."""
    episodes = build_episodes(slow_change(), parameters(outcome=outcome, **changes)).episodes
    return episodes.set_index("episode_id")["label"]


#: Settings that only one outcome reads, with a value that changes its labels.
ONLY = {
    "horizon_tolerance_days": ("state_near_two_years", 100),
    "closing_required_below_threshold": ("state_near_two_years", False),
    "sustained": ("first_confirmed_event", True),
}


@pytest.mark.parametrize(
    "changes",
    [
        *({name: value} for name, (_, value) in ONLY.items()),
        {"rule": "two_strata"},
        {"observation_window_days": 400},
        {"minimum_edss": 5},
        {"horizon_days": 600},
        {"confirmation_days": 400},
        {"relapse_exclusion_days": 200},
        {"baseline_away_from_relapse": True},
        {"minimum_gap_days": 200},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_setting_acts_under_the_outcomes_it_is_documented_for(changes):
    (name,) = changes
    acts = {
        outcome: not slow_labels(outcome).equals(slow_labels(outcome, **changes))
        for outcome in OUTCOMES
    }
    expected = dict.fromkeys(OUTCOMES, True)
    if name in ONLY:
        expected = {outcome: outcome == ONLY[name][0] for outcome in OUTCOMES}
    assert acts == expected


@settings(max_examples=examples(10))
@given(seed=st.integers(0, 2**32 - 1), outcome=st.sampled_from(OUTCOMES))
def test_the_outcomes_table_goes_with_the_episodes(seed, outcome):
    tables = random_registry(seed, n_patients=24, n_countries=3)
    choice = parameters(outcome=outcome, minimum_edss=1, horizon_tolerance_days=700)
    result = build_episodes(tables, choice)
    shared = ["episode_id", "patient_id", "country", "t0", "label"]
    pd.testing.assert_frame_equal(
        result.episodes[shared], result.outcomes[shared], check_like=False
    )
    assert (result.outcomes["baseline_edss"] == result.episodes["EDSS_at_0"]).all()
    assert (result.outcomes[outcome] == result.outcomes["label"]).all()
    assert list(result.episodes.columns) == [*shared, *FEATURES]
    Outcomes.validate(result.outcomes)
    onsets = tables.relapses.groupby("PATIENT_ID")["DATE_OF_ONSET"].apply(list)
    for row in result.outcomes[result.outcomes["label"] == 1].itertuples():
        days = [(o - row.worsening_date).days for o in onsets.get(row.patient_id, [])]
        assert (row.relapse_association == "RAW") == any(-90 <= d <= 30 for d in days)


def test_the_schema_refuses_dates_that_do_not_go_with_the_label():
    table = cohort(HISTORY + WORSENING).outcomes
    Outcomes.validate(table)
    for column in ("worsening_date", "confirmation_date"):
        with pytest.raises(pandera.errors.SchemaError):
            Outcomes.validate(table.assign(**{column: pd.Timestamp("2000-12-31")}))
    with pytest.raises(pandera.errors.SchemaError):
        Outcomes.validate(table.assign(label=np.int8(0)))


def test_prevalence_counts_each_outcome_and_rule_on_eligible_visits():
    tables = random_registry(3, n_patients=60)
    chosen = {"outcome": "first_confirmed_event", "rule": "two_strata"}
    table = build_episodes(tables, parameters(**chosen)).prevalence
    assert (table["outcome"] + table["rule"]).is_unique
    assert len(table) == len(OUTCOMES) * len(RULES)
    assert table.loc[0, ["outcome", "rule"]].to_dict() == chosen
    assert table.loc[0, ["agreement", "kappa"]].tolist() == [1.0, 1.0]
    mine = build_episodes(tables, parameters(**chosen)).outcomes.set_index("episode_id")
    for row in table.itertuples():
        own = build_episodes(tables, parameters(outcome=row.outcome, rule=row.rule))
        label = own.outcomes.set_index("episode_id")["label"]
        assert (row.episodes, row.worsened) == (len(label), label.sum())
        assert row.prevalence == pytest.approx(label.mean())
        both = label.index.intersection(mine.index)
        assert row.labelled_under_both == len(both) > 20
        pair = label[both].to_numpy(), mine.loc[both, "label"].to_numpy()
        assert row.agreement == pytest.approx(np.mean(pair[0] == pair[1]))
        assert row.kappa == pytest.approx(cohen_kappa_score(*pair))
        association = own.outcomes["relapse_association"].value_counts()
        assert row.share_pira == pytest.approx(association["PIRA"] / association.sum())


def test_agreement_by_hand_and_where_there_is_nothing_to_agree_on():
    first, second = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 1])
    share, kappa = agreement_of(first, second)
    # 3 of 5 equal; by chance .4 * .4 + .6 * .6 = .52: (.6 - .52) / .48.
    assert (share, kappa) == (pytest.approx(0.6), pytest.approx(1 / 6))
    assert np.isnan(agreement_of(np.empty(0), np.empty(0))).all()
    share, kappa = agreement_of(np.zeros(3), np.zeros(3))
    assert share == 1
    assert np.isnan(kappa)


def test_prevalence_on_the_real_sample(shared_data):
    folder = shared_data("oracles")
    visit_table = pd.read_csv(folder / "sample_visits.csv", parse_dates=["DATE_OF_VISIT"])
    relapse_table = pd.read_csv(folder / "sample_relapses.csv", parse_dates=["DATE_OF_ONSET"])
    tables = registry(sorted(visit_table["PATIENT_ID"].unique()), visit_table, relapse_table)
    table = build_episodes(tables, parameters()).prevalence
    found = table.set_index(["outcome", "rule"])[["episodes", "worsened"]].T.to_dict("list")
    assert found == {
        ("state_near_two_years", "three_strata"): [308, 53],
        ("state_near_two_years", "two_strata"): [308, 54],
        ("first_confirmed_event", "three_strata"): [351, 58],
        ("first_confirmed_event", "two_strata"): [351, 60],
    }
    assert table["agreement"].round(3).tolist() == [1.0, 0.997, 0.922, 0.916]
    assert table["kappa"].round(3).tolist() == [1.0, 0.989, 0.722, 0.704]
