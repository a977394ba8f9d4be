"""What a predictor says of rows, worked out by hand on logistic regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ms_pfl.prediction.risks import risks
from prediction_examples import logistic_predictor, logistic_rows


def sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def ask(rows: pd.DataFrame, *, drivers: bool = True) -> pd.DataFrame:
    x = rows[["x", "y"]].to_numpy(dtype=np.float32)
    return risks(logistic_predictor(), rows["country"], x, drivers=drivers)


def test_the_country_decides_on_the_model_and_the_seeds_make_the_range() -> None:
    found = ask(logistic_rows())
    assert found["model"].tolist() == [
        "personal of Belgium",
        "global: Peru took no part in training",
        "personal of Belgium",
    ]
    # model + intercept, by seed
    first = sigmoid(2 - 1 + 0.5 + 0.5), sigmoid(1 - 1)
    second = sigmoid(-1), sigmoid(-1 + 1)
    third = sigmoid(-2 + 0.5 + 0.5), sigmoid(-1 - 1)
    for i, of_seeds in enumerate((first, second, third)):
        row = found.loc[i, ["risk", "risk_low", "risk_high"]].to_list()
        assert row == pytest.approx([sum(of_seeds) / 2, min(of_seeds), max(of_seeds)], rel=1e-6)


def test_a_group_drives_by_what_its_training_mean_in_its_place_takes_away() -> None:
    found = ask(logistic_rows())
    # mean over the seeds: x (2 + 1) / 2 x', y (-1 + 0) / 2 y'; a group without effect is not named
    assert found["drivers"].tolist() == ["x +1.50; y -0.50", "x -1.00", "x -1.50"]
    assert "drivers" not in ask(logistic_rows(), drivers=False)


def test_rows_and_index_do_not_matter() -> None:
    rows = logistic_rows()
    turned = rows[::-1].set_index(pd.Index([7, 7, 7]))
    pd.testing.assert_frame_equal(ask(turned)[::-1].reset_index(drop=True), ask(rows))
    assert ask(rows[:0]).columns.tolist() == ["model", "risk", "risk_low", "risk_high", "drivers"]


def test_a_country_that_looks_like_one_that_trained_is_told_of() -> None:
    rows = logistic_rows().assign(country=["BELGIUM", "Peru", "Belgium"])
    assert ask(rows)["model"].tolist() == [
        "global: BELGIUM took no part in training (Belgium did)",
        "global: Peru took no part in training",
        "personal of Belgium",
    ]
