"""An MLflow model is a program, and only one of this package's own is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from ms_pfl.errors import InputError
from ms_pfl.prediction.predictor import write_predictor
from ms_pfl.tracking.loading import SERVED, check_program, load_model
from ms_pfl.tracking.models import log_predictor, register_predictor
from prediction_examples import logistic_predictor

EXAMPLE = pd.DataFrame({"country": ["Belgium", "Peru"], "x": [1.0, 2.0], "y": [2.0, 3.0]})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[MlflowClient, str, Path]:
    """The predictor in a store: the client, the model's id, and its folder."""
    place = tmp_path_factory.mktemp("store")
    write_predictor(logistic_predictor(), place / "predictor")
    client = MlflowClient(f"sqlite:///{place.as_posix()}/mlflow.db")
    experiment = client.create_experiment("x", artifact_location=f"file://{place}/files")
    run = client.create_run(experiment)
    model = log_predictor(client, experiment, run.info.run_id, place / "predictor", EXAMPLE)
    location = client.get_logged_model(model).artifact_location
    return client, model, Path(location.removeprefix("file://"))


@pytest.fixture
def model(kept: tuple[MlflowClient, str, Path], tmp_path: Path) -> Path:
    """A copy of its folder, with a file that tells whether other code was run."""
    import shutil

    return Path(shutil.copytree(kept[2], tmp_path / "model"))


def test_ours_is_loaded_by_address_and_by_folder(
    kept: tuple[MlflowClient, str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, model_id, _ = kept
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    found = [load_model(place).predict(EXAMPLE) for place in (f"models:/{model_id}", model)]
    pd.testing.assert_frame_equal(*found)
    assert np.isfinite(found[0]["risk"]).all()


def test_each_run_registers_a_version_that_an_alias_finds(
    kept: tuple[MlflowClient, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, model_id, _ = kept
    run_id = str(client.get_logged_model(model_id).source_run_id)
    for number, said in enumerate(("Federated is better.", "The data cannot say."), start=1):
        tags = {"source": "simulated"}
        assert register_predictor(client, "x-predictor", model_id, run_id, said, tags) == number
    first, second = (client.get_model_version("x-predictor", n) for n in ("1", "2"))
    assert (first.description, second.description) == (
        "Federated is better.",
        "The data cannot say.",
    )
    assert (first.run_id, first.tags) == (run_id, {"source": "simulated"})
    client.set_registered_model_alias("x-predictor", "in-use", "2")
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    found = load_model("models:/x-predictor@in-use").predict(EXAMPLE)
    pd.testing.assert_frame_equal(found, load_model(f"models:/{model_id}").predict(EXAMPLE))


def test_the_model_says_that_it_is_a_program(model: Path) -> None:
    text = (model / "README.md").read_text()
    assert "This MLflow model is a program" in text
    told = yaml.safe_load((model / "MLmodel").read_text())["metadata"]
    assert told["program"] == "predictor.py"
    assert told["program_sha256"] in text


def changed(model: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    told = yaml.safe_load((model / "MLmodel").read_text())
    change(told["flavors"]["python_function"])
    (model / "MLmodel").write_text(yaml.safe_dump(told))


def other_code(model: Path) -> None:
    with (model / "predictor.py").open("a") as file:
        file.write(f"\nopen({str(model / 'ran')!r}, 'w')\n")


def other_name(model: Path) -> None:
    (model / "evil.py").write_text(f"open({str(model / 'ran')!r}, 'w')\n")
    changed(model, lambda told: told.update(model_code_path="evil.py"))


def other_loader(model: Path) -> None:
    changed(model, lambda told: told.update(loader_module="this"))


def more_code(model: Path) -> None:
    (model / "code").mkdir()
    (model / "code/numpy.py").write_text(f"open({str(model / 'ran')!r}, 'w')\n")
    changed(model, lambda told: told.update(code="code"))


def a_pickle(model: Path) -> None:
    changed(model, lambda told: told.pop("model_code_path"))
    changed(model, lambda told: told.update(python_model="python_model.pkl"))


def files_elsewhere(model: Path) -> None:
    changed(model, lambda told: told["artifacts"]["predictor"].update(path="../../secret"))


def a_link(model: Path) -> None:
    (model / "predictor.py").unlink()
    (model / "predictor.py").symlink_to("/dev/zero")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (other_code, r"its predictor\.py is not that of the installed ms_pfl"),
        (other_name, r"it runs evil\.py, which is no file of this package"),
        (other_loader, "its MLmodel asks for more than one file of code;"),
        (more_code, "its MLmodel asks for more than one file of code;"),
        (a_pickle, r"its MLmodel asks for more than one file of code \(python_model\)"),
        (files_elsewhere, r"it reads \.\./\.\./secret, which is not in its folder"),
        (a_link, "is a device and no regular file"),
    ],
)
def test_other_programs_are_not_run(model: Path, attack: Callable[[Path], None], said: str) -> None:
    attack(model)
    with pytest.raises(InputError, match=said) as caught:
        load_model(model)
    assert str(caught.value).isprintable()
    assert not (model / "ran").exists()


def test_the_package_s_own_files_are_what_is_compared_with() -> None:
    assert {path.name for path in SERVED.glob("*.py")} >= {"model.py", "predictor.py"}


@pytest.mark.parametrize(
    "text",
    ["", "7", "flavors: 3", "flavors: {python_function: [1]}", "a: [", "!!python/object:os.x {}",
     "a: " + "[" * 60 + "]" * 60],
)  # fmt: skip
def test_a_damaged_mlmodel_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(InputError) as caught:
        check_program(tmp_path)
    assert "MLmodel" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        check_program(tmp_path / "absent")


anything = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.sampled_from(["predictor.py", ".."]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
keys = ["artifacts", "code", "loader_module", "model_code_path", "python_model", "data"]


@given(st.dictionaries(st.sampled_from(keys), anything))
def test_whatever_mlmodel_says_no_other_code_passes(told: dict[str, Any]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        text = yaml.safe_dump({"flavors": {"python_function": told}})
        (Path(folder) / "MLmodel").write_text(text, encoding="utf-8")
        with pytest.raises(InputError):
            check_program(Path(folder))  # the code is not even there
