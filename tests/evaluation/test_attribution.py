"""Profiles of importance, and which countries stand out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fits_factory as factory
from ms_pfl.evaluation.attribution import MIN_EPISODES, compare_profiles, mean_importance, profile


@pytest.fixture(scope="module")
def importance() -> pd.DataFrame:
    return factory.make_importance()


def test_a_country_with_a_model_of_its_own_stands_out(importance: pd.DataFrame) -> None:
    table = compare_profiles(importance)
    adaptive = table[table.paradigm == "adaptive"]
    assert adaptive.loc[adaptive.stands_out, "country"].tolist() == ["Belgium"]
    assert not table.loc[table.paradigm == "fine_tuned", "stands_out"].any()
    first = adaptive.iloc[0]
    assert first["country"] == "Belgium"
    assert (first["top_global"], first["top_personal"]) == ("EDSS level", "Treatment")
    assert 0 < first["noise"] < 0.5 * first["distance"]
    assert set(table["paradigm"]) == {"fine_tuned", "adaptive"}


def test_few_episodes_do_not_stand_out(importance: pd.DataFrame) -> None:
    few = importance.assign(
        n_episodes=np.where(importance.country == "Belgium", 1, importance.n_episodes)
    )
    table = compare_profiles(few)
    belgium = table[(table.paradigm == "adaptive") & (table.country == "Belgium")].iloc[0]
    assert belgium["n_episodes"] < MIN_EPISODES
    assert belgium["distance"] > 0.2
    assert not belgium["stands_out"]


def test_distance_by_hand() -> None:
    rows = [
        (paradigm, "fedavg", 0, "X", repeat, group, value, 50)
        for paradigm, values in {"federated": (0.3, 0.1, 0), "adaptive": (0.1, 0.1, 0.2)}.items()
        for group, value in zip("abc", values, strict=True)
        for repeat in (0, 1)
    ]
    columns = ["paradigm", "strategy", "seed", "country", "repeat", "group", "increase"]
    (row,) = compare_profiles(pd.DataFrame(rows, columns=[*columns, "n_episodes"])).itertuples()
    # shares .75 .25 0 and .25 .25 .5
    assert row.distance == pytest.approx(0.5)
    assert row.noise == 0
    assert (row.top_global, row.top_personal) == ("a", "c")


def test_the_mean_weighs_countries_by_episodes() -> None:
    rows = pd.DataFrame(
        {
            "paradigm": "federated", "strategy": "fedavg", "seed": [0, 0, 1, 1],
            "country": ["X", "Y"] * 2, "repeat": 0, "group": "a",
            "increase": [0.1, 0.4, 0.2, 0.2], "n_episodes": [30, 10, 30, 10],
        }
    )  # fmt: skip
    (row,) = mean_importance(rows).itertuples()
    by_seed = [(3 + 4) / 40, 0.2]
    assert row.increase == pytest.approx(np.mean(by_seed))
    assert row.sd == pytest.approx(np.std(by_seed, ddof=1))


def test_a_model_that_uses_nothing_has_no_profile() -> None:
    assert np.isnan(profile(pd.Series([-0.1, 0.0]))).all()
