"""Saved models predict again what they predicted, and what they make of the features is found."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pytest
from federation_examples import PROTOCOL
from paradigm_examples import Study, parameters

from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.paradigms.attribution import importance
from ms_pfl.paradigms.saved_models import SavedModels

Scaling = Literal["federated", "country", "none"]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


@pytest.fixture(scope="module")
def data(study: Study) -> FederationData:
    return federation_data(*study.tables)


@pytest.mark.parametrize(
    ("paradigm", "strategy"),
    [
        ("centralized", "pooled"),
        ("local", "none"),
        ("federated", "fedavg"),
        ("fine_tuned", "fedavg"),
        ("adaptive", "fedavg"),
    ],
)
def test_saved_models_predict_the_saved_predictions(
    study: Study, data: FederationData, paradigm: str, strategy: str
) -> None:
    outcome = study.outcome(paradigm, strategy)
    saved = SavedModels(outcome.models, study.told.model)
    predictions = outcome.predictions[outcome.predictions["split"] == "test"]
    compared = 0
    for country, rows in data.countries.items():
        for seed in data.seeds:
            test = rows.splits[seed] == 2
            own = predictions[(predictions.country == country) & (predictions.seed == seed)]
            expected = own.set_index("episode_id")["probability"]
            ids = data.ids[country].loc[test, "episode_id"]
            found = saved.predict(seed, country, rows.x[test])
            np.testing.assert_allclose(found, expected[ids], rtol=1e-6)
            compared += len(found)
    assert compared == len(predictions) > 0


@pytest.mark.parametrize("scaling", ["country", "none"])
def test_they_scale_as_they_were_trained(scaling: Scaling) -> None:
    told = parameters(protocol={**PROTOCOL, "scaling": scaling})
    study = Study(told=told)
    outcome, data = study.outcome("federated", "fedavg"), federation_data(*study.tables)
    saved = SavedModels(outcome.models, told.model, scaling)
    country, rows = next(iter(data.countries.items()))
    seed = data.seeds[0]
    test, train = (rows.splits[seed] == code for code in (2, 0))
    own = outcome.predictions.query("split == 'test' and country == @country and seed == @seed")
    expected = own.set_index("episode_id")["probability"][data.ids[country].loc[test, "episode_id"]]
    found = saved.predict(seed, country, rows.x[test], rows.x[train])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if scaling == "country":
        with pytest.raises(InputError, match=r"give them"):
            saved.predict(seed, country, rows.x[test])


def test_what_there_is_no_model_for_is_refused(study: Study, data: FederationData) -> None:
    saved = SavedModels(study.outcome("local", "none").models, study.told.model)
    country, rows = next(iter(data.countries.items()))
    with pytest.raises(InputError, match="hold no seed 99"):
        saved.predict(99, country, rows.x)
    with pytest.raises(InputError, match="no complete network for 'Atlantis'"):
        saved.predict(data.seeds[0], "Atlantis", rows.x)
    with pytest.raises(InputError, match="trained on"):
        saved.predict(data.seeds[0], country, rows.x[:, :-1])
    assert len(saved.predict(data.seeds[0], country, rows.x[:0])) == 0


class OneFeature(SavedModels):
    """A model of one feature: the logit is twice the first column."""

    def __init__(self) -> None:
        pass

    def predict(
        self, seed: int, country: str, x: np.ndarray, train: np.ndarray | None = None
    ) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-2.0 * np.nan_to_num(x[:, 0]))))


def test_importance_by_hand() -> None:
    """Two test episodes: the only permutations keep them or swap them."""
    x = [1.0, -1.0]
    episodes = pd.DataFrame(
        {
            "episode_id": ["train", "a", "b"], "patient_id": ["p", "q", "r"], "country": "X",
            "label": [1, 1, 0], "used": [0.0, *x], "unused": [0.0, 5.0, 7.0],
        }
    )  # fmt: skip
    splits = pd.DataFrame(
        {"patient_id": ["p", "q", "r"], "country": "X", "seed": 0,
         "split": ["train", "test", "test"]}
    )  # fmt: skip
    groups = {"One": ("used",), "Other": ("unused",), "Both": ("used", "unused"), "Not": ("no",)}
    models = {("federated", "fedavg"): OneFeature(), ("adaptive", "fedavg"): OneFeature()}
    table = importance(models, episodes, splits, groups, repeats=8, seed=0)
    assert len(table) == 2 * 8 * 3
    assert set(table["n_episodes"]) == {2}
    right, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))
    swapped = wrong - right
    own = table[table.group == "One"]["increase"]
    assert set(own.round(5)) == {0.0, round(swapped, 5)}
    assert (table[table.group == "Other"]["increase"].abs() < 1e-12).all()
    by_repeat = table.pivot_table(index=["paradigm", "repeat"], columns="group", values="increase")
    np.testing.assert_allclose(by_repeat["One"], by_repeat["Both"])
    # all models see the same permutations
    np.testing.assert_allclose(by_repeat.loc["federated"], by_repeat.loc["adaptive"])
    alone = splits.assign(split=["train", "test", "train"])
    assert importance(models, episodes, alone, groups, 8, 0).empty
