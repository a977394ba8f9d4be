"""Realistic fits for the tests of evaluation, reporting and tracking."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "evaluation"))

import fits_factory as factory


@pytest.fixture(scope="session")
def episodes() -> pd.DataFrame:
    return factory.make_episodes()


@pytest.fixture(scope="session")
def predictions(episodes: pd.DataFrame) -> pd.DataFrame:
    return factory.make_predictions(episodes)


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    return factory.make_history()


@pytest.fixture(scope="session")
def metrics(predictions: pd.DataFrame) -> pd.DataFrame:
    from ms_pfl.evaluation.scoring import score

    return score(predictions)


@pytest.fixture(scope="session")
def split_counts() -> pd.DataFrame:
    """A large country, one that has no test patient, one with a single class to train on."""
    return pd.DataFrame(
        [
            (0, "Belgium", 60, 20, 20, 500, 70),
            (0, "Fiji", 1, 0, 0, 9, 2),
            (0, "Malta", 2, 1, 1, 8, 0),
        ],
        columns=[
            "seed", "country", "train_patients", "validation_patients", "test_patients",
            "train_episodes", "train_positive",
        ],
    )  # fmt: skip
