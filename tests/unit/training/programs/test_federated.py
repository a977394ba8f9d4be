"""Logistic regression: what sites fit together is what one fits who has all rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from federation_examples import STRATEGIES, RecordingGrid, tables
from hypothesis_profiles import examples
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import Checkpoints
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.partitions import POOLED, CountryRows, FederationData, federation_data
from ms_pfl.learning.scaler import Scaler
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.programs.federated import fit_together
from ms_pfl.training.resume import UnfinishedTraining
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome
from ms_pfl.training.train import Sites, Task, train
from paradigm_examples import Study, parameters, same_models

RIDGE = 2.5
PARADIGMS = ("centralized", "local", "federated")


def told(ridge: float = RIDGE, **more: object) -> TrainingSettings:
    own = {"ridge": ridge, "steps": 50, "tolerance": 1e-10, "strengths": [1, 100]} | more
    return parameters(strategies=STRATEGIES | {"logistic": own})


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


def by_scikit_learn(
    x: NDArray[np.float64], y: NDArray[np.float32], *, alone: bool = False
) -> NDArray[np.float64]:
    """Coefficients, the intercept last, with the same ridge; ``alone``: and two half rows."""
    weights = np.ones(len(y))
    if alone:
        x, y = np.vstack([x, np.zeros((2, x.shape[1]))]), np.r_[y, 0, 1]
        weights = np.r_[weights, 0.5, 0.5]
    fitted = LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", tol=1e-13).fit(x, y, weights)
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
        expected = by_scikit_learn(*rows_of(data, node, seed, scaler), alone=paradigm == "local")
        np.testing.assert_allclose(fitted(outcome, place), expected, rtol=0, atol=1e-8)


def test_without_a_ridge_it_is_the_maximum_likelihood_of_statsmodels(data: FederationData) -> None:
    outcome = Study(told=told(ridge=0.0)).outcome("federated", "logistic")
    x, y = rows_of(data, POOLED, 0, scaler_of(outcome, 0))
    wide = np.column_stack([x, np.ones(len(x))])
    expected = sm.Logit(y.astype(np.float64), wide).fit(disp=0, tol=1e-14).params
    np.testing.assert_allclose(fitted(outcome, "seed=0/shared"), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("paradigm", ["centralized", "federated"])
def test_standard_errors_are_those_of_statsmodels(paradigm: str, data: FederationData) -> None:
    """Clustered by patient, without statsmodels' correction for few clusters."""
    study = Study(told=told(ridge=0.0))
    outcome = study.outcome(paradigm, "logistic")
    bundle = ModelBundle(outcome.models, Training(paradigm, "logistic"), study.told, "cpu")
    assert list(bundle.covariances()) == [0, 1]
    for seed, found in bundle.covariances().items():
        x, y = rows_of(data, POOLED, seed, scaler_of(outcome, seed))
        patients = np.concatenate(
            [
                data.ids[c]["patient_id"].to_numpy()[data.rows(c).splits[seed] == 0]
                for c in data.countries
            ]
        )
        groups, _ = pd.factorize(patients)
        assert len(y) == 3 * (groups.max() + 1), "three rows a patient"
        wide = np.column_stack([x, np.ones(len(x))])
        expected = sm.GLM(y.astype(np.float64), wide, family=sm.families.Binomial()).fit(
            tol=1e-14,
            maxiter=100,
            cov_type="cluster",
            cov_kwds={"groups": groups, "use_correction": False},
        )
        np.testing.assert_allclose(np.sqrt(np.diag(found)), expected.bse, rtol=1e-6)
        np.testing.assert_allclose(found, expected.cov_params(), rtol=0, atol=1e-7)


def test_standard_errors_of_the_federated_model_are_those_of_the_centralized_one(
    study: Study,
) -> None:
    name = "seed=1/covariance/clustered"
    a, b = (study.outcome(p, "logistic").models[name] for p in ("federated", "centralized"))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    for paradigm in ("local", "adaptive", "fine_tuned"):
        assert not [n for n in study.outcome(paradigm, "logistic").models if "covariance" in n]


@pytest.mark.parametrize("paradigm", [*PARADIGMS, "fine_tuned", "adaptive"])
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
        own = {"local": True, "fine_tuned": True}.get(paradigm, False)
        theta = fitted(outcome, f"seed=0/{f'personal/{country}' if own else 'shared'}")
        if paradigm == "adaptive":
            theta[-1] += outcome.models[f"seed=0/personal/{country}/deviation"][-1]
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
        # header; the first step needs the sums of the model that it begins with too, and after the
        # last one two matrices and the rows are asked for
        answer, errors = 16 * (4 + 16 + 1 + 1) + 4 * 128, 16 * (16 + 16 + 1) + 3 * 128
        sent = rows.groupby("round")["bytes_up"].first().tolist()
        assert sent == [2 * answer, *[answer] * (last - 2), answer + errors]


def differing() -> tuple[pd.DataFrame, pd.DataFrame]:
    """In AU half of those without the outcome have it, in CZ half of those with it have not."""
    episodes, splits = tables()
    turn = episodes.index % 2 == 0
    episodes.loc[turn & (episodes["country"] == "AU"), "label"] = np.int8(1)
    episodes.loc[turn & (episodes["country"] == "CZ"), "label"] = np.int8(0)
    return episodes, splits


def joint_minimum(
    data: FederationData, seed: int, scaler: Scaler, variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients, the intercept, and each country's deviations, all at once by scipy."""
    sites = [rows_of(data, country, seed, scaler) for country in data.countries]
    held = np.flatnonzero(variance)

    def penalized(given: NDArray[np.float64]) -> float:
        theta, own = given[:4], given[4:].reshape(len(sites), len(held))
        loss = RIDGE / 2 * float(theta[:3] @ theta[:3])
        for (x, y), u in zip(sites, own, strict=True):
            whole = theta.copy()
            whole[held] += u
            p = 1 / (1 + np.exp(-(x @ whole[:3] + whole[3])))
            loss -= float(np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)))
            loss += float(np.sum(u**2 / (2 * variance[held])))
        return loss

    start = np.zeros(4 + len(sites) * len(held))
    joint = minimize(penalized, start, method="BFGS", tol=1e-9).x
    own = np.zeros((len(sites), 4))
    own[:, held] = joint[4:].reshape(len(sites), len(held))
    return joint[:4], own


@pytest.mark.parametrize("slopes", [[], ["edss"]])
def test_adaptive_is_a_mixed_model(slopes: list[str]) -> None:
    """With intercepts of the countries' own, and with slopes of a feature too."""
    settings = told(private_slopes=slopes)
    outcome = Study(told=settings, tables=differing()).outcome("adaptive", "logistic")
    data = federation_data(*differing())
    for seed in data.seeds:
        variance = outcome.models[f"seed={seed}/shared/variance"]
        own = [outcome.models[f"seed={seed}/personal/{c}/deviation"] for c in data.countries]
        assert {n for n in outcome.models if n.startswith(f"seed={seed}/personal/")} == {
            f"seed={seed}/personal/{country}/deviation" for country in data.countries
        }
        assert variance[-1] > 0.1, "else nothing is tested"
        assert not variance[[0, 2]].any()
        theta, deviations = joint_minimum(data, seed, scaler_of(outcome, seed), variance)
        found = fitted(outcome, f"seed={seed}/shared")
        np.testing.assert_allclose(found, theta, rtol=0, atol=2e-5)
        np.testing.assert_allclose(own, deviations, rtol=0, atol=2e-5)


def test_a_slope_of_no_feature_is_refused() -> None:
    for setting in ("private_slopes", "private_shapes"):
        with pytest.raises(InputError, match="name 'height', which is no feature; there are: "):
            Study(told=told(**{setting: ["height"]})).outcome("adaptive", "logistic")
    with pytest.raises(ValueError, match="have 'age' twice"):
        told(private_slopes=["age"], private_shapes=["age"])


def test_sites_that_do_not_differ_have_the_federated_model(study: Study) -> None:
    adaptive, federated = (study.outcome(p, "logistic") for p in ("adaptive", "federated"))
    assert adaptive.models["seed=1/shared/variance"].tolist() == [0.0] * 4
    expected = fitted(federated, "seed=1/shared")
    np.testing.assert_allclose(fitted(adaptive, "seed=1/shared"), expected, rtol=0, atol=1e-8)
    a, b = (
        outcome.predictions.query("seed == 1")["probability"] for outcome in (adaptive, federated)
    )
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)


def test_a_deviation_is_in_no_message() -> None:
    """Not as such: the gradient of a site, divided by the variance, is what it is made of."""
    outcome = Study(told=told(), tables=differing()).outcome("adaptive", "logistic")
    data = federation_data(*differing())
    deviation = {
        outcome.models[f"seed=0/personal/{country}/deviation"].tobytes()
        for country in data.countries
    }
    assert np.zeros(4).tobytes() not in deviation
    with RecordingGrid(data, [Node(country, 0) for country in data.countries]) as grid:
        task = Task(
            Training("adaptive", "logistic"),
            Sites(tuple(data.countries), data.features),
            told(),
            "cpu",
            lambda *_: grid,
            lambda _: None,
            (0,),
            lambda seed: Checkpoints(None, f"seed={seed}", 1),
        )
        fit_together(task, grid, 0)
        up = [content for direction, _, content in grid.traffic if direction == "up"]
    names = {n for content in up for record in content.values() for n in record}
    assert not names & {"deviation"}
    assert {"gradient", "hessian", "loss", "n", "square"} <= names
    for content in up:
        for record in content.values():
            for value in record.values():
                assert not hasattr(value, "numpy") or value.numpy().tobytes() not in deviation


@given(places=st.lists(st.integers(0, 4), min_size=24, max_size=24))
@settings(max_examples=examples(15), deadline=None)
def test_for_every_partition_federated_is_centralized(places: list[int]) -> None:
    """Sites of one class and of one row too."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(24, 2)).astype(np.float32)
    y = (np.arange(24) % 3 == 0).astype(np.float32)
    x[:, 0] += y
    countries = {}
    for place in sorted(set(places)):
        mine = np.array(places) == place
        name = "ABCDE"[place]
        n = int(mine.sum())
        countries[name] = CountryRows(name, x[mine], y[mine], {0: np.zeros(n, np.int8)})
    data = FederationData(("a", "b"), (0,), countries, {}, "")
    found = {}
    for paradigm in ("centralized", "federated"):
        (result,) = train(
            Training(paradigm, "logistic"),
            Sites(tuple(data.countries), data.features),
            told(),
            (0,),
            device="cpu",
            open_grid=lambda names, seeds: LocalGrid(
                data, [Node(n, s) for n in names for s in seeds]
            ),
            store=UnfinishedTraining(None),
            report=lambda _: None,
        )
        found[paradigm] = np.r_[result.shared["coefficients"], result.shared["intercept"]]
    np.testing.assert_allclose(found["federated"], found["centralized"], rtol=0, atol=1e-8)
    scaled = (x - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)
    expected = by_scikit_learn(scaled, y)
    np.testing.assert_allclose(found["federated"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("paradigm", ["federated", "fine_tuned", "adaptive"])
def test_the_order_of_rows_and_countries_changes_nothing(study: Study, paradigm: str) -> None:
    episodes, splits = tables()
    mixed = Study(
        told=study.told,
        tables=(episodes.sample(frac=1, random_state=0), splits.sample(frac=1, random_state=0)),
    )
    a, b = (s.outcome(paradigm, "logistic") for s in (study, mixed))
    pd.testing.assert_frame_equal(a.predictions, b.predictions, check_exact=True)
    assert same_models(a, b)
