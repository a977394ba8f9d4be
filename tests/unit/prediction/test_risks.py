"""What a predictor says of rows, worked out by hand on logistic regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.federation.partitions import CountryRows, FederationData
from ms_pfl.learning import logistic
from ms_pfl.learning.learners import LogisticModel
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scaler import Scaler
from ms_pfl.prediction.predictor import Mixture, Predictor
from ms_pfl.prediction.risks import interval, risks
from ms_pfl.training.bundle import SavedModel
from ms_pfl.training.resampling import resample
from prediction_examples import logistic_predictor, logistic_rows, refitted_predictor


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
    assert ask(rows[:0]).columns.tolist() == [
        "model", "risk", "risk_low", "risk_high", "range", "drivers",
    ]  # fmt: skip


def test_a_country_that_looks_like_one_that_trained_is_told_of() -> None:
    rows = logistic_rows().assign(country=["BELGIUM", "Peru", "Belgium"])
    assert ask(rows)["model"].tolist() == [
        "global: BELGIUM took no part in training (Belgium did)",
        "global: Peru took no part in training",
        "personal of Belgium",
    ]


def test_the_range_over_seeds_says_so() -> None:
    assert set(ask(logistic_rows())["range"]) == {"lowest and highest of 2 seeds"}
    made = logistic_predictor()
    weights = {0: made.description.prediction.weights[0]}
    one = made.description.model_copy(
        update={
            "seeds": (0,),
            "intercepts": {0: made.description.intercepts[0]},
            "prediction": made.description.prediction.model_copy(update={"weights": weights}),
        }
    )
    x = logistic_rows()[["x", "y"]].to_numpy(dtype=np.float32)
    found = risks(Predictor(one, made.arrays), logistic_rows()["country"], x, drivers=False)
    assert set(found["range"]) == {"none: one seed"}
    assert (found["risk_low"] == found["risk_high"]).all()


def test_the_interval_is_the_spread_of_the_draws_on_the_log_odds() -> None:
    rows = logistic_rows()
    x = rows[["x", "y"]].to_numpy(dtype=np.float32)
    found = risks(refitted_predictor(), rows["country"], x, drivers=False)
    assert found["model"].tolist() == [
        "global", "global: Peru took no part in training", "global",
    ]  # fmt: skip
    assert set(found["range"]) == {"95 %, bootstrap of training patients (3)"}
    # x' and y' are (1, 1), (1, 0), (-1, 0); t of 2 degrees of freedom is 4.3027
    draws = ((2, 2, 2), (2, 2, 3), (-2, 0, -3))
    for i, (z, of_draws) in enumerate(zip((1.5, 1.0, -0.5), draws, strict=True)):
        half = 4.302653 * float(np.std(of_draws, ddof=1))
        row = found.loc[i, ["risk", "risk_low", "risk_high"]].to_list()
        assert row == pytest.approx([sigmoid(z), sigmoid(z - half), sigmoid(z + half)], rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 50))
def test_an_interval_holds_its_risk(values: list[float], slope: float) -> None:
    risk = np.array(values)
    x = np.float32(values)[:, None]
    scaler = Scaler(np.zeros(1), np.ones(1))
    models = [
        {logistic.COEFFICIENTS: np.array([b]), logistic.INTERCEPT: np.zeros(1)}
        for b in (slope, -slope, 0.3)
    ]
    refits = [Mixture(((1.0, SavedModel(LogisticModel(one), scaler, True)),)) for one in models]
    low, high = interval(risk, refits, x)
    assert (low >= 0).all()
    assert (low <= risk).all()
    assert (risk <= high).all()
    assert (high <= 1).all()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_interval_covers_the_risk_of_the_true_model() -> None:
    """500 registries of three countries, 600 training patients of three rows; 50 draws each."""
    told = LogisticParameters(ridge=1e-3, steps=25, tolerance=1e-8)
    truth = np.array([0.6, -0.4, 0.3])
    asked = np.float32([[0, 0, 0], [1, 1, 1], [-2, 1, 0], [2, -2, 2]])
    true_risk = 1 / (1 + np.exp(-(asked @ truth - 0.8)))
    scaler = Scaler(np.zeros(3), np.ones(3))

    def fitted(data: FederationData) -> Mixture:
        parts = [rows.client_data(0).train for rows in data.countries.values()]
        x = np.concatenate([part.x for part in parts])
        y = np.concatenate([part.y for part in parts])
        *_, (model, _) = logistic.steps(3, lambda held: logistic.sums(held, x, y), told)
        return Mixture(((1.0, SavedModel(LogisticModel(model), scaler, True)),))

    covered = []
    for number in range(500):
        random = np.random.default_rng([2026, number])
        countries = {}
        for name in ("AU", "BE", "CZ"):
            patients = np.repeat(np.arange(200, dtype=np.int32), 3)
            x = random.normal(size=(600, 3)) / 2 + random.normal(size=(200, 3))[patients]
            y = random.random(600) < 1 / (1 + np.exp(-(x @ truth - 0.8)))
            splits = {0: np.zeros(600, np.int8)}
            countries[name] = CountryRows(
                name, x.astype(np.float32), y.astype(np.float32), splits, patients=patients
            )
        data = FederationData(("a", "b", "c"), (0,), countries, {}, "")
        risk = 1 / (1 + np.exp(-fitted(data).logits(asked)))
        draws = [fitted(resample(data, 0, draw)) for draw in range(50)]
        low, high = interval(risk, draws, asked)
        covered.append((low <= true_risk) & (true_risk <= high))
    share = np.mean(covered)
    print(f"covered: {share:.4f}, by row {np.mean(covered, axis=0)}")
    # 500 registries: a share of .95 is off by .01 for each row
    assert 0.93 < share < 0.97
