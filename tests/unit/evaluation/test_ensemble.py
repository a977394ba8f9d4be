"""The ensemble of a site's candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.ensemble import CANDIDATES, ENSEMBLE, combine_candidates, weigh
from ms_pfl.evaluation.scoring import check_predictions


def test_weights_by_hand_a_patient_counts_once() -> None:
    rows = pd.DataFrame(
        {"country": ["A", "A", "A", "B"], "patient_id": ["p", "p", "q", "p"], "label": [1, 0, 1, 0]}
    )
    risks = np.array([[0.5, 0.5, 0.5, 0.5], [0.9, 0.2, 0.6, 0.9]])
    found = weigh(rows, risks)
    of_p = -(np.log(0.9) + np.log(0.8)) / 2
    ratio = np.exp(-(of_p - np.log(0.6)) + 2 * np.log(2))
    assert found["A"].tolist() == pytest.approx([1 / (1 + ratio), ratio / (1 + ratio)])
    assert found["B"].tolist() == pytest.approx([0.5 / 0.6, 0.1 / 0.6])


def test_an_ensemble_of_each_strategy_is_scored_on_the_same_rows(predictions: pd.DataFrame) -> None:
    found = combine_candidates(predictions.sample(frac=1, random_state=0))
    assert set(found["paradigm"]) == {ENSEMBLE}
    assert set(found["strategy"]) == {"fedavg", "fedprox"}
    check_predictions(pd.concat([predictions, found], ignore_index=True))
    pd.testing.assert_frame_equal(found, combine_candidates(predictions))


def test_equal_weights_are_the_mean_of_logits_where_nothing_is_known(
    predictions: pd.DataFrame,
) -> None:
    country = predictions["country"].iloc[0]
    alone = predictions[
        (predictions["country"] == country)
        & (predictions["split"] == "test")
        & (predictions["strategy"] == "fedavg")
        & (predictions["seed"] == 0)
    ]
    parts = [
        alone[alone["paradigm"] == name].sort_values("episode_id")["probability"].to_numpy()
        for name in CANDIDATES
    ]
    mean = np.mean([np.log(p / (1 - p)) for p in parts], axis=0)
    found = combine_candidates(alone).sort_values("episode_id")
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-mean)))


def test_test_labels_change_nothing(predictions: pd.DataFrame) -> None:
    test = predictions["split"] == "test"
    poisoned = predictions.assign(label=predictions["label"].where(~test, 1 - predictions["label"]))
    np.testing.assert_array_equal(
        combine_candidates(poisoned)["probability"], combine_candidates(predictions)["probability"]
    )


def test_one_candidate_makes_no_ensemble(predictions: pd.DataFrame) -> None:
    alone = predictions[predictions["paradigm"].isin(["federated", "local"])]
    assert combine_candidates(alone).empty
