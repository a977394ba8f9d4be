"""A predictor's folder: read as it was written, or refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from cohort_examples import parameters as cohort_parameters
from federation_examples import tables
from ms_pfl.cohort.features import FEATURES
from ms_pfl.errors import InputError
from ms_pfl.evaluation.choice import Choice
from ms_pfl.paradigms import Training
from ms_pfl.prediction import predictor as module
from ms_pfl.prediction.making import make_predictor
from ms_pfl.prediction.predictor import Predictor, read_predictor, write_predictor
from ms_pfl.prediction.risks import risks
from ms_pfl.training.bundle import FORMAT
from paradigm_examples import parameters
from prediction_examples import logistic_predictor, predictor_of, trained_predictor

ARRAYS = "predictor.safetensors"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON file and give it its digest again, as if it had been written so."""
    path = folder / "predictor.json"
    told = json.loads(path.read_text())
    change(told)
    told.pop("digest")
    path.write_text(json.dumps(told | {"digest": module._digest(told)}))


def rewrite_arrays(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change the arrays and say so in the JSON file."""
    arrays = load_file(folder / ARRAYS)
    change(arrays)
    save_file(arrays, folder / ARRAYS)
    sha256 = hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest()
    rewrite(folder, lambda told: told.update(arrays_sha256=sha256))


def test_what_was_written_is_read_again(predictor: Predictor, folder: Path) -> None:
    found = read_predictor(folder)
    assert found.description == predictor.description.model_copy()
    assert found.arrays.keys() == predictor.arrays.keys()
    for name, array in found.arrays.items():
        np.testing.assert_array_equal(array, predictor.arrays[name], strict=True)
    assert sorted(path.name for path in folder.iterdir()) == ["predictor.json", ARRAYS]
    assert [path.name for path in folder.parent.iterdir()] == ["predictor"]


def test_no_patient_is_in_it(predictor: Predictor, folder: Path) -> None:
    text = (folder / "predictor.json").read_text()
    assert '"P0' not in text
    assert "patient_id" not in text
    biggest = max(array.shape[0] for array in predictor.arrays.values() if array.ndim)
    assert biggest <= len(FEATURES)  # no array has a row per episode


def test_nothing_is_pickled(folder: Path) -> None:
    for path in folder.iterdir():
        with pytest.raises((pickle.UnpicklingError, ValueError, KeyError, EOFError, IndexError)):
            pickle.loads(path.read_bytes())


def test_a_new_one_takes_the_place_of_the_old(folder: Path, predictor: Predictor) -> None:
    (folder / "stray").write_text("of the old one")
    write_predictor(logistic_predictor(), folder)
    assert read_predictor(folder).description.features == ("x", "y")
    assert sorted(path.name for path in folder.iterdir()) == ["predictor.json", ARRAYS]
    assert [path.name for path in folder.parent.iterdir()] == ["predictor"]


def test_an_unfit_one_is_not_written_and_the_old_one_stays(folder: Path) -> None:
    before = (folder / "predictor.json").read_bytes()
    whole = logistic_predictor()
    arrays = dict(whole.arrays)
    del arrays["global/seed=1/shared/output.bias"]
    with pytest.raises(InputError, match="do not fit the model"):
        write_predictor(replace(whole, arrays=arrays), folder)
    assert (folder / "predictor.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["predictor"]


def test_an_absent_one_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no predictor in .*kedro run --pipeline=pfl"):
        read_predictor(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["predictor.json", ARRAYS])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(folder: Path, name: str, part: float) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError, match=f"{name}.*truncated.*kedro run --pipeline=pfl"):
        read_predictor(folder)


def test_any_changed_byte_is_refused(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("predictor.json", ARRAYS):
        data = (folder / name).read_bytes()
        for position in rng.integers(0, len(data.rstrip()), 25):
            changed = bytearray(data)
            changed[position] ^= 0x01
            (folder / name).write_bytes(changed)
            with pytest.raises(InputError):
                read_predictor(folder)
        (folder / name).write_bytes(data)
    read_predictor(folder)


def test_a_missing_file_of_arrays_is_named(folder: Path) -> None:
    (folder / ARRAYS).unlink()
    with pytest.raises(InputError, match=f"{ARRAYS} cannot be read"):
        read_predictor(folder)


def test_a_changed_number_in_the_description_is_refused(folder: Path) -> None:
    path = folder / "predictor.json"
    told = json.loads(path.read_text())
    told["intercepts"]["0"][""] += 1
    path.write_text(json.dumps(told))
    with pytest.raises(InputError, match="was changed after it was written"):
        read_predictor(folder)


def test_another_format_is_refused_before_anything_else(folder: Path) -> None:
    rewrite(folder, lambda told: told.update(format=1, unheard_of=1))
    with pytest.raises(InputError, match=r"has format 1.* reads format 4; create it again"):
        read_predictor(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(unheard_of=1), "unheard_of: Extra inputs"),
        (lambda told: told.pop("seeds"), "seeds: Field required"),
        (lambda told: told["intercepts"].pop("1"), "intercepts are not those of the seeds"),
        (lambda told: told["intercepts"]["1"].pop(""), "intercepts are not those of the countries"),
        (lambda told: told["features"].reverse(), "not those that ms_pfl .* builds: their order"),
        (lambda told: told["features"].remove("EDUCATION"), "builds: EDUCATION .1 differ"),
        (lambda told: told["features"].append("LESIONS"), "builds: LESIONS .1 differ"),
        (lambda told: told["settings"]["network"].update(width=7), "do not fit the model"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    rewrite(folder, change)
    with pytest.raises(InputError, match=message):
        read_predictor(folder)


def a_nan(arrays: dict[str, np.ndarray]) -> None:
    arrays["global/seed=0/shared/output.bias"][0] = np.nan


def a_stray(arrays: dict[str, np.ndarray]) -> None:
    arrays["personal/seed=0/personal/Atlantis/extension.0.bias"] = np.zeros(4, np.float32)


def a_scaler(arrays: dict[str, np.ndarray]) -> None:
    arrays["global/seed=0/inputs/sd"] = np.zeros(len(FEATURES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: arrays.pop("global/seed=1/inputs/mean"),
            "seed 1: the arrays of the inputs are neither a scaler nor an encoding",
        ),
        (lambda arrays: arrays.pop("global/seed=0/shared/output.bias"), "do not fit the model"),
        (a_nan, "no finite number"),
        (a_stray, "Atlantis.* belongs to no seed and country"),
        (a_scaler, "has to be above 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    folder: Path, change: Callable[[dict[str, np.ndarray]], None], message: str
) -> None:
    rewrite_arrays(folder, change)
    with pytest.raises(InputError, match=message):
        read_predictor(folder)


def test_arrays_of_another_format_are_refused(folder: Path) -> None:
    rewrite_arrays(folder, lambda arrays: arrays.pop("personal/format"))
    with pytest.raises(InputError, match=r"saved models of adaptive\.fedavg have format 1, and"):
        read_predictor(folder)


def test_every_personal_paradigm_makes_one(tmp_path: Path) -> None:
    for paradigm in ("local", "fine_tuned", "private_intercept", "federated", "recalibrated"):
        made = trained_predictor(paradigm)
        write_predictor(made, tmp_path / paradigm)
        assert read_predictor(tmp_path / paradigm).description.prediction.paradigm == paradigm


@pytest.mark.parametrize("paradigm", ["local", "fine_tuned", "adaptive"])
def test_logistic_regressions_make_one(paradigm: str, tmp_path: Path) -> None:
    """Without the covariance of the coefficients, which no prediction needs."""
    made = trained_predictor(paradigm, "logistic")
    assert not [name for name in made.arrays if "covariance" in name]
    write_predictor(made, tmp_path / "made")
    found = read_predictor(tmp_path / "made")
    x = np.zeros((3, len(FEATURES)), np.float32)
    for country in made.description.countries:
        z = found.personal[country][0].logits(x)
        assert z.tobytes() == made.personal[country][0].logits(x).tobytes()
    own = {c: of_seed[0].logits(x)[0] for c, of_seed in found.personal.items()}
    assert len(set(own.values())) > 1 or paradigm != "local", "others may be the federated model"


@pytest.mark.parametrize("paradigm", ["local", "fine_tuned", "adaptive"])
def test_boosted_trees_make_one(paradigm: str, tmp_path: Path) -> None:
    """With bins as inputs; the drivers of a risk are what it loses at median bins."""
    made = trained_predictor(paradigm, "trees")
    write_predictor(made, tmp_path / "made")
    found = read_predictor(tmp_path / "made")
    x = np.random.default_rng(0).normal(3, 2, size=(20, len(FEATURES))).astype(np.float32)
    every = np.ones(len(FEATURES), dtype=bool)
    for country in made.description.countries:
        saved = found.personal[country][0]
        assert saved.logits(x).tobytes() == made.personal[country][0].logits(x).tobytes()
        assert np.ptp(saved.logits_without(x, every)) == 0, "of no feature anything is known"
        assert saved.logits_without(x, ~every).tobytes() == saved.logits(x).tobytes()


@pytest.fixture(scope="module")
def with_draws() -> dict[str, Predictor]:
    """Trees of three draws of patients; an ensemble of logistic regressions of two."""
    return {
        "adaptive": trained_predictor("adaptive", "trees", 3),
        "ensemble": trained_predictor("ensemble", "logistic", 2),
        "network": trained_predictor("local", "none", 3),
    }


@pytest.mark.parametrize("name", ["adaptive", "ensemble"])
def test_the_models_of_drawn_patients_are_kept(
    name: str, with_draws: dict[str, Predictor], tmp_path: Path
) -> None:
    made = with_draws[name]
    write_predictor(made, tmp_path / "made")
    found = read_predictor(tmp_path / "made")
    n = made.description.bootstrap_patients
    x = np.random.default_rng(0).normal(3, 2, size=(20, len(FEATURES))).astype(np.float32)
    for country in (None, *made.description.countries):
        refits, again = made.replicates(country), found.replicates(country)
        assert len(refits) == len(again) == n
        logits = [model.logits(x) for model in refits]
        assert [model.logits(x).tobytes() for model in again] == [z.tobytes() for z in logits]
        assert len({z.tobytes() for z in logits}) == n, "each draw has its own model"
        assert {len(model.members) for model in refits} == {1 if country is None else len(
            made.personal[country][0].members)}  # fmt: skip
    countries = pd.Series([*made.description.countries, "Peru"] * 5)
    asked = risks(found, countries, x, drivers=False)
    assert set(asked["range"]) == {f"95 %, bootstrap of training patients ({n})"}
    assert (asked["risk_low"] < asked["risk"]).all()
    assert (asked["risk"] < asked["risk_high"]).all()
    pd.testing.assert_frame_equal(asked, risks(made, countries, x, drivers=False))


def test_a_network_is_refitted_to_nobody(with_draws: dict[str, Predictor]) -> None:
    made = with_draws["network"]
    assert not [name for name in made.arrays if name.startswith("bootstrap")]
    assert made.replicates(None) == made.replicates(made.description.countries[0]) == []


def a_lost_draw(arrays: dict[str, np.ndarray]) -> None:
    for name in [name for name in arrays if name.startswith("bootstrap=1/adaptive.trees/")]:
        del arrays[name]


def an_extra_draw(arrays: dict[str, np.ndarray]) -> None:
    arrays["bootstrap=3/adaptive.trees/format"] = np.array([FORMAT])


def a_draw_of_another_seed(arrays: dict[str, np.ndarray]) -> None:
    name = "bootstrap=0/adaptive.trees/seed=0/inputs/cuts"
    arrays[name.replace("seed=0", "seed=1")] = arrays[name]


def a_wrong_draw(arrays: dict[str, np.ndarray]) -> None:
    prefix = "bootstrap=2/federated.trees/seed=0/shared/"
    (name,) = [name for name in arrays if name == f"{prefix}feature"]
    arrays[name] = np.full_like(arrays[name], 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (a_lost_draw, r"saved models of adaptive\.trees have format 1"),
        (an_extra_draw, r"'bootstrap=3/adaptive\.trees/format' belongs to no seed"),
        (a_draw_of_another_seed, "seed=1.* belongs to no seed"),
        (a_wrong_draw, "no predictor for this version"),
    ],
)
def test_draws_that_do_not_fit_are_refused(
    change: Callable[[dict[str, np.ndarray]], None],
    message: str,
    with_draws: dict[str, Predictor],
    tmp_path: Path,
) -> None:
    write_predictor(with_draws["adaptive"], tmp_path / "made")
    rewrite_arrays(tmp_path / "made", change)
    with pytest.raises(InputError, match=message):
        read_predictor(tmp_path / "made")


def test_a_single_draw_is_refused(with_draws: dict[str, Predictor], tmp_path: Path) -> None:
    write_predictor(with_draws["adaptive"], tmp_path / "made")
    rewrite(tmp_path / "made", lambda told: told.update(bootstrap_patients=1))
    with pytest.raises(InputError, match="one draw of patients has no spread"):
        read_predictor(tmp_path / "made")


OWN = {"kind": "own", "description": "three"}


def test_a_table_of_ones_own_is_asked_by_its_features(tmp_path: Path) -> None:
    episodes, splits = tables()
    names = ("age", "edss", "relapses")
    vocabulary = {"columns": names, "levels": {}, "numbers": names, "missing": ()}
    made = predictor_of("adaptive", episodes, splits, OWN, vocabulary)
    write_predictor(made, tmp_path / "own")
    found = read_predictor(tmp_path / "own")
    assert found.description.features == names
    assert found.description.source == OWN
    assert found.description.cohort is None
    assert set(found.groups) == set(names)
    x = episodes[list(names)].to_numpy(np.float32)
    asked = risks(found, episodes["country"], x, drivers=True)
    assert (asked["model"] == "personal of " + episodes["country"]).all()
    assert asked["risk"].between(0, 1).all()
    rewrite(tmp_path / "own", lambda told: told["vocabulary"]["missing"].append("age"))
    with pytest.raises(InputError, match="not those that ms_pfl"):
        read_predictor(tmp_path / "own")


def test_models_of_other_data_are_refused() -> None:
    episodes, splits = tables()
    told = parameters()
    arrays = {f"seed={seed}/inputs/mean": np.zeros(3) for seed in (0, 1)}
    arrays["format"] = np.array([FORMAT])
    chosen = Choice(
        paradigm="adaptive", strategy="fedavg", shared="federated.fedavg",
        members=("adaptive.fedavg",), weights={seed: {"": (1.0,)} for seed in (0, 1)},
    )  # fmt: skip
    adaptive, federated = Training("adaptive", "fedavg"), Training("federated", "fedavg")
    nothing = {adaptive: arrays, federated: arrays}
    none = pd.DataFrame({"split": []})
    with pytest.raises(
        InputError, match=r"saved models of adaptive\.fedavg were trained on other data"
    ):
        make_predictor(
            episodes, splits, nothing, none, chosen, told, cohort_parameters(), OWN, None
        )
    first = {adaptive: {name: array for name, array in arrays.items() if name != "format"}}
    with pytest.raises(InputError, match=r"^the saved models of adaptive\.fedavg have format 1, "):
        make_predictor(episodes, splits, first, none, chosen, told, cohort_parameters(), OWN, None)
    protocol = told.protocol.model_copy(update={"scaling": "country"})
    by_country = told.model_copy(update={"protocol": protocol})
    with pytest.raises(InputError, match=r"training\.protocol\.scaling: federated"):
        make_predictor(
            episodes, splits, nothing, none, chosen, by_country, cohort_parameters(), OWN, None
        )


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"format": 4, "a": ' + '{"b": ' * 900 + "1" + "}" * 901, "9" * 10_000,
     "\ud800",     '{"format": 4, "digest": "\\ud800", "x": "\\ud800"}', '{"format": [[[]]]}'],
)  # fmt: skip
def test_json_that_nests_or_is_none_is_refused_in_one_line(folder: Path, text: str) -> None:
    (folder / "predictor.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError) as caught:
        read_predictor(folder)
    assert str(caught.value).startswith(str(folder / "predictor.json"))
    assert str(caught.value).isprintable()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["predictor.json", ARRAYS])
def test_a_pipe_or_a_huge_file_in_its_place_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    with path.open("r+b") as file:
        file.truncate(9 * 2**30)
    with pytest.raises(InputError, match=f"{name} has 9,216 MB, and .* is the most for this file"):
        read_predictor(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{name} is a named pipe and no regular file"):
        read_predictor(folder)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "network", [{"width": 100_000}, {"hidden_layers": 1000}, {"extension_width": 100_000}]
)
def test_shapes_are_compared_before_a_network_is_built(
    folder: Path, network: dict[str, int]
) -> None:
    rewrite(folder, lambda told: told["settings"]["network"].update(network))
    with pytest.raises(InputError, match="do not fit the model"):
        read_predictor(folder)


@pytest.mark.timeout(30)
def test_a_number_of_draws_that_nobody_asks_for_is_refused(folder: Path) -> None:
    rewrite(folder, lambda told: told.update(bootstrap_patients=10**12))
    with pytest.raises(InputError, match="bootstrap_patients"):
        read_predictor(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("global/seed=x/shared/a", np.zeros(1)),
        ("global/elsewhere", np.zeros(1)),
        ("global/format", np.zeros((2, 2))),
        ("global/format", np.array([np.nan])),
        ("global/format", np.zeros(0, dtype=bool)),
        ("global/seed=0/inputs/more", np.zeros(3)),
        ("global/seed=0/inputs/mean", np.zeros((3, 3))),
        ("global/seed=0/inputs/mean", np.float64(1)),
        ("global/seed=0/shared/output.bias", np.zeros(1, dtype=bool)),
        ("global/seed=0/shared/output.bias", np.zeros(1, dtype=np.int64)),
        ("personal/seed=0/personal/Belgium/output.bias", np.zeros((0, 10**6))),
    ],
)
def test_arrays_of_right_digests_may_hold_anything(
    folder: Path, name: str, array: np.ndarray
) -> None:
    rewrite_arrays(folder, lambda arrays: arrays.update({name: np.asarray(array)}))
    with pytest.raises(InputError) as caught:
        read_predictor(folder)
    assert str(caught.value).isprintable()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.data())
def test_whatever_a_description_says_it_is_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "p"
        write_predictor(logistic_predictor(), folder)

        def change(told: dict[str, Any]) -> None:
            place: Any = told
            while True:
                keys = sorted(set(place) - {"digest", "arrays_sha256"})
                key = data.draw(st.sampled_from(keys))
                if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
                    place[key] = data.draw(anything)
                    return
                place = place[key]

        rewrite(folder, change)
        said = ""
        try:
            read_predictor(folder)
        except InputError as error:
            said = str(error)
        assert said.isprintable()


@given(st.binary(max_size=300))
def test_whatever_bytes_the_arrays_are_they_are_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "p"
        write_predictor(logistic_predictor(), folder)
        whole = (folder / ARRAYS).read_bytes()
        for content in (data, len(data).to_bytes(8, "little") + data, data + whole[len(data) :]):
            (folder / ARRAYS).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            rewrite(folder, lambda told, sha256=sha256: told.update(arrays_sha256=sha256))
            if content != whole:
                with pytest.raises(InputError):
                    read_predictor(folder)
