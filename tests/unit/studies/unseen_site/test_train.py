"""A country that is left out is not there: for the others' model, nor for their scaler."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from federation_examples import FEATURES, STRATEGIES, tables
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import federation_data
from ms_pfl.paradigms import Training
from ms_pfl.studies.parameters import NewCountryParameters
from ms_pfl.studies.unseen_site.train import countries_to_leave_out, leave_one_out
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.simulation import train_tables
from paradigm_examples import Study, compute, parameters

SIZES = (2, 4)
KEY = ["kind", "size", "seed", "country", "patient_id", "episode_id"]
Changed = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


def left_out(
    countries: object = ("BE",), change: Changed | None = None, **protocol: object
) -> pd.DataFrame:
    """The table of the small study, of whose episodes some may be changed first."""
    told = parameters()
    told = told.model_copy(update={"protocol": told.protocol.model_copy(update=protocol)})
    episodes, splits = tables()
    if change is not None:
        episodes = change(episodes, splits)
    study = Study(tables=(episodes, splits), told=told)
    return leave_one_out(
        episodes,
        splits,
        told,
        NewCountryParameters(strategy="fedavg", countries=countries, sizes=SIZES),
        compute(),
        study.outcome("federated", "fedavg").models,
        lambda _: lambda _: None,
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return left_out()


def test_what_a_country_has_on_its_arrival(table: pd.DataFrame) -> None:
    episodes, splits = tables()
    # BE has 20 patients: 12 to train on, 4 to validate, 4 to test
    sizes = table.groupby(["kind", "size"])[["n_patients", "n_validation_patients"]].first()
    assert sizes.loc["global"].to_numpy().tolist() == [[0, 0]]
    for kind in ("personal", "local"):
        told = sizes.loc[kind]
        assert told["n_patients"].to_dict() == {"2": 2, "4": 4, "all": 12}
        # in proportion: 4 x 2 / 12 is .67, 4 x 4 / 12 is 1.33
        assert told["n_validation_patients"].to_dict() == {"2": 1, "4": 1, "all": 4}
    for seed, rows in table.groupby("seed"):
        held_out = splits[(splits["seed"] == seed) & (splits["split"] == "test")]
        wanted = set(
            episodes.loc[episodes["patient_id"].isin(held_out["patient_id"]), "episode_id"]
        )
        wanted = {name for name in wanted if name.startswith("BE")}
        for _, own in rows.groupby(["kind", "size"]):
            assert set(own["episode_id"]) == wanted
            assert len(own) == len(wanted)
    assert not table.duplicated(KEY).any()
    federated = Study().outcome("federated", "fedavg").predictions
    mine = (federated["split"] == "test") & (federated["country"] == "BE")
    there = table[table["kind"] == "took_part"].sort_values(["seed", "episode_id"])
    here = federated[mine].sort_values(["seed", "episode_id"])
    np.testing.assert_allclose(there["probability"], here["probability"], rtol=0, atol=1e-6)
    assert table["probability"].between(0, 1).all()


def test_the_others_model_is_that_of_a_federation_without_the_country(table: pd.DataFrame) -> None:
    episodes, splits = tables()
    training = Training("federated", "fedavg")
    outcome = train_tables(
        training,
        episodes[episodes["country"] != "BE"],
        splits[splits["country"] != "BE"],
        parameters(),
        compute(),
        lambda _: None,
    )
    models = ModelBundle(outcome.models, training, parameters())
    x = episodes.set_index("episode_id")[FEATURES]
    for seed, rows in table[table["kind"] == "global"].groupby("seed"):
        features = x.loc[rows["episode_id"]].to_numpy(np.float32)
        assert models.predict(seed, "BE", features).tolist() == rows["probability"].tolist()


def probabilities(table: pd.DataFrame, kind: str) -> pd.Series:
    return table[table["kind"] == kind].set_index(KEY)["probability"].sort_index()


def test_rows_of_the_country_change_no_bit_of_the_others_model(table: pd.DataFrame) -> None:
    def garbled(episodes: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
        """Other values and labels of BE, but for the features that are predicted from."""
        test = splits[(splits["split"] == "test") & (splits["country"] == "BE")]
        mine = (episodes["country"] == "BE") & ~episodes["patient_id"].isin(test["patient_id"])
        changed = episodes.copy()
        changed.loc[mine, FEATURES] = changed.loc[mine, FEATURES] * 100 + 7
        of_be = changed["country"] == "BE"
        changed.loc[of_be, "label"] = 1 - changed.loc[of_be, "label"]
        return changed

    there = left_out(change=garbled)
    before, after = (probabilities(t, "global") for t in (table, there))
    assert before.tolist() == after.tolist()
    assert (probabilities(table, "local") != probabilities(there, "local")).any()


def test_labels_of_the_test_rows_change_no_prediction(table: pd.DataFrame) -> None:
    def flipped(episodes: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
        always = splits.groupby("patient_id")["split"].agg(set)
        test = always.index[always == {"test"}]
        mine = episodes["patient_id"].isin(test) & (episodes["country"] == "BE")
        return episodes.assign(label=episodes["label"].where(~mine, 1 - episodes["label"]))

    episodes, splits = tables()
    one_seed = splits[splits["seed"] == 0]
    told = parameters()

    def run(change: bool) -> pd.DataFrame:
        own = flipped(episodes, one_seed) if change else episodes
        study = Study(tables=(own, one_seed), told=told)
        return leave_one_out(
            own, one_seed, told,
            NewCountryParameters(strategy="fedavg", countries=("BE",), sizes=SIZES),
            compute(),
            study.outcome("federated", "fedavg").models, lambda _: lambda _: None,
        )  # fmt: skip

    before, after = run(False), run(True)
    assert (before["label"] != after["label"]).all()
    assert before["probability"].tolist() == after["probability"].tolist()


def test_patients_of_a_size_are_among_those_of_a_larger_one() -> None:
    from ms_pfl.studies.unseen_site.train import _arrivals

    data = federation_data(*tables())
    for seed in data.seeds:
        arrivals = list(_arrivals(data, "BE", seed, (2, 4, 7, 50)))
        assert [a.size for a in arrivals] == ["0", "2", "4", "7", "all"], "it has 12"
        for small, large in pairwise(arrivals):
            assert set(small.train) <= set(large.train)
            assert set(small.validation) <= set(large.validation)
        codes = data.rows("BE").splits[seed]
        assert set(arrivals[-1].train) == set(np.flatnonzero(codes == 0))
        assert set(arrivals[-1].validation) == set(np.flatnonzero(codes == 1))
        assert len(arrivals[1].train) == 2 * 3, "three episodes a patient"


def test_the_largest_countries_are_left_out() -> None:
    splits = tables()[1]
    assert countries_to_leave_out(splits, 2) == ["BE", "AU"]
    assert countries_to_leave_out(splits, "all") == ["BE", "AU", "CZ"]
    assert countries_to_leave_out(splits, ["CZ"]) == ["CZ"]
    with pytest.raises(InputError, match=r"'XX' is no country with .*: AU, BE, CZ"):
        countries_to_leave_out(splits, ["XX"])
    with pytest.raises(InputError, match=r"'be' is no .*; did you mean 'BE'\?"):
        countries_to_leave_out(splits, ["be"])
    with pytest.raises(InputError, match="no other to learn from"):
        countries_to_leave_out(splits[splits["country"] == "AU"], 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("scaling", "country"), ("selection", "test")],
)
def test_a_protocol_that_holds_nobody_out_is_refused(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"new_country: with training.protocol.{name}: {value}"):
        left_out(**{name: value})


def test_models_of_other_settings_or_formats_are_refused() -> None:
    episodes, splits = tables()

    def left_out_with(models: dict[str, np.ndarray]) -> None:
        leave_one_out(
            episodes, splits, parameters(),
            NewCountryParameters(strategy="fedavg", countries=1, sizes=SIZES),
            compute(), models, lambda _: lambda _: None,
        )  # fmt: skip

    other = Study(told=parameters(federation={"rounds": 2, "patience": 2, "client_fraction": 1.0}))
    models = other.outcome("federated", "fedavg").models
    with pytest.raises(InputError, match="trained on other data or"):
        left_out_with(models)
    first = {name: array for name, array in models.items() if name != "format"}
    with pytest.raises(InputError, match=r"^the saved models of federated\.fedavg have format 1, "):
        left_out_with(first)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"strategy": "fedsgd"}, "there is no strategy 'fedsgd'"),
        ({"countries": ()}, "name at least one"),
        ({"sizes": (100, 50)}, "each must be larger than"),
        ({"sizes": (0, 50)}, "greater than or equal to 1"),
    ],
)
def test_parameters_that_cannot_be(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NewCountryParameters(
            **({"strategy": "fedavg", "countries": 2, "sizes": (50,)} | changes)  # type: ignore[arg-type]
        )


def test_a_logistic_regression_goes_on_as_one() -> None:
    """The new country's own ridge, and its pull to the others' coefficients."""
    own = {
        "ridge": 1.0, "steps": 50, "tolerance": 1e-10, "local_ridges": [1.0, 10.0],
        "strengths": [1e9],
    }  # fmt: skip
    told = parameters(strategies=STRATEGIES | {"logistic": own})
    asked = NewCountryParameters(strategy="logistic", countries=("BE",), sizes=SIZES)
    table = leave_one_out(
        *tables(),
        told,
        asked,
        compute(),
        Study(told=told).outcome("federated", "logistic").models,
        lambda _: lambda _: None,
    )
    assert set(table["strategy"]) == {"logistic"}
    pulled, others, local = (probabilities(table, k) for k in ("personal", "global", "local"))
    at = ["seed", "country", "patient_id", "episode_id"]
    others = others.droplevel(["kind", "size"])
    for size in ("2", "4", "all"):
        of_size = pulled.xs(size, level="size").droplevel("kind").reindex(others.index)
        np.testing.assert_allclose(of_size, others, rtol=0, atol=1e-6)
        own_model = local.xs(size, level="size").droplevel("kind").reindex(others.index)
        assert own_model.between(1e-3, 1 - 1e-3).all()
        assert np.abs(own_model - others).max() > 0.01
    assert list(others.index.names) == at


def test_boosted_trees_serve_a_country_that_never_took_part() -> None:
    told = parameters()
    table = leave_one_out(
        *tables(),
        told,
        NewCountryParameters(strategy="trees", countries=("BE",), sizes=()),
        compute(),
        Study(told=told).outcome("federated", "trees").models,
        lambda _: lambda _: None,
    )
    assert set(zip(table["kind"], table["size"], strict=True)) == {
        ("took_part", "0"), ("global", "0"), ("personal", "all"), ("local", "all"),
    }  # fmt: skip
    others, all_of_them = probabilities(table, "global"), probabilities(table, "took_part")
    assert (others.to_numpy() != all_of_them.to_numpy()).any()
    assert table["probability"].between(0, 1).all()
