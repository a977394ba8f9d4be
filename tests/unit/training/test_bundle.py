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
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import FORMAT, ModelBundle
from paradigm_examples import ALL, Study, parameters

FIVE = [key for key in ALL if key[1] != "fedprox"]
FEDERATED, LOCAL = Training("federated", "fedavg"), Training("local", "none")
ADAPTIVE, CENTRALIZED = Training("adaptive", "fedavg"), Training("centralized", "pooled")


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def rows_of(data: FederationData, country: str, seed: int, split: str) -> np.ndarray:
    return getattr(data.countries[country].client_data(seed), split).x


def assert_the_same_bits(study: Study, paradigm: str, strategy: str) -> None:
    outcome, episodes = study.outcome(paradigm, strategy), study.tables[0]
    data = federation_data(*study.tables)
    saved = ModelBundle(outcome.models, Training(paradigm, strategy), study.told, data=data)
    assert saved.seeds == (0, 1)
    features = episodes.set_index("episode_id")[FEATURES]
    for (seed, country, _), own in outcome.predictions.groupby(["seed", "country", "split"]):
        x = features.loc[own["episode_id"]].to_numpy(dtype=np.float32)
        found = saved.predict(seed, country, x)
        assert found.dtype == np.float64
        if paradigm == "centralized":  # it predicted all countries' rows in one batch
            np.testing.assert_allclose(found, own["probability"], rtol=1e-6)
        else:
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
    saved = ModelBundle(study.outcome(*ADAPTIVE).models, ADAPTIVE, study.told)
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    saved.predict(0, "BE", np.zeros((2, 3), np.float32))
    assert torch.rand(1) == first


def test_a_shared_model_serves_any_country_and_a_personal_one_its_own(study: Study) -> None:
    rows = np.array([[40, 3, 1], [50, np.nan, 0]], np.float32)
    shared = ModelBundle(study.outcome(*FEDERATED).models, FEDERATED, study.told)
    assert shared.countries(0) == ()
    np.testing.assert_array_equal(shared.predict(0, "Fiji", rows), shared.predict(0, "BE", rows))
    own = ModelBundle(study.outcome(*LOCAL).models, LOCAL, study.told)
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
    saved = ModelBundle(renamed, LOCAL, study.told)
    assert saved.countries(1) == ("AU", "Belgium/Luxembourg", "CZ")
    rows = np.ones((3, 3), np.float32)
    expected = ModelBundle(models, LOCAL, study.told).predict(1, "BE", rows)
    np.testing.assert_array_equal(saved.predict(1, "Belgium/Luxembourg", rows), expected)


def network(**changes: object) -> Mapping[str, object]:
    return settings().model_dump()["network"] | changes


@pytest.mark.parametrize("paradigm", ["federated", "adaptive"])
@pytest.mark.parametrize("change", [{"width": 7}, {"hidden_layers": 2}])
def test_another_network_is_told(study: Study, paradigm: str, change: dict) -> None:
    other = parameters(network=network(**change))
    training = Training(paradigm, "fedavg")
    saved = ModelBundle(study.outcome(*training).models, training, other)
    with pytest.raises(InputError, match="do not fit the model that the section training of"):
        saved.model(0, "AU")


def test_rows_of_another_shape_are_told(study: Study) -> None:
    saved = ModelBundle(study.outcome(*FEDERATED).models, FEDERATED, study.told)
    with pytest.raises(InputError, match=r"shape \(2, 4\), the model needs \(rows, 3\)"):
        saved.predict(0, "AU", np.zeros((2, 4), np.float32))


def test_scaling_by_country_needs_its_training_rows() -> None:
    study = Study(told=parameters(protocol=PROTOCOL | {"scaling": "country"}))
    models = study.outcome("centralized", "pooled").models
    rows = np.zeros((1, 3), np.float32)
    with pytest.raises(InputError, match="give the data that the models were trained on"):
        ModelBundle(models, CENTRALIZED, study.told).predict(0, "AU", rows)
    saved = ModelBundle(models, CENTRALIZED, study.told, data=federation_data(*study.tables))
    with pytest.raises(InputError, match="rows of Fiji are scaled by its own"):
        saved.predict(0, "Fiji", rows)


@pytest.mark.parametrize(("paradigm", "strategy"), FIVE)
def test_models_of_other_splits_or_settings_are_told(
    study: Study, paradigm: str, strategy: str
) -> None:
    models, data = study.outcome(paradigm, strategy).models, federation_data(*study.tables)
    training = Training(paradigm, strategy)
    assert ModelBundle.of(models, training, study.told, data).seeds == (0, 1)
    optimizer = study.told.optimizer.model_dump()
    others = [
        (federation_data(study.tables[0], redrawn(study.tables[1])), study.told, models),
        (data, parameters(optimizer=optimizer | {"learning_rate": 0.03}), models),
        (data, study.told, {name: a for name, a in models.items() if name != "stamp"}),
    ]
    for rows, told, arrays in others:
        with pytest.raises(InputError, match="trained on other data or splits, or with other"):
            ModelBundle.of(arrays, training, told, rows)
    with pytest.raises(InputError, match=f"^there are no models of {training.name}; run the"):
        ModelBundle.of({}, training, study.told, data)


def test_country_rows_are_what_the_table_holds(study: Study) -> None:
    """The arrays that attribution permutes are those of the predictions table."""
    training = Training("fine_tuned", "fedavg")
    data, outcome = federation_data(*study.tables), study.outcome(*training)
    saved = ModelBundle(outcome.models, training, study.told)
    table = outcome.predictions
    for country in data.countries:
        own = table[(table.country == country) & (table.seed == 1) & (table.split == "test")]
        found = saved.predict(1, country, rows_of(data, country, 1, "test"))
        pd.testing.assert_series_equal(
            pd.Series(found, name="probability"), own["probability"].reset_index(drop=True)
        )


def test_models_of_another_format_are_refused(study: Study) -> None:
    """Those of the first version have no number of their format."""
    models = study.outcome(*FEDERATED).models
    assert models["format"].tolist() == [FORMAT]
    first = {name: array for name, array in models.items() if name != "format"}
    for found, arrays in ((1, first), (4, models | {"format": np.array([4])})):
        text = (
            f"the saved models of federated.fedavg have format {found}, and this version reads "
            "format 3; run the training with the present settings first"
        )
        with pytest.raises(InputError, match=f"^{text}$"):
            ModelBundle(arrays, FEDERATED, study.told)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed=x/shared/a": np.zeros(1)}, r"no array is called 'seed=x/shared/a'"),
        ({"a\x1b[2J": np.zeros(1)}, r"no array is called 'a\\\\x1b\[2J'"),
        ({"seed=0/inputs/mean": np.zeros(())}, "seed 0: the arrays of the inputs are neither"),
        ({"seed=0/inputs/sd": np.zeros((2, 2))}, "seed 0: the scaler has no mean and sd of each"),
        ({"seed=7/inputs/sd": np.zeros(3)}, "there is nothing under seed=7/shared"),
    ],
)
def test_damaged_models_are_told_in_one_line(
    study: Study, changed: dict[str, np.ndarray], said: str
) -> None:
    models = study.outcome(*FEDERATED).models | changed
    again = "run the training with the present settings first"
    with pytest.raises(
        InputError, match=f"saved models of federated.fedavg are damaged: {said}.*; {again}$"
    ):
        ModelBundle(models, FEDERATED, study.told).starts()


@pytest.mark.parametrize(
    "key",
    [
        ("private_intercept", "fedavg"),
        ("proximal_copy", "fedavg"),
        ("scaffold", "fedavg"),
        ("centralized", "logistic"),
        ("local", "logistic"),
        ("federated", "logistic"),
        ("fine_tuned", "logistic"),
        ("adaptive", "logistic"),
    ],
)
def test_models_of_further_methods_and_learners_predict_too(
    study: Study, key: tuple[str, str]
) -> None:
    assert_the_same_bits(study, *key)


def test_settings_of_a_single_training_are_those_of_its_models() -> None:
    only = {"federated.fedavg": {"network": {"width": 5}}}
    told = parameters(only=only)
    models = Study(told=told).outcome(*FEDERATED).models
    assert models["seed=0/shared/core.0.weight"].shape == (5, 3)
    rows = np.zeros((1, 3), np.float32)
    assert ModelBundle(models, FEDERATED, told).predict(0, "AU", rows).shape == (1,)
    with pytest.raises(InputError, match="do not fit"):
        ModelBundle(models, FEDERATED, parameters()).predict(0, "AU", rows)
