"""A predictor trained through the real code, and the small tables that it is asked about."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

for _folder in ("cohort", "federation", "paradigms"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / _folder))

from prediction_examples import trained_predictor  # noqa: E402

from ms_pfl.prediction.predictor import Predictor, write_predictor  # noqa: E402


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return trained_predictor("adaptive")


@pytest.fixture
def folder(predictor: Predictor, tmp_path: Path) -> Path:
    """The predictor as a run leaves it."""
    place = tmp_path / "predictor"
    write_predictor(predictor, place)
    return place
