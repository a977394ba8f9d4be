"""Fine-tuning starts only from the federated models of the present data and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

from federation_examples import tables
from ms_pfl.errors import InputError
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome, train_tables
from paradigm_examples import Study, compute, parameters

OTHER = (
    r"^the saved models of federated.fed\w+ were trained on other data or splits.*run the training"
)


@pytest.fixture(scope="module")
def models() -> dict[str, np.ndarray]:
    return Study().outcome("federated", "fedavg").models


def fine_tune(
    models: dict[str, np.ndarray],
    told: TrainingSettings | None = None,
    given: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    strategy: str = "fedavg",
    device: Device = "cpu",
) -> Outcome:
    return train_tables(
        Training("fine_tuned", strategy), *(given or tables()), told or parameters(),
        replace(compute(), device=device), lambda _: None, models,
    )  # fmt: skip


def test_a_saved_file_is_as_good_as_the_models(
    models: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert (models["stamp"].dtype, models["stamp"].shape) == (np.uint8, (16,))
    save_file(models, tmp_path / "models.safetensors")
    pd.testing.assert_frame_equal(
        fine_tune(load_file(tmp_path / "models.safetensors")).predictions,
        fine_tune(models).predictions,
        check_exact=True,
    )


def test_other_splits_are_refused(models: dict[str, np.ndarray]) -> None:
    """The federated models have been trained on what is a test patient now."""
    episodes, splits = tables()
    names = {"train": "test", "test": "train"}
    swapped = splits.assign(split=splits["split"].replace(names))
    with pytest.raises(InputError, match=OTHER):
        fine_tune(models, given=(episodes, swapped))


def test_one_other_value_is_refused_and_another_order_is_not(models: dict[str, np.ndarray]) -> None:
    episodes, splits = tables()
    fine_tune(models, given=(episodes.iloc[::-1], splits.iloc[::-1]))
    changed = episodes.copy()
    changed.loc[0, "edss"] += 0.5
    with pytest.raises(InputError, match=OTHER):
        fine_tune(models, given=(changed, splits))


SECTIONS = parameters().model_dump()


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("optimizer", {"learning_rate": 0.03}),
        ("optimizer", {"batch_size": None}),
        ("network", {"dropout": 0.2}),
        ("federation", {"rounds": 5}),
        ("federation", {"patience": None}),
        ("strategies", {"fedavg": {"epochs": 2}}),
    ],
)
def test_other_settings_of_the_federation_are_refused(
    models: dict[str, np.ndarray], section: str, change: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=OTHER):
        fine_tune(models, parameters(**{section: SECTIONS[section] | change}))


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("strategies", {"fedprox": {"epochs": 9, "proximal_mu": 9.0}}),
        ("local", {"epochs": 9}),
        ("centralized", {"epochs": 9}),
        ("fine_tuned", {"epochs": 2, "learning_rate_factor": 0.5}),
    ],
)
def test_settings_that_the_federation_does_not_read_are_free(
    models: dict[str, np.ndarray], section: str, change: dict[str, Any]
) -> None:
    told = parameters(**{section: SECTIONS[section] | change})
    assert len(fine_tune(models, told).predictions) > 0


def test_where_the_clients_compute_is_free(models: dict[str, np.ndarray]) -> None:
    fine_tune(models, device="auto")


def test_another_strategy_and_models_without_a_stamp_are_refused(
    models: dict[str, np.ndarray],
) -> None:
    with pytest.raises(InputError, match=OTHER):
        fine_tune(models, strategy="fedprox")
    with pytest.raises(InputError, match=OTHER):
        fine_tune({name: array for name, array in models.items() if name != "stamp"})


def test_models_of_the_first_format_are_refused(models: dict[str, np.ndarray]) -> None:
    first = {name: array for name, array in models.items() if name != "format"}
    with pytest.raises(InputError, match=r"^the saved models of federated\.fedavg have format 1, "):
        fine_tune(first)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so that cuda is no error")
def test_a_missing_gpu_is_said_before_any_client_is_asked(models: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match=r"^device: cuda was set, but torch sees no GPU; set"):
        fine_tune(models, device="cuda")
