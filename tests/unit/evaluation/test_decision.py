"""Net benefit by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.evaluation.bootstrap import Draws, draw_patients
from ms_pfl.evaluation.curves import decision_curves, net_benefit
from ms_pfl.evaluation.scoring import check_predictions


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
