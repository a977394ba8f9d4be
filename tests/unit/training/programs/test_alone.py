"""Logistic regressions of a country alone: the strength of the penalty is its own choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from federation_examples import STRATEGIES, tables
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.learning.scaler import Scaler
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome
from paradigm_examples import Study, parameters

RIDGES, STRENGTHS = (30.0, 3.0, 0.3), (100.0, 10.0, 1.0, 0.1)
ALONE = "CZ"
"""The country without validation patients."""


def told(**change: Any) -> TrainingSettings:
    own = {
        "ridge": 1.0, "steps": 50, "tolerance": 1e-10, "local_ridges": RIDGES,
        "strengths": STRENGTHS,
    }  # fmt: skip
    return parameters(strategies=STRATEGIES | {"logistic": own | change})


def without_validation() -> tuple[pd.DataFrame, pd.DataFrame]:
    episodes, splits = tables()
    alone = (splits["country"] == ALONE) & (splits["split"] == "validation")
    splits.loc[alone, "split"] = "test"
    return episodes, splits


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(told=told(), tables=without_validation())


@pytest.fixture(scope="module")
def data() -> FederationData:
    return federation_data(*without_validation())


def rows(
    data: FederationData, outcome: Outcome, country: str, split: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scaler = Scaler(*(outcome.models[f"seed=0/inputs/{name}"] for name in ("mean", "sd")))
    found = getattr(data.rows(country).client_data(0), split)
    return scaler.apply(found.x).astype(np.float64), found.y.astype(np.float64)


def log_loss(theta: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    z = x @ theta[:-1] + theta[-1]
    return float(np.mean(np.logaddexp(0, z) - y * z))


def model(outcome: Outcome, place: str) -> NDArray[np.float64]:
    names = ("coefficients", "intercept")
    return np.concatenate([outcome.models[f"seed=0/{place}/{name}"] for name in names])


def assert_chosen(
    outcome: Outcome, data: FederationData, country: str, candidates: list[NDArray[np.float64]],
    first: int,
) -> None:  # fmt: skip
    """The history has a row a candidate, and the best one is the model."""
    history = outcome.history
    mine = history[(history["seed"] == 0) & (history["country"] == country)]
    assert mine["round"].tolist() == list(range(first, first + len(candidates)))
    losses = [log_loss(theta, *rows(data, outcome, country, "train")) for theta in candidates]
    np.testing.assert_allclose(mine["train_loss"], losses, rtol=0, atol=1e-6)
    best = 0
    if country != ALONE:
        scored = [log_loss(t, *rows(data, outcome, country, "validation")) for t in candidates]
        np.testing.assert_allclose(mine["validation_loss"], scored, rtol=0, atol=1e-6)
        best = int(np.argmin(scored))
    assert mine.loc[mine["selected"], "round"].tolist() == [first + best]
    found = model(outcome, f"personal/{country}")
    np.testing.assert_allclose(found, candidates[best], rtol=0, atol=1e-5)


def test_local_chooses_its_ridge(study: Study, data: FederationData) -> None:
    """From the strongest to the weakest; without validation patients the strongest."""
    outcome = study.outcome("local", "logistic")
    for country in data.countries:
        x, y = rows(data, outcome, country, "train")
        wide, weights = np.vstack([x, np.zeros((2, 3))]), np.r_[np.ones(len(y)), 0.5, 0.5]
        candidates = []
        for ridge in RIDGES if country != ALONE else RIDGES[:1]:
            fitted = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-13)
            fitted.fit(wide, np.r_[y, 0, 1], weights)
            candidates.append(np.r_[fitted.coef_[0], fitted.intercept_])
        assert_chosen(outcome, data, country, candidates, first=1)


def test_fine_tuned_chooses_how_far_from_the_federated_model(
    study: Study, data: FederationData
) -> None:
    outcome = study.outcome("fine_tuned", "logistic")
    federated = model(study.outcome("federated", "logistic"), "shared")
    for country in data.countries:
        x, y = rows(data, outcome, country, "train")

        def penalized(theta: NDArray[np.float64], strength: float, x: Any = x, y: Any = y) -> float:
            p = 1 / (1 + np.exp(-(x @ theta[:-1] + theta[-1])))
            loss = -float(np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)))
            return loss + strength / 2 * float(np.sum((theta - federated) ** 2))

        candidates = [federated]
        for strength in STRENGTHS if country != ALONE else ():
            found = minimize(penalized, federated, (strength,), method="BFGS", tol=1e-9)
            candidates.append(found.x)
        assert_chosen(outcome, data, country, candidates, first=0)


def test_with_no_strength_but_the_infinite_one_it_is_the_federated_model() -> None:
    study = Study(told=told(strengths=()))
    federated, own = (study.outcome(name, "logistic") for name in ("federated", "fine_tuned"))
    pd.testing.assert_series_equal(
        federated.predictions["probability"], own.predictions["probability"], check_exact=True
    )
    for seed in (0, 1):
        for country in ("AU", "BE", "CZ"):
            for name in ("coefficients", "intercept"):
                found = own.models[f"seed={seed}/personal/{country}/{name}"]
                assert found.tobytes() == federated.models[f"seed={seed}/shared/{name}"].tobytes()


@pytest.mark.parametrize("paradigm", ["local", "fine_tuned", "adaptive"])
def test_one_class_and_one_row_are_defined(paradigm: str) -> None:
    """In AU nobody has the outcome, and CZ has one row to train on."""
    episodes, splits = tables()
    episodes.loc[episodes["country"] == "AU", "label"] = np.int8(0)
    mine = episodes["country"] == "CZ"
    first = episodes.loc[mine, "patient_id"].iloc[0]
    alone = (splits["country"] == "CZ") & (splits["patient_id"] == first)
    splits.loc[splits["country"] == "CZ", "split"] = "test"
    splits.loc[alone, "split"] = "train"
    episodes = episodes[~mine | (episodes["patient_id"] != first) | episodes.index.isin(
        episodes.index[mine][:1]
    )]  # fmt: skip
    outcome = Study(told=told(), tables=(episodes, splits)).outcome(paradigm, "logistic")
    assert set(outcome.history.loc[outcome.history["country"] == "CZ", "n_train"]) == {1}
    for name, array in outcome.models.items():
        assert np.isfinite(array).all(), name
        if "intercept" in name or "deviation" in name:
            assert np.abs(array).max() < 5, name
    risks = outcome.predictions["probability"]
    assert risks.between(1e-4, 1 - 1e-4).all()
