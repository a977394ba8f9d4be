"""Saved models predict what their training predicted, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch

from federation_examples import FEATURES, PROTOCOL, settings
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import FederationData, federation_data, redrawn
from ms_pfl.training.bundle import SavedModels
from paradigm_examples import ALL, Study, parameters

FIVE = [key for key in ALL if key[1] != "fedprox"]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def rows_of(data: FederationData, country: str, seed: int, split: str) -> np.ndarray:
    return getattr(data.countries[country].client_data(seed), split).x


def assert_the_same_bits(study: Study, paradigm: str, strategy: str) -> None:
    outcome, episodes = study.outcome(paradigm, strategy), study.tables[0]
    saved = SavedModels(outcome.models, study.told, federation_data(*study.tables))
    assert saved.seeds == (0, 1)
    features = episodes.set_index("episode_id")[FEATURES]
    for (seed, country, _), own in outcome.predictions.groupby(["seed", "country", "split"]):
        x = features.loc[own["episode_id"]].to_numpy(dtype=np.float32)
        found = saved.predict(seed, country, x)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, own["probability"])
        np.testing.assert_allclose(
            1 / (1 + np.exp(-saved.model(seed, country).logits(x))), found, rtol=1e-12
        )


@pytest.mark.parametrize(("paradigm", "strategy"), FIVE)
def test_the_predictions_come_back_bit_by_bit(study: Study, paradigm: str, strategy: str) -> None:
    assert_the_same_bits(study, paradigm, strategy)


@pytest.mark.parametrize("scaling", ["none", "country"])
@pytest.mark.parametrize("paradigm", ["centralized", "adaptive"])
def test_with_the_published_scalings_too(scaling: str, paradigm: str) -> None:
    study = Study(told=parameters(protocol=PROTOCOL | {"scaling": scaling}))
    assert_the_same_bits(study, paradigm, "pooled" if paradigm == "centralized" else "fedavg")


def test_personal_arrays_that_were_drawn_anew_are_those_that_predicted() -> None:
    told = parameters(protocol=PROTOCOL | {"personal_arrays": "reset"})
    assert_the_same_bits(Study(told=told), "adaptive", "fedavg")


def test_nothing_random_is_drawn(study: Study) -> None:
    saved = SavedModels(study.outcome("adaptive", "fedavg").models, study.told)
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    saved.predict(0, "BE", np.zeros((2, 3), np.float32))
    assert torch.rand(1) == first


def test_a_shared_model_serves_any_country_and_a_personal_one_its_own(study: Study) -> None:
    rows = np.array([[40, 3, 1], [50, np.nan, 0]], np.float32)
    shared = SavedModels(study.outcome("federated", "fedavg").models, study.told)
    assert shared.countries(0) == ()
    np.testing.assert_array_equal(shared.predict(0, "Fiji", rows), shared.predict(0, "BE", rows))
    own = SavedModels(study.outcome("local", "none").models, study.told)
    assert own.countries(0) == ("AU", "BE", "CZ")
    assert (own.predict(0, "AU", rows) != own.predict(0, "BE", rows)).all()
    with pytest.raises(InputError, match=r"Fiji has no model of its own in seed 0; .*AU, BE, CZ"):
        own.predict(0, "Fiji", rows)
    with pytest.raises(InputError, match="no model of seed 7; trained were: 0, 1"):
        own.predict(7, "AU", rows)
    assert own.predict(0, "AU", rows[:0]).shape == (0,)


def test_a_country_may_have_a_slash_in_its_name(study: Study) -> None:
    models = study.outcome("local", "none").models
    renamed = {name.replace("/BE/", "/Belgium/Luxembourg/"): a for name, a in models.items()}
    saved = SavedModels(renamed, study.told)
    assert saved.countries(1) == ("AU", "Belgium/Luxembourg", "CZ")
    rows = np.ones((3, 3), np.float32)
    expected = SavedModels(models, study.told).predict(1, "BE", rows)
    np.testing.assert_array_equal(saved.predict(1, "Belgium/Luxembourg", rows), expected)


def network(**changes: object) -> Mapping[str, object]:
    return settings().model_dump()["model"] | changes


@pytest.mark.parametrize("paradigm", ["federated", "adaptive"])
@pytest.mark.parametrize("change", [{"width": 7}, {"hidden_layers": 2}])
def test_another_network_is_told(study: Study, paradigm: str, change: dict) -> None:
    other = parameters(model=network(**change))
    saved = SavedModels(study.outcome(paradigm, "fedavg").models, other)
    with pytest.raises(InputError, match="do not fit the network set in parameters model"):
        saved.model(0, "AU")


def test_rows_of_another_shape_are_told(study: Study) -> None:
    saved = SavedModels(study.outcome("federated", "fedavg").models, study.told)
    with pytest.raises(InputError, match=r"shape \(2, 4\), the model needs \(rows, 3\)"):
        saved.predict(0, "AU", np.zeros((2, 4), np.float32))


def test_scaling_by_country_needs_its_training_rows() -> None:
    study = Study(told=parameters(protocol=PROTOCOL | {"scaling": "country"}))
    models = study.outcome("centralized", "pooled").models
    rows = np.zeros((1, 3), np.float32)
    with pytest.raises(InputError, match="give the data that the models were trained on"):
        SavedModels(models, study.told).predict(0, "AU", rows)
    with pytest.raises(InputError, match="rows of Fiji are scaled by its own"):
        SavedModels(models, study.told, federation_data(*study.tables)).predict(0, "Fiji", rows)


@pytest.mark.parametrize(("paradigm", "strategy"), FIVE)
def test_models_of_other_splits_or_settings_are_told(
    study: Study, paradigm: str, strategy: str
) -> None:
    models, data = study.outcome(paradigm, strategy).models, federation_data(*study.tables)
    saved = SavedModels(models, study.told)
    saved.check(paradigm, strategy, data, study.told)
    others = [
        (federation_data(study.tables[0], redrawn(study.tables[1])), study.told, models),
        (data, parameters(training=study.told.training.model_dump() | {"batch_size": 9}), models),
        (data, study.told, {name: a for name, a in models.items() if name != "stamp"}),
    ]
    for rows, told, arrays in others:
        with pytest.raises(InputError, match="trained on other data or splits, or with other"):
            SavedModels(arrays, told).check(paradigm, strategy, rows, told)


def test_country_rows_are_what_the_table_holds(study: Study) -> None:
    """The arrays that attribution permutes are those of the predictions table."""
    data, outcome = federation_data(*study.tables), study.outcome("fine_tuned", "fedavg")
    saved = SavedModels(outcome.models, study.told)
    table = outcome.predictions
    for country in data.countries:
        own = table[(table.country == country) & (table.seed == 1) & (table.split == "test")]
        found = saved.predict(1, country, rows_of(data, country, 1, "test"))
        pd.testing.assert_series_equal(
            pd.Series(found, name="probability"), own["probability"].reset_index(drop=True)
        )
