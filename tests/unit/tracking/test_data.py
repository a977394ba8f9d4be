"""The description of the episodes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from mlflow.entities import DatasetInput

from ms_pfl.tracking.record import describe_data


def small() -> tuple[pd.DataFrame, pd.DataFrame]:
    episodes = pd.DataFrame(
        {
            "episode_id": ["a@1", "a@2", "b@1", "a@1'"],
            "patient_id": ["a", "a", "b", "a"],  # "a" is two people, in two countries
            "country": ["A", "A", "A", "B"],
            "t0": pd.to_datetime(["2001-01-01"] * 4),
            "label": np.array([1, 0, 0, 1], np.int8),
            "x": np.array([1, 2, np.nan, 4], np.float32),
        }
    )
    splits = pd.DataFrame(
        [
            ("a", "A", 0, "train"), ("b", "A", 0, "test"), ("a", "B", 0, "validation"),
            ("a", "A", 1, "test"), ("b", "A", 1, "train"), ("a", "B", 1, "train"),
        ],
        columns=["patient_id", "country", "seed", "split"],
    )  # fmt: skip
    return episodes, splits


def profile(found: DatasetInput) -> dict[str, int]:
    return dict(json.loads(found.dataset.profile))


def context(found: DatasetInput) -> str:
    (tag,) = found.tags
    return str(tag.value)


def test_profile_and_columns() -> None:
    (whole,) = describe_data(*small(), "simulated")[None]
    assert profile(whole) == {
        "patients": 3,
        "episodes": 4,
        "countries": 2,
        "episodes_with_worsening": 2,
    }
    columns = json.loads(whole.dataset.schema)["mlflow_colspec"]
    assert {column["name"]: column["type"] for column in columns} == {
        "episode_id": "string",
        "patient_id": "string",
        "country": "string",
        "t0": "datetime",
        "label": "long",
        "x": "double",
    }
    assert len(whole.dataset.digest) == 32


def test_parts_are_the_rows_of_a_seed() -> None:
    data = describe_data(*small(), "simulated")
    numbers = {
        (seed, context(part)): (profile(part)["patients"], profile(part)["episodes"])
        for seed, parts in data.items()
        for part in parts
    }
    assert numbers == {
        (None, "training and testing"): (3, 4),
        (0, "training"): (1, 2),
        (0, "testing"): (1, 1),
        (1, "training"): (2, 2),
        (1, "testing"): (1, 2),
    }
    # seed 0 trains on the rows that seed 1 tests on
    assert data[0][0].dataset.digest == data[1][1].dataset.digest
    assert data[1][1].dataset.name == "episodes, seed 1, testing"


def test_episodes_may_be_split_themselves() -> None:
    episodes, _ = small()
    splits = episodes[["episode_id", "patient_id", "country"]].assign(
        seed=0, split=["train", "test", "test", "train"]
    )
    _, testing = describe_data(episodes, splits, "")[0]
    assert profile(testing)["episodes"] == 2
    assert profile(testing)["patients"] == 2


def test_the_digest_knows_values_and_names_but_no_order() -> None:
    episodes, splits = small()

    def digest(rows: pd.DataFrame, source: str) -> str:
        (whole,) = describe_data(rows, splits, source)[None]
        return str(whole.dataset.digest)

    known = digest(episodes, "one")
    assert digest(episodes[::-1], "two") == known
    assert digest(episodes.assign(x=[1, 2, np.nan, 5]), "one") != known
    assert digest(episodes.rename(columns={"x": "y"}), "one") != known


def test_an_input_holds_no_row() -> None:
    data = describe_data(*small(), "simulated; no real person")
    (found,) = data[None]
    assert json.loads(found.dataset.source) == {
        "tags": {"description": "simulated; no real person"}
    }
    assert json.loads(found.dataset.profile)["episodes"] == 4
    schema = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in schema][-1] == "x"
    everything = json.dumps(found.to_dictionary())
    assert "a@1" not in everything
    assert "2001" not in everything
    assert [context(part) for part in data[1]] == ["training", "testing"]
    assert 7 not in data
