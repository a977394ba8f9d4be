"""Net benefit, fairness, subgroups and curves by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from ms_pfl.cohort.subgroups import AGE_BANDS, COURSES, SEX, TREATMENTS, assign_subgroups
from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import Draws, draw_patients
from ms_pfl.evaluation.checks import check_predictions
from ms_pfl.evaluation.fairness import fairness
from ms_pfl.evaluation.net_benefit import decision_curves, net_benefit
from ms_pfl.evaluation.operating import operating_curves, reliability_bins
from ms_pfl.evaluation.subgroups import score_subgroups


@pytest.fixture(scope="module")
def test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    return check_predictions(predictions[predictions.paradigm.isin(["local", "federated"])])


@pytest.fixture(scope="module")
def draws(test_rows: pd.DataFrame) -> Draws:
    return draw_patients(test_rows, 100, 0)


def test_net_benefit_by_hand() -> None:
    labels, p = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.1, 0.3, 0.25, 0.05])
    # at .25 three are called, one of them rightly: 1/5 - 2/5 * (.25 / .75)
    assert net_benefit(0.25).plain(labels, p) == pytest.approx(1 / 5 - 2 / 5 / 3)
    assert net_benefit(0.5).plain(labels, np.ones(5)) == pytest.approx(2 / 5 - 3 / 5)
    assert net_benefit(0.5).plain(labels, np.zeros(5)) == 0


def test_decision_curves_are_means_of_net_benefit(test_rows: pd.DataFrame, draws: Draws) -> None:
    curves = decision_curves(test_rows, [0.1, 0.4], draws)
    for row in curves[curves.paradigm != "treat_all"].itertuples():
        own = test_rows[(test_rows.paradigm == row.paradigm) & (test_rows.strategy == row.strategy)]
        values = [
            net_benefit(row.threshold).plain(t["label"].to_numpy(), t["probability"].to_numpy())
            for _, t in own.groupby("seed")
        ]
        assert row.net_benefit == pytest.approx(np.mean(values))
        assert row.low <= row.net_benefit <= row.high
    everybody = curves[curves.paradigm == "treat_all"].set_index("threshold")["net_benefit"]
    share = test_rows[test_rows.paradigm == "local"].groupby("seed")["label"].mean().mean()
    assert everybody[0.4] == pytest.approx(share - (1 - share) * 0.4 / 0.6)
    assert len(curves) == (3 + 1) * 2


def test_fairness_by_hand() -> None:
    values = {
        ("federated", "fedavg"): {"A": 0.9, "B": 0.6, "C": 0.7, "D": np.nan},
        ("local", "none"): {"A": 0.8, "B": 0.6, "C": 0.75, "D": 0.5},
    }
    summary = pd.DataFrame(
        [
            (p, s, "country", country, metric, value if metric == "roc_auc" else 1 - value)
            for (p, s), own in values.items()
            for country, value in own.items()
            for metric in ("roc_auc", "brier")
        ],
        columns=["paradigm", "strategy", "scope", "country", "metric", "mean"],
    )
    table = fairness(summary).set_index(["paradigm", "metric"])
    own = table.loc[("federated", "roc_auc")]
    assert own["n_countries"] == 3
    assert (own["worst"], own["worst_country"]) == (0.6, "B")
    assert own["bottom_decile"] == pytest.approx(0.6 + 0.2 * 0.1)
    assert own["sd"] == pytest.approx(np.std([0.9, 0.6, 0.7], ddof=1))
    assert own["share_above_local"] == pytest.approx(1 / 3)
    loss = table.loc[("federated", "brier")]
    assert (loss["worst"], loss["worst_country"]) == (pytest.approx(0.4), "B")
    assert loss["bottom_decile"] == pytest.approx(0.4 - 0.2 * 0.1)
    assert loss["share_above_local"] == pytest.approx(1 / 3)
    assert np.isnan(table.loc[("local", "roc_auc"), "share_above_local"])


def test_subgroups_are_scored_on_their_own_rows(
    test_rows: pd.DataFrame, episodes: pd.DataFrame, draws: Draws
) -> None:
    level = np.where(np.arange(len(episodes)) % 3 == 0, "x", "y").astype(object)
    level[5] = None
    groups = pd.DataFrame(
        {"episode_id": episodes["episode_id"], "Kind": pd.Categorical(level, ["y", "x", "z"])}
    )
    table = score_subgroups(test_rows, groups, draws)
    assert table["level"].unique().tolist() == ["y", "x"]
    merged = test_rows.merge(groups, on="episode_id")
    own = merged[(merged.paradigm == "federated") & (merged.strategy == "fedavg")]
    own = own[own["Kind"] == "x"]
    by_seed = [t for _, t in own.groupby("seed")]
    found = table[(table.paradigm == "federated") & (table.strategy == "fedavg")]
    found = found[found.level == "x"].set_index("metric")
    expected = {
        "roc_auc": np.mean([roc_auc_score(t.label, t.probability) for t in by_seed]),
        "brier": np.mean([brier_score_loss(t.label, t.probability) for t in by_seed]),
        "observed_expected": np.mean([t.label.sum() / t.probability.sum() for t in by_seed]),
    }
    for metric, value in expected.items():
        assert found.loc[metric, "value"] == pytest.approx(value)
        assert found.loc[metric, "low"] < value < found.loc[metric, "high"]
    assert found["n_episodes"].iloc[0] == pytest.approx(np.mean([len(t) for t in by_seed]))
    with pytest.raises(InputError, match="has no row"):
        score_subgroups(test_rows, groups.iloc[:3], draws)
    assert score_subgroups(test_rows, groups[["episode_id"]], draws).empty


def test_a_subgroup_of_few_patients_gets_no_interval(test_rows: pd.DataFrame, draws: Draws) -> None:
    first = test_rows["patient_id"].drop_duplicates().iloc[:9]
    groups = test_rows.drop_duplicates("episode_id")[["episode_id", "patient_id"]]
    rare = groups["patient_id"].isin(first)
    groups = groups[["episode_id"]].assign(Size=np.where(rare, "Rare", "Common"))
    table = score_subgroups(test_rows, groups, draws).set_index("level")
    brier = table[table["metric"] == "brier"]
    assert brier.loc["Rare", "value"].notna().all()
    assert brier.loc["Rare", ["low", "high"]].isna().all(axis=None)
    assert brier.loc["Common", ["low", "high"]].notna().all(axis=None)


def test_subgroups_of_an_episode() -> None:
    nothing = np.nan
    episodes = pd.DataFrame(
        {
            "episode_id": ["a", "b", "c"],
            "SEX_FEMALE": [1.0, 0.0, nothing],
            "AGE_AT_0": [29.99, 50.0, nothing],
            "COURSE_AT_0_RR": [1.0, 0.0, nothing],
            "COURSE_AT_0_SP": [0.0, 1.0, nothing],
            "COURSE_AT_0_PP": [0.0, 0.0, nothing],
            "COURSE_AT_0_OTHER": [0.0, 0.0, nothing],
            "DMT_AT_0_Mild": [0.0, 1.0, nothing],
            "DMT_AT_0_Moderate": [0.0, 0.0, nothing],
            "DMT_AT_0_High": [0.0, 1.0, nothing],
            "DMT_IND_AT_0_High_Induction": [0.0, 0.0, nothing],
        }
    )
    found = assign_subgroups(episodes).set_index("episode_id")
    assert found.loc["a"].tolist() == [SEX[0], AGE_BANDS[0], COURSES[0], TREATMENTS[0]]
    assert found.loc["b"].tolist() == [SEX[1], AGE_BANDS[3], COURSES[1], TREATMENTS[3]]
    assert found.loc["c"].isna().all()
    own_table = episodes[["episode_id"]].assign(cholesterol=1.0)
    assert assign_subgroups(own_table).columns.tolist() == ["episode_id"]


def test_curves_pass_through_what_is_known(test_rows: pd.DataFrame) -> None:
    curves = operating_curves(test_rows)
    own = curves[(curves.paradigm == "local") & (curves.curve == "roc")]
    rows = test_rows[test_rows.paradigm == "local"]
    area = np.trapezoid(own["y"], own["x"])
    expected = np.mean([roc_auc_score(t.label, t.probability) for _, t in rows.groupby("seed")])
    assert area == pytest.approx(expected, abs=0.005)
    pr = curves[(curves.paradigm == "local") & (curves.curve == "pr")]
    share = rows.groupby("seed")["label"].mean().mean()
    assert pr["y"].iloc[-1] == pytest.approx(share, abs=0.02), "at recall 1 all are called"
    perfect = rows.assign(probability=rows["label"].astype(float))
    curves = operating_curves(perfect)
    assert (curves.loc[curves.curve == "pr", "y"] == 1).all()
    one_class = rows.assign(label=0)
    assert operating_curves(one_class).empty


def test_reliability_counts_every_row(test_rows: pd.DataFrame) -> None:
    bins = reliability_bins(test_rows)
    own = bins[bins.paradigm == "local"]
    rows = test_rows[test_rows.paradigm == "local"]
    assert own["n"].sum() == len(rows)
    assert own["observed"] @ own["n"] == pytest.approx(rows["label"].sum())
    assert own["predicted"] @ own["n"] == pytest.approx(rows["probability"].sum())
