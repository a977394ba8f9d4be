"""A predictor trained through the real code, and the small tables that it is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from ms_pfl.prediction.predictor import Predictor, write_predictor
from prediction_examples import trained_predictor


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return trained_predictor("adaptive")


@pytest.fixture
def folder(predictor: Predictor, tmp_path: Path) -> Path:
    """The predictor as a run leaves it."""
    place = tmp_path / "predictor"
    write_predictor(predictor, place)
    return place
