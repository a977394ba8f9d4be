"""The description of the episodes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ms_pfl.tracking.data import describe_data


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


def test_profile_and_columns() -> None:
    data = describe_data(*small(), "simulated")
    assert data.whole.profile == {
        "patients": 3,
        "episodes": 4,
        "countries": 2,
        "episodes_with_worsening": 2,
    }
    assert data.whole.columns == {
        "episode_id": "string",
        "patient_id": "string",
        "country": "string",
        "t0": "datetime",
        "label": "long",
        "x": "double",
    }
    assert len(data.whole.digest) == 32


def test_parts_are_the_rows_of_a_seed() -> None:
    data = describe_data(*small(), "simulated")
    numbers = {
        (seed, context): (part.profile["patients"], part.profile["episodes"])
        for seed, parts in data.parts.items()
        for context, part in parts.items()
    }
    assert numbers == {
        (0, "training"): (1, 2),
        (0, "testing"): (1, 1),
        (1, "training"): (2, 2),
        (1, "testing"): (1, 2),
    }
    # seed 0 trains on the rows that seed 1 tests on
    assert data.parts[0]["training"].digest == data.parts[1]["testing"].digest
    assert data.parts[1]["testing"].name == "episodes, seed 1, testing"


def test_episodes_may_be_split_themselves() -> None:
    episodes, _ = small()
    splits = episodes[["episode_id", "patient_id", "country"]].assign(
        seed=0, split=["train", "test", "test", "train"]
    )
    parts = describe_data(episodes, splits, "").parts[0]
    assert parts["testing"].profile["episodes"] == 2
    assert parts["testing"].profile["patients"] == 2


def test_the_digest_knows_values_and_names_but_no_order() -> None:
    episodes, splits = small()
    digest = describe_data(episodes, splits, "one").whole.digest
    assert describe_data(episodes[::-1], splits, "two").whole.digest == digest
    changed = episodes.assign(x=[1, 2, np.nan, 5])
    assert describe_data(changed, splits, "one").whole.digest != digest
    renamed = episodes.rename(columns={"x": "y"})
    assert describe_data(renamed, splits, "one").whole.digest != digest


def test_an_input_holds_no_row() -> None:
    data = describe_data(*small(), "simulated; no real person")
    (found,) = data.inputs()
    assert json.loads(found.dataset.source) == {
        "tags": {"description": "simulated; no real person"}
    }
    assert json.loads(found.dataset.profile)["episodes"] == 4
    schema = json.loads(found.dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in schema][-1] == "x"
    everything = json.dumps(found.to_dictionary())
    assert "a@1" not in everything
    assert "2001" not in everything
    contexts = [tag.value for one in data.inputs(1) for tag in one.tags]
    assert contexts == ["training", "testing"]
    assert data.inputs(7) == []
