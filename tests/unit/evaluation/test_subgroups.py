"""Scores within levels against those of their rows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import Draws, draw_patients
from ms_pfl.evaluation.fairness import score_subgroups
from ms_pfl.evaluation.scoring import check_predictions


@pytest.fixture(scope="module")
def test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    return check_predictions(predictions[predictions.paradigm.isin(["local", "federated"])])


@pytest.fixture(scope="module")
def draws(test_rows: pd.DataFrame) -> Draws:
    return draw_patients(test_rows, 100, 0)


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
