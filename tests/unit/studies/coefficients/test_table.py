"""Coefficients, standard errors and odds ratios by hand, and on encoded inputs."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from federation_examples import INPUTS, STRATEGIES, tables
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import POOLED, federation_data
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.table import COLUMNS, coefficients
from ms_pfl.training.bundle import FORMAT, ModelBundle, stamp_of
from ms_pfl.training.settings import TrainingSettings
from paradigm_examples import Study, parameters

FEDERATED = Training("federated", "logistic")


def test_scaled_features_by_hand() -> None:
    """Coefficients 0.5, 0 and -1 with the variances 0.04, 0.01 and 0.25, per 10, 2 and 1."""
    episodes, splits = tables(seeds=(0,))
    told = parameters()
    covariance = np.diag([0.04, 0.01, 0.25, 0.09])
    covariance[0, 1] = covariance[1, 0] = 0.005
    models = {
        "seed=0/shared/coefficients": np.array([0.5, 0.0, -1.0]),
        "seed=0/shared/intercept": np.array([2.0]),
        "seed=0/inputs/mean": np.array([40.0, 3.0, 1.0]),
        "seed=0/inputs/sd": np.array([10.0, 2.0, 1.0]),
        "seed=0/covariance/clustered": covariance,
        "format": np.array([FORMAT]),
        "stamp": stamp_of(FEDERATED, federation_data(episodes, splits), told),
    }
    found = coefficients(episodes, splits, {FEDERATED: models}, told)
    assert tuple(found.columns) == COLUMNS
    assert found["column"].tolist() == ["age", "edss", "relapses", "intercept"]
    assert found["estimate"].tolist() == [0.5, 0.0, -1.0, 2.0]
    np.testing.assert_allclose(found["standard_error"], [0.2, 0.1, 0.5, 0.3], rtol=1e-15)
    assert found["compared"].tolist() == [
        "per standard deviation (10)", "per standard deviation (2)", "per standard deviation (1)",
        "",
    ]  # fmt: skip
    z = 1.959963984540054
    np.testing.assert_allclose(found["odds_ratio"][:3], np.exp([0.5, 0, -1]), rtol=1e-14)
    low = np.exp([0.5 - z * 0.2, -z * 0.1, -1 - z * 0.5])
    np.testing.assert_allclose(found["odds_ratio_low"][:3], low, rtol=1e-14)
    np.testing.assert_allclose(found["odds_ratio_high"][:3], np.exp([0.5, 0, -1]) ** 2 / low)
    assert found.loc[3, ["odds_ratio", "odds_ratio_low", "odds_ratio_high"]].isna().all()
    assert set(found["seed"]) == {0}
    assert (found["low"][0], found["high"][0]) == (40.0, 50.0)


def encoded(**change: object) -> tuple[TrainingSettings, tuple[pd.DataFrame, pd.DataFrame]]:
    """Relapses are whole numbers from 0 to 2, at full weight."""
    episodes, splits = tables()
    whole = (np.arange(len(episodes)) % 3).astype(np.float32)
    episodes["relapses"] = np.where(episodes["relapses"].isna(), np.float32(np.nan), whole)
    inputs = INPUTS | {"kind": "encoded", "one_hot": ["relapses"]} | change
    strategies = STRATEGIES | {"logistic": {"ridge": 1.0, "steps": 50, "tolerance": 1e-10}}
    return parameters(inputs=inputs, strategies=strategies), (episodes, splits)


@pytest.mark.parametrize("numbers", ["normal_scores", "standardized"])
def test_levels_are_compared_with_the_lowest_one(numbers: str) -> None:
    """All else equal: the odds ratio is that of two rows, as the saved model predicts them."""
    told, given = encoded(numbers=numbers)
    study = Study(told=told, tables=given)
    outcome = study.outcome(*FEDERATED)
    found = coefficients(*given, {FEDERATED: outcome.models}, told)
    found = found[found["seed"] == 1]
    levels = found[found["kind"] == "level"]
    assert levels["column"].tolist() == ["relapses = 0", "relapses = 1", "relapses = 2"]
    assert levels["compared"].tolist() == ["0 is the reference", "1 against 0", "2 against 0"]
    bundle = ModelBundle.of(outcome.models, FEDERATED, told, federation_data(*given), "cpu")
    rows = np.array([[40, 3, 0], [40, 3, 1], [40, 3, 2]], np.float32)
    z = bundle.model(1, "AU").logits(rows)
    assert math.isnan(levels["odds_ratio"].iloc[0])
    np.testing.assert_allclose(np.log(levels["odds_ratio"].iloc[1:]), z[1:] - z[0], rtol=1e-5)
    (age,) = found[(found["column"] == "age")].itertuples()
    if numbers == "normal_scores":
        train = federation_data(*given).rows(POOLED).client_data(1).train.x[:, 0]
        words = r"(\S+) against (\S+) \(upper against lower quartile\)"
        high, low = map(float, re.fullmatch(words, age.compared).groups())
        assert not np.isin(np.float32([low, high]), train).any(), "no patient's own age"
        # few patients: ten lie between any two ages that are shown
        assert (train <= low).mean() == pytest.approx(0.25, abs=0.2)
        assert (train <= high).mean() == pytest.approx(0.75, abs=0.2)
        z = bundle.model(1, "AU").logits(np.array([[low, 3, 0], [high, 3, 0]], np.float32))
        assert math.log(age.odds_ratio) == pytest.approx(z[1] - z[0], rel=1e-5)
    assert levels["odds_ratio"].iloc[1:].between(
        levels["odds_ratio_low"].iloc[1:], levels["odds_ratio_high"].iloc[1:]
    ).all()  # fmt: skip
    (missing,) = found[found["kind"] == "missing"].itertuples()
    assert missing.column == "relapses missing"
    assert missing.compared == "missing against the median (1)"
    z = bundle.model(1, "AU").logits(np.array([[40, 3, 1], [40, 3, np.nan]], np.float32))
    assert math.log(missing.odds_ratio) == pytest.approx(z[1] - z[0], rel=1e-5)
    errors = np.sqrt(np.diag(outcome.models["seed=1/covariance/clustered"]))
    np.testing.assert_array_equal(found["standard_error"], errors)


def test_pieces_and_knots() -> None:
    told, given = encoded(bins=3, knots=1, one_hot=[])
    outcome = Study(told=told, tables=given).outcome(*FEDERATED)
    found = coefficients(*given, {FEDERATED: outcome.models}, told)
    assert {"hinge", "piece", "normal_score"} <= set(found["kind"])
    hinge = found[found["kind"] == "hinge"].iloc[0]
    assert hinge["odds_ratio"] == pytest.approx(math.exp(0.3 * hinge["estimate"]))
    piece = found[found["kind"] == "piece"].iloc[0]
    assert piece["column"] == f"{piece['feature']} from {piece['low']:.6g} to {piece['high']:.6g}"
    assert found["odds_ratio"].notna().sum() == len(found) - 2, "but the intercepts"


def test_models_of_other_data_are_refused() -> None:
    told, given = encoded()
    outcome = Study(told=told, tables=given).outcome(*FEDERATED)
    with pytest.raises(InputError, match="were trained on other data"):
        coefficients(*tables(), {FEDERATED: outcome.models}, told)
