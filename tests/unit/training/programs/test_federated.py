"""Logistic regression: what sites fit together is what one fits who has all rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from federation_examples import STRATEGIES, tables
from ms_pfl.federation.partitions import POOLED, FederationData, federation_data
from ms_pfl.learning.scaler import Scaler
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome
from paradigm_examples import Study, parameters, same_models

RIDGE = 2.5
PARADIGMS = ("centralized", "local", "federated")


def told(ridge: float = RIDGE) -> TrainingSettings:
    return parameters(
        strategies=STRATEGIES | {"logistic": {"ridge": ridge, "steps": 50, "tolerance": 1e-10}}
    )


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(told=told())


@pytest.fixture(scope="module")
def data() -> FederationData:
    return federation_data(*tables())


def scaler_of(outcome: Outcome, seed: int) -> Scaler:
    return Scaler(*(outcome.models[f"seed={seed}/inputs/{name}"] for name in ("mean", "sd")))


def rows_of(
    data: FederationData, node: str, seed: int, scaler: Scaler
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    train = data.rows(node).client_data(seed).train
    return scaler.apply(train.x).astype(np.float64), train.y


def by_scikit_learn(x: NDArray[np.float64], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Coefficients, the intercept last, with the same ridge."""
    fitted = LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", tol=1e-13).fit(x, y)
    return np.r_[fitted.coef_[0], fitted.intercept_]


def fitted(outcome: Outcome, place: str) -> NDArray[np.float64]:
    return np.r_[outcome.models[f"{place}/coefficients"], outcome.models[f"{place}/intercept"]]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_it_is_the_regression_of_scikit_learn(
    study: Study, data: FederationData, paradigm: str, seed: int
) -> None:
    outcome = study.outcome(paradigm, "logistic")
    scaler = scaler_of(outcome, seed)
    train = np.concatenate([data.rows(c).client_data(seed).train.x for c in data.countries])
    np.testing.assert_allclose(scaler.mean, np.nanmean(train.astype(float), axis=0), rtol=1e-12)
    places = (
        {country: f"seed={seed}/personal/{country}" for country in data.countries}
        if paradigm == "local"
        else {POOLED: f"seed={seed}/shared"}
    )
    for node, place in places.items():
        expected = by_scikit_learn(*rows_of(data, node, seed, scaler))
        np.testing.assert_allclose(fitted(outcome, place), expected, rtol=0, atol=1e-8)


def test_without_a_ridge_it_is_the_maximum_likelihood_of_statsmodels(data: FederationData) -> None:
    outcome = Study(told=told(ridge=0.0)).outcome("federated", "logistic")
    x, y = rows_of(data, POOLED, 0, scaler_of(outcome, 0))
    wide = np.column_stack([x, np.ones(len(x))])
    expected = sm.Logit(y.astype(np.float64), wide).fit(disp=0, tol=1e-14).params
    np.testing.assert_allclose(fitted(outcome, "seed=0/shared"), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_predictions_are_those_of_the_saved_model(
    study: Study, data: FederationData, paradigm: str
) -> None:
    training = Training(paradigm, "logistic")
    outcome = study.outcome(*training)
    bundle = ModelBundle.of(outcome.models, training, study.told, data, "cpu")
    found = outcome.predictions
    for country in data.countries:
        test = data.rows(country).client_data(0).test
        mine = found[
            (found["seed"] == 0) & (found["country"] == country) & (found["split"] == "test")
        ]
        place = "shared" if paradigm != "local" else f"personal/{country}"
        theta = fitted(outcome, f"seed=0/{place}")
        z = scaler_of(outcome, 0).apply(test.x).astype(float) @ theta[:-1] + theta[-1]
        expected = np.sort(1 / (1 + np.exp(-z)))
        np.testing.assert_allclose(np.sort(mine["probability"]), expected, rtol=1e-12)
        np.testing.assert_array_equal(
            np.sort(bundle.predict(0, country, test.x)), np.sort(mine["probability"])
        )


def test_history_counts_the_steps_and_the_last_one_is_selected(study: Study) -> None:
    history = study.outcome("federated", "logistic").history
    for _, rows in history.groupby("seed"):
        last = rows["round"].max()
        assert 3 < last < 50
        assert sorted(set(rows["round"])) == list(range(1, last + 1))
        assert set(rows.loc[rows["selected"], "round"]) == {last}
        losses = rows.groupby("round")["train_loss"].first()
        assert losses.iloc[0] == pytest.approx(np.log(2), rel=1e-12)
        assert losses.iloc[-1] < losses.iloc[0]
        # gradient, Hessian, loss and rows: 4 + 16 + 1 + 1 numbers of 128 bits, each array with its
        # header; the first step needs the sums of the model that it begins with too
        answer = 16 * (4 + 16 + 1 + 1) + 4 * 128
        sent = rows.groupby("round")["bytes_up"].first().tolist()
        assert sent == [2 * answer, *[answer] * (last - 1)]


def test_the_order_of_rows_and_countries_changes_nothing(study: Study) -> None:
    episodes, splits = tables()
    mixed = Study(
        told=study.told,
        tables=(episodes.sample(frac=1, random_state=0), splits.sample(frac=1, random_state=0)),
    )
    a, b = (s.outcome("federated", "logistic") for s in (study, mixed))
    pd.testing.assert_frame_equal(a.predictions, b.predictions, check_exact=True)
    assert same_models(a, b)
