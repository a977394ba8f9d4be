"""Odds ratios and bands by hand, and against statsmodels on columns that are made here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import ndtri

from federation_examples import INPUTS, PROTOCOL, STRATEGIES, tables
from ms_pfl.federation.partitions import POOLED, federation_data
from ms_pfl.learning.encoding import CELLS, Kind
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.effects import effects
from ms_pfl.training.bundle import FORMAT, stamp_of
from ms_pfl.training.settings import TrainingSettings
from paradigm_examples import Study, parameters

FEDERATED = Training("federated", "logistic")
LARGEST = float(np.finfo(np.float32).max)
Z = 1.959963984540054
Tables = tuple[pd.DataFrame, pd.DataFrame]


def three_values(seeds: tuple[int, ...] = (0,)) -> Tables:
    """One feature, which is 0, 1, 2 or missing; a value is that of a patient."""
    episodes, splits = tables({"AU": 600}, seeds)
    patient = np.arange(len(episodes)) // 3
    episodes["relapses"] = np.array([0, 1, 2, 2, np.nan], np.float32)[patient // 5 % 5]
    return episodes.drop(columns=["age", "edss"]), splits


def encoded_by_hand(seed: int, theta: list[float], variances: list[float]) -> dict[str, np.ndarray]:
    """Normal scores -1, 0 and 2 of the values 0, 1 and 2; a hinge at 0, halved; levels; missing."""
    edges = np.full((1, CELLS - 1), LARGEST, np.float32)
    edges[0, :3] = [0, 1, 2]
    scores = np.zeros((1, CELLS))
    scores[0, 1:4] = [-1, 0, 2]
    kinds = [Kind.NORMAL_SCORE, Kind.HINGE, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, Kind.MISSING]
    arrays = {
        "inputs/edges": edges,
        "inputs/scores": scores,
        "inputs/kind": np.array(kinds, np.int64),
        "inputs/feature": np.zeros(6, np.int64),
        "inputs/low": np.array([0.0, 0.0, 0.0, 1.0, 2.0, 0.0]),
        "inputs/high": np.array([0.0, 0.0, 1.0, 2.0, LARGEST, 0.0]),
        "inputs/scale": np.array([1.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
        "inputs/means": np.zeros(6),
        "shared/coefficients": np.array(theta[:-1]),
        "shared/intercept": np.array(theta[-1:]),
        "covariance/clustered": np.diag(variances),
    }
    return {f"seed={seed}/{name}": array for name, array in arrays.items()}


def test_all_columns_of_a_feature_by_hand() -> None:
    """2 against 0: 0.5 x 3 + 0.4 x 1 + (0.2 + 0.1); its variance 9 x .01 + .04 + .01 + .02."""
    given = three_values()
    told = parameters(inputs=INPUTS | {"kind": "encoded"})
    models = {
        **encoded_by_hand(
            0, [0.5, 0.4, -0.1, -0.3, 0.2, 0.7, 9.0], [0.01, 0.04, 0.01, 0.03, 0.02, 0.05, 9.0]
        ),
        "format": np.array([FORMAT]),
        "stamp": stamp_of(FEDERATED, federation_data(*given), told),
    }
    ratios, curves = effects(*given, {FEDERATED: models}, told)
    told_of = ratios[["compared", "reference", "value"]].fillna(-1).to_numpy().tolist()
    assert told_of == [
        ["quartiles", 0, 2], ["level", 0, 1], ["level", 0, 2], ["missing", 1, -1],
    ]  # fmt: skip
    # 2 against 0, 1 against 0, 2 against 0, missing against 1
    expected = np.array([1.5 + 0.4 + 0.3, 0.5 - 0.2, 1.5 + 0.4 + 0.3, 0.7 + 0.3])
    np.testing.assert_allclose(ratios["log_odds_ratio"], expected, rtol=1e-12)
    errors = np.sqrt([0.09 + 0.04 + 0.03, 0.01 + 0.04, 0.09 + 0.04 + 0.03, 0.05 + 0.03])
    np.testing.assert_allclose(ratios["standard_error"], errors, rtol=1e-12)
    np.testing.assert_allclose(ratios["odds_ratio"], np.exp(expected), rtol=1e-12)
    np.testing.assert_allclose(ratios["odds_ratio_low"], np.exp(expected - Z * errors))
    np.testing.assert_allclose(ratios["odds_ratio_high"], np.exp(expected + Z * errors))
    assert curves["value"].tolist() == [0, 1, 2]
    assert curves["reference"].tolist() == [1, 1, 1]
    middle, away = np.array([-0.3, 0, 1.0 + 0.4 + 0.5]), Z * np.sqrt([0.05, 0, 0.04 + 0.04 + 0.05])
    np.testing.assert_allclose(curves["log_odds_ratio"], middle, atol=1e-12)
    np.testing.assert_allclose(curves["low"], middle - away, atol=1e-12)
    np.testing.assert_allclose(curves["high"], middle + away, atol=1e-12)
    np.testing.assert_allclose(curves["share"], [0.25, 0.5, 1])
    assert set(ratios["n_seeds"]) == {1}


def test_seeds_are_averaged_and_their_standard_errors_too() -> None:
    given = three_values((0, 1))
    told = parameters(inputs=INPUTS | {"kind": "encoded"})
    none = [0.0] * 4
    models = {
        **encoded_by_hand(0, [0.0, 0.0, 0.0, 0.6, *none[:3]], [0.0, 0.0, 0.0, 0.09, *none[:3]]),
        **encoded_by_hand(1, [0.0, 0.0, 0.0, 0.2, *none[:3]], [0.0, 0.0, 0.0, 0.01, *none[:3]]),
        "format": np.array([FORMAT]),
        "stamp": stamp_of(FEDERATED, federation_data(*given), told),
    }
    ratios, _ = effects(*given, {FEDERATED: models}, told)
    (one,) = ratios[(ratios["compared"] == "level") & (ratios["value"] == 1)].itertuples()
    assert (one.log_odds_ratio, one.n_seeds) == (pytest.approx(0.4), 2)
    assert one.standard_error == pytest.approx(0.2), "the mean of 0.3 and 0.1"


def many_values() -> tuple[TrainingSettings, Tables]:
    """Ages are whole numbers with cells of their own, relapses have levels, some are missing."""
    episodes, splits = tables({"AU": 900, "BE": 1200})
    rng = np.random.default_rng(7)
    episodes["age"] = rng.integers(30, 64, len(episodes)).astype(np.float32)
    episodes["relapses"] = rng.integers(0, 4, len(episodes)).astype(np.float32)
    episodes.loc[rng.random(len(episodes)) < 0.2, "relapses"] = np.nan
    z = np.sin(episodes["age"] / 8) + episodes["relapses"].fillna(2) % 2 + rng.normal(size=2100)
    episodes["label"] = (z + rng.logistic(size=2100) > 0.5).astype(np.int8)
    inputs = INPUTS | {"kind": "encoded", "one_hot": ["relapses"], "knots": 2}
    strategies = STRATEGIES | {"logistic": {"ridge": 0.0, "steps": 100, "tolerance": 1e-10}}
    told = parameters(inputs=inputs, strategies=strategies)
    return told, (episodes.drop(columns="edss"), splits)


def design(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Age: the normal score of its mid-rank, and hinges at the thirds; relapses: four levels.

    Missing is the reference here. The regression's own normal score of relapses and its indicator
    of missing values are sums of these columns.
    """
    held, age = train[:, 0], x[:, [0]]
    rank = (held < age).mean(axis=1) + (held == age).mean(axis=1) / 2
    score = ndtri(np.clip(rank, 0.001, 0.999))
    hinges = [np.maximum(0, score - ndtri(part / 3)) for part in (1, 2)]
    levels = [x[:, 1] == level for level in range(4)]
    return np.column_stack([score, *hinges, *levels, np.ones(len(x))]).astype(float)


def test_bands_are_those_of_statsmodels() -> None:
    """Columns made here, a generalized linear model clustered by patient, and its contrasts."""
    told, given = many_values()
    outcome = Study(told=told, tables=given).outcome(*FEDERATED)
    ratios, curves = effects(*given, {FEDERATED: outcome.models}, told)
    fits = []
    for seed in (0, 1):
        train = federation_data(*given).rows(POOLED).client_data(seed).train
        x = train.x.astype(float)
        model = sm.GLM(train.y, design(x, x), family=sm.families.Binomial())
        grouped = {"groups": train.patients, "use_correction": False}
        fits.append((x, model.fit(cov_type="cluster", cov_kwds=grouped, tol=1e-12)))

    def expected(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean effects and mean standard errors over the two seeds."""
        found = [fit.t_test(design(high, x) - design(low, x)) for x, fit in fits]
        return np.mean([f.effect for f in found], axis=0), np.mean([f.sd for f in found], axis=0)

    def rows(feature: int, values: np.ndarray) -> np.ndarray:
        found = np.tile([45.0, 1.0], (len(values), 1))
        found[:, feature] = values
        return found

    assert len(curves[curves["feature"] == "age"]) > 30
    for feature, name in enumerate(("age", "relapses")):
        own = curves[curves["feature"] == name]
        low, high = (rows(feature, own[side].to_numpy()) for side in ("reference", "value"))
        effect, error = expected(low, high)
        np.testing.assert_allclose(own["log_odds_ratio"], effect, atol=2e-5)
        np.testing.assert_allclose(own["low"], effect - Z * error.ravel(), atol=5e-5)
        np.testing.assert_allclose(own["high"], effect + Z * error.ravel(), atol=5e-5)
        pairs = ratios[ratios["feature"] == name]
        low, high = (rows(feature, pairs[side].to_numpy()) for side in ("reference", "value"))
        effect, error = expected(low, high)
        np.testing.assert_allclose(pairs["log_odds_ratio"], effect, atol=2e-5)
        np.testing.assert_allclose(pairs["standard_error"], error.ravel(), atol=2e-5)
    assert ratios["compared"].tolist() == ["quartiles", "quartiles", *["level"] * 3, "missing"]


def test_features_that_are_missing_at_once_are_compared_once() -> None:
    told, (episodes, splits) = many_values()
    episodes["edss"] = episodes["relapses"] + np.arange(len(episodes)) % 2
    outcome = Study(told=told, tables=(episodes, splits)).outcome(*FEDERATED)
    ratios, _ = effects(episodes, splits, {FEDERATED: outcome.models}, told)
    (missing,) = ratios[ratios["compared"] == "missing"].itertuples()
    assert (missing.feature, missing.n_together) == ("relapses", 2)


@pytest.mark.parametrize(("scaling", "spread"), [("federated", True), ("none", False)])
def test_standard_inputs_by_hand(scaling: str, spread: bool) -> None:
    """The same contrast in units of the feature, whether it was scaled or not."""
    given = three_values()
    told = parameters(inputs=INPUTS, protocol=PROTOCOL | {"scaling": scaling})
    models = {
        "seed=0/shared/coefficients": np.array([0.5]),
        "seed=0/shared/intercept": np.array([2.0]),
        "seed=0/inputs/mean": np.array([1.0]),
        "seed=0/inputs/sd": np.array([4.0]),
        "seed=0/covariance/clustered": np.diag([0.04, 9.0]),
        "format": np.array([FORMAT]),
        "stamp": stamp_of(FEDERATED, federation_data(*given), told),
    }
    ratios, curves = effects(*given, {FEDERATED: models}, told)
    by = 4 if spread else 1
    assert ratios["compared"].tolist() == ["quartiles"], "a missing value is the mean"
    np.testing.assert_allclose(ratios["log_odds_ratio"], [1.0 / by])
    np.testing.assert_allclose(ratios["standard_error"], [0.4 / by])
    np.testing.assert_allclose(curves["log_odds_ratio"], [-0.5 / by, 0, 0.5 / by])


def test_rows_that_each_country_scales_have_no_common_curve() -> None:
    given = three_values()
    told = parameters(inputs=INPUTS, protocol=PROTOCOL | {"scaling": "country"})
    outcome = Study(told=told, tables=given).outcome(*FEDERATED)
    ratios, curves = effects(*given, {FEDERATED: outcome.models}, told)
    assert ratios.empty
    assert curves.empty
    assert {"odds_ratio", "compared"} <= set(ratios.columns)
