"""Fixtures that the tests of evaluation, reporting and tracking share: realistic fits."""

from __future__ import annotations

import pandas as pd
import pytest

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
