"""The five paradigms from tables to outcomes, on clients in this process."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from federation_examples import SIZES, tables
from ms_pfl.errors import InputError
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.learning.networks import build_network, set_arrays
from ms_pfl.learning.scoring import logits, probabilities
from ms_pfl.paradigms import Training, trainings
from ms_pfl.training.simulation import train_tables
from paradigm_examples import ALL, HISTORY, Study, compute, parameters, same_models


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


def split_of(seed: int) -> pd.Series:
    splits = tables()[1]
    return splits[splits["seed"] == seed].set_index("patient_id")["split"]


def test_the_table_of_paradigms_names_all_five() -> None:
    assert {paradigm for paradigm, _ in trainings("study")} == {paradigm for paradigm, _ in ALL}


@pytest.mark.parametrize(("paradigm", "strategy"), ALL)
def test_predictions_hold_every_validation_and_test_episode_once_a_seed(
    study: Study, paradigm: str, strategy: str
) -> None:
    found = study.outcome(paradigm, strategy).predictions
    assert list(found.columns) == [
        "paradigm", "strategy", "seed", "country", "patient_id", "episode_id", "split", "label",
        "probability",
    ]  # fmt: skip
    assert found.dtypes.astype(str).to_dict() == dict.fromkeys(found.columns, "str") | {
        "seed": "int64",
        "label": "int8",
        "probability": "float64",
    }
    expected = tables()[0][["country", "patient_id", "episode_id", "label"]].merge(tables()[1])
    expected = expected[expected["split"] != "train"].assign(paradigm=paradigm, strategy=strategy)
    expected = expected.sort_values(["seed", "country", "patient_id", "episode_id"])
    pd.testing.assert_frame_equal(
        found.drop(columns="probability"),
        expected[found.columns.drop("probability")].reset_index(drop=True),
        check_dtype=False,
    )
    assert found["probability"].between(0, 1, inclusive="neither").all()


@pytest.mark.parametrize(("paradigm", "strategy"), ALL)
def test_history_tells_every_round_and_which_was_selected(
    study: Study, paradigm: str, strategy: str
) -> None:
    history = study.outcome(paradigm, strategy).history
    assert list(history.columns) == HISTORY
    assert set(history["country"]) == ({"pooled"} if paradigm == "centralized" else set(SIZES))
    for (seed, country), rows in history.groupby(["seed", "country"]):
        first = 0 if paradigm == "fine_tuned" else 1
        assert rows["round"].tolist() == list(range(first, first + len(rows)))
        assert rows["selected"].sum() == 1
        members = tables()[0].assign(split=lambda t, s=seed: t["patient_id"].map(split_of(s)))
        if country != "pooled":
            members = members[members["country"] == country]
        assert set(rows["n_train"]) == {(members["split"] == "train").sum()}
        assert set(rows["n_validation"]) == {(members["split"] == "validation").sum()}
    # the selected round has the lowest log-loss: of all countries' rows where models are averaged
    groups = ["seed"] if paradigm in ("federated", "adaptive") else ["seed", "country"]
    total = history.assign(sum=history["validation_loss"] * history["n_validation"])
    for _, rows in total.groupby(groups):
        by_round = rows.groupby("round").agg(sum=("sum", "sum"), selected=("selected", "all"))
        assert by_round["sum"].idxmin() == by_round["selected"].idxmax()
    shared = paradigm in ("federated", "adaptive")
    assert (history["bytes_up"] > 0).all() == shared
    assert (history["bytes_down"] > 0).any() == (shared or paradigm == "fine_tuned")


@pytest.mark.parametrize(("paradigm", "strategy"), ALL)
def test_the_saved_models_give_the_predictions(study: Study, paradigm: str, strategy: str) -> None:
    """Rebuilt from the arrays and the scaler alone, as somebody who reads the file would."""
    outcome, (episodes, _) = study.outcome(paradigm, strategy), tables()
    kind = "adaptive" if paradigm == "adaptive" else "mlp"
    for (seed, country), rows in outcome.predictions.groupby(["seed", "country"]):
        prefixes = [f"seed={seed}/shared/", f"seed={seed}/personal/{country}/"]
        arrays = {
            name.removeprefix(prefix): array
            for prefix in prefixes
            for name, array in outcome.models.items()
            if name.startswith(prefix)
        }
        own = episodes[episodes["country"] == country]
        n_train = int((own["patient_id"].map(split_of(int(seed))) == "train").sum())
        model = build_network(kind, 3, study.told.network, n_train, 0)
        assert arrays.keys() == dict(model.named_parameters()).keys()
        set_arrays(model, arrays)
        x = own.set_index("episode_id").loc[rows["episode_id"], ["age", "edss", "relapses"]]
        mean, sd = (outcome.models[f"seed={seed}/inputs/{name}"] for name in ("mean", "sd"))
        scaled = torch.tensor(np.nan_to_num((x.to_numpy(float) - mean) / sd).astype(np.float32))
        found = probabilities(logits(model, scaled))
        np.testing.assert_allclose(found, rows["probability"], rtol=1e-5)


def test_who_keeps_what(study: Study) -> None:
    def parts(paradigm: str, strategy: str) -> set[str]:
        names = study.outcome(paradigm, strategy).models
        return {"/".join(name.split("/")[1:-1]) + ":" + name.split("/")[-1].split(".")[0]
                for name in names}  # fmt: skip

    scaler = {"inputs:mean", "inputs:sd", ":stamp", ":format"}
    mlp, own = {"shared:core", "shared:output"}, {f"personal/{c}" for c in SIZES}
    assert parts("centralized", "pooled") == parts("federated", "fedavg") == mlp | scaler
    personal = {f"{c}:{part}" for c in own for part in ("core", "output")}
    assert parts("local", "none") == parts("fine_tuned", "fedavg") == personal | scaler
    assert parts("adaptive", "fedavg") == mlp | scaler | {"shared:combining"} | {
        f"{c}:extension" for c in own
    }


def test_all_paradigms_scale_alike(study: Study) -> None:
    """The pooled node's scaler is the federated one up to the order of sums."""
    names = [f"seed={seed}/inputs/{part}" for seed in (0, 1) for part in ("mean", "sd")]
    federated = study.outcome("federated", "fedavg").models
    for key in (("centralized", "pooled"), ("local", "none"), ("adaptive", "fedavg")):
        for name in names:
            np.testing.assert_allclose(study.outcome(*key).models[name], federated[name])


def test_strategies_and_seeds_differ(study: Study) -> None:
    a, b = (study.outcome("federated", name).models for name in ("fedavg", "fedprox"))
    assert not np.allclose(a["seed=0/shared/output.weight"], b["seed=0/shared/output.weight"])
    assert not np.allclose(a["seed=0/shared/output.weight"], a["seed=1/shared/output.weight"])


def test_progress_is_reported(study: Study) -> None:
    fresh = Study()
    history = fresh.outcome("federated", "fedavg").history
    for seed in (0, 1):
        reports = [report for report in fresh.reports if report.seed == seed]
        last = int(history.loc[history["seed"] == seed, "round"].max())
        assert [report.round for report in reports] == [*range(last + 1), last]
        assert [report.finished for report in reports] == [False] * (last + 1) + [True]
        assert {report.rounds for report in reports} == {4}


@pytest.mark.parametrize(("paradigm", "strategy"), ALL)
def test_the_same_again_and_rows_in_another_order_change_no_bit(
    study: Study, paradigm: str, strategy: str
) -> None:
    episodes, splits = tables()
    mixed = (episodes.sample(frac=1, random_state=3), splits.sample(frac=1, random_state=4))
    first, again = (
        study.outcome(paradigm, strategy),
        Study(tables=mixed).outcome(paradigm, strategy),
    )
    pd.testing.assert_frame_equal(first.predictions, again.predictions, check_exact=True)
    assert same_models(first, again)


@pytest.mark.parametrize(
    ("paradigm", "strategy"), [key for key in ALL if key[1] != "fedprox" or key[0] == "adaptive"]
)
def test_the_test_split_is_untouched_until_the_end(
    study: Study, paradigm: str, strategy: str
) -> None:
    """Garbage in the test rows changes no model and no validation prediction, only the tests'."""
    episodes, splits = tables(seeds=(0,))
    test = episodes["patient_id"].map(split_of(0)) == "test"
    poisoned = episodes.copy()
    poisoned.loc[test, "age"] = 1e6
    poisoned.loc[test, "edss"] = np.nan
    poisoned.loc[test, "label"] = 1 - poisoned.loc[test, "label"]
    clean = Study(tables=(episodes, splits)).outcome(paradigm, strategy)
    dirty = Study(tables=(poisoned, splits)).outcome(paradigm, strategy)
    assert same_models(clean, dirty)
    columns = [name for name in HISTORY if name != "seconds"]
    pd.testing.assert_frame_equal(clean.history[columns], dirty.history[columns])
    differs = clean.predictions["probability"] != dirty.predictions["probability"]
    assert (differs == (clean.predictions["split"] == "test")).all()


def test_countries_without_validation_or_with_one_class_take_part() -> None:
    episodes, splits = tables()
    episodes.loc[episodes["country"] == "AU", "label"] = np.int8(0)
    alone = (splits["country"] == "CZ") & (splits["split"] == "validation")
    splits.loc[alone, "split"] = "test"
    study = Study(tables=(episodes, splits))
    for key in ALL:
        outcome = study.outcome(*key)
        assert set(outcome.predictions["country"]) == set(SIZES)
        history = outcome.history.set_index("country")
        if key[0] != "centralized":
            assert history.loc["CZ", "validation_loss"].isna().all()
            assert history.loc["AU", "validation_roc_auc"].isna().all()
            assert history.loc["AU", "validation_loss"].notna().all()
    local = study.outcome("local", "none").history
    assert local.loc[local["country"] == "CZ", "round"].max() == 2
    fine_tuned, federated = (study.outcome(p, "fedavg") for p in ("fine_tuned", "federated"))
    at_home = fine_tuned.predictions["country"] == "CZ"
    pd.testing.assert_series_equal(
        fine_tuned.predictions.loc[at_home, "probability"],
        federated.predictions.loc[at_home, "probability"],
    )


@pytest.mark.parametrize(("paradigm", "strategy"), [key for key in ALL if key[1] != "fedprox"])
def test_validation_rows_are_not_trained_on(paradigm: str, strategy: str) -> None:
    """Garbage in the validation rows changes no training loss, no scaler, only the choice.

    With one federated round there is no choice before fine-tuning.
    """
    episodes, splits = tables(seeds=(0,))
    validation = episodes["patient_id"].map(split_of(0)) == "validation"
    poisoned = episodes.copy()
    poisoned.loc[validation, "age"] = 1e4
    poisoned.loc[validation, "edss"] = np.nan
    poisoned.loc[validation, "label"] = 1 - poisoned.loc[validation, "label"]
    told = parameters(
        centralized={"epochs": 5, "patience": 5, "batch_size": 16},
        local={"epochs": 5, "patience": 5, "epochs_without_validation": 1},
        federation={"rounds": 1 if paradigm == "fine_tuned" else 4, "patience": None,
                    "client_fraction": 1.0},
        fine_tuned={"epochs": 5, "patience": 5, "learning_rate_factor": 1.0,
                    "epochs_without_validation": 1},
    )  # fmt: skip
    clean = Study(told=told, tables=(episodes, splits)).outcome(paradigm, strategy)
    dirty = Study(told=told, tables=(poisoned, splits)).outcome(paradigm, strategy)
    assert clean.history["round"].max() >= 4
    same = ["seed", "round", "country", "n_train", "n_validation", "train_loss"]
    pd.testing.assert_frame_equal(clean.history[same], dirty.history[same], check_exact=True)
    assert (clean.history["validation_loss"] != dirty.history["validation_loss"]).all()
    for name in ("mean", "sd"):
        scaler = f"seed=0/inputs/{name}"
        np.testing.assert_array_equal(clean.models[scaler], dirty.models[scaler])


def test_initial_weights_come_from_the_seed_and_are_those_of_all_paradigms() -> None:
    """Two seeds with the same split, and a rate at which nothing is learned."""
    episodes, splits = tables({"AU": 15, "BE": 15}, seeds=(0,))
    twice = pd.concat([splits, splits.assign(seed=1)], ignore_index=True)
    optimizer = parameters().optimizer.model_dump() | {"learning_rate": 1e-12}
    study = Study(told=parameters(optimizer=optimizer), tables=(episodes, twice))

    def weights(paradigm: str, strategy: str, seed: int) -> dict[str, dict[str, np.ndarray]]:
        """By country (or ``shared``) the arrays of the outcome."""
        owners: dict[str, dict[str, np.ndarray]] = {}
        for name, array in study.outcome(paradigm, strategy).models.items():
            of_seed, *owner, array_name = name.split("/") if "/" in name else ("", "", name)
            if of_seed == f"seed={seed}" and owner != ["inputs"]:
                owners.setdefault(owner[-1], {})[array_name] = array
        return owners

    def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> set[bool]:
        assert a.keys() == b.keys()
        return {np.allclose(a[name], b[name], rtol=0, atol=1e-7) for name in a}

    first = weights("federated", "fedavg", 0)["shared"]
    for paradigm, strategy in ALL:
        zero, one = (weights(paradigm, strategy, seed) for seed in (0, 1))
        assert zero.keys() == one.keys()
        assert all(equal(zero[owner], one[owner]) == {False} for owner in zero)
        if paradigm == "adaptive":
            assert equal(zero["AU"], zero["BE"]) == {False}
        else:
            assert all(equal(arrays, first) == {True} for arrays in zero.values())


def test_what_cannot_be_trained_is_said(study: Study) -> None:
    def attempt(paradigm: str, strategy: str, models: dict[str, np.ndarray] | None = None) -> None:
        training = Training(paradigm, strategy)
        train_tables(training, *tables(), study.told, compute(), lambda _: None, models)

    with pytest.raises(InputError, match="no paradigm 'ditto'; there are: centralized"):
        attempt("ditto", "fedavg")
    with pytest.raises(
        InputError,
        match="federated is not trained with a strategy 'fedmax'; there are: fedavg, fedprox",
    ):
        attempt("federated", "fedmax")
    with pytest.raises(
        InputError, match="local is not trained with a strategy 'fedavg'; there are: none, logistic"
    ):
        attempt("local", "fedavg")
    with pytest.raises(InputError, match="scaffold has no strategy to choose: it is 'fedavg'"):
        attempt("scaffold", "fedprox")
    with pytest.raises(InputError, match=r"no models of federated\.fedavg; run the training"):
        attempt("fine_tuned", "fedavg")
    with pytest.raises(InputError, match=r"of federated\.fedavg were trained on other data"):
        attempt("fine_tuned", "fedavg", study.outcome("adaptive", "fedavg").models)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("federation", {"rounds": 0, "patience": None, "client_fraction": 1.0}),
        ("centralized", {"epochs": 1, "patience": 1, "batch_size": 8, "epoch": 3}),
    ],
)
def test_wrong_parameters_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        parameters(**{key: value})


@pytest.mark.parametrize("workers", [-1, "many", 1.5])
def test_wrong_numbers_of_workers_are_refused(workers: object) -> None:
    with pytest.raises(ValidationError, match="num_workers"):
        RayParameters.model_validate({"num_workers": workers, "address": None})


def test_fine_tuning_for_no_epoch_is_the_federated_model() -> None:
    none = {"epochs": 0, "patience": 1, "learning_rate_factor": 1.0, "epochs_without_validation": 0}
    study = Study(told=parameters(fine_tuned=none))
    federated, tuned = (study.outcome(name, "fedadam") for name in ("federated", "fine_tuned"))
    pd.testing.assert_series_equal(
        tuned.predictions["probability"], federated.predictions["probability"], check_exact=True
    )
    for name, array in tuned.models.items():
        if "/personal/" in name:
            of_seed, _, _, array_name = name.split("/")
            np.testing.assert_array_equal(array, federated.models[f"{of_seed}/shared/{array_name}"])
    assert set(tuned.history["round"]) == {0}


def test_a_country_with_one_patient_takes_part_and_is_scored_nowhere() -> None:
    """The rule of the splits: who is alone trains."""
    episodes, splits = tables()
    one = (episodes["country"] != "CZ") | (episodes["patient_id"] == "CZ-p0000")
    splits = splits[(splits["country"] != "CZ") | (splits["patient_id"] == "CZ-p0000")]
    splits = splits.assign(split=splits["split"].where(splits["country"] != "CZ", "train"))
    study = Study(tables=(episodes[one], splits))
    for key in ALL:
        outcome = study.outcome(*key)
        assert set(outcome.predictions["country"]) == {"AU", "BE"}
        if key[0] != "centralized":
            alone = outcome.history[outcome.history["country"] == "CZ"]
            assert (alone["n_train"] == 3).all()
            assert (alone["n_validation"] == 0).all()
