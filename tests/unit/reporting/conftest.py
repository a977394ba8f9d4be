"""Realistic fits, see ``fits_fixtures``, and the sizes of a few countries."""

from __future__ import annotations

import pandas as pd
import pytest

from fits_fixtures import episodes, findings, history, metrics, predictions

__all__ = ["episodes", "findings", "history", "metrics", "predictions", "split_counts"]


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
