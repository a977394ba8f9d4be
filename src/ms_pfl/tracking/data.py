"""What a run was made with: the episodes, described and digested, never the rows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# What MLflow calls the parts of the data; the validation rows are of neither.
_CONTEXTS = {"train": "training", "test": "testing"}
_TYPES = {"f": "double", "i": "long", "u": "long", "b": "boolean", "M": "datetime"}


def describe_data(
    episodes: pd.DataFrame, splits: pd.DataFrame, source: str
) -> dict[int | None, list[DatasetInput]]:
    """Describe the episodes of a run as inputs in MLflow.

    A digest has 32 hexadecimal digits, equal for equal rows in any order.

    Args:
        episodes: the episodes table (episode_id, patient_id, country, label, features).
        splits: patient_id, country, seed, split; with episode_id where episodes are split.
        source: where the episodes come from, in words, such as the cohort's description.

    Returns:
        Seed -> the episodes that it trains and those that it tests on; None -> all episodes.
    """
    rows = episodes.sort_values("episode_id", kind="stable", ignore_index=True)
    hashes = hash_pandas_object(rows, index=False).to_numpy()
    key = ["country", "patient_id", *(["episode_id"] if "episode_id" in splits else [])]
    inputs: dict[int | None, list[DatasetInput]] = {
        None: [_describe("episodes", "training and testing", rows, hashes, source)]
    }
    for seed in sorted(int(seed) for seed in splits["seed"].unique()):
        of_seed = splits.loc[splits["seed"] == seed, [*key, "split"]]
        split = rows[key].merge(of_seed, on=key, how="left")["split"].to_numpy()
        inputs[seed] = [
            _describe(
                f"episodes, seed {seed}, {context}",
                context,
                rows[split == name],
                hashes[split == name],
                source,
            )
            for name, context in _CONTEXTS.items()
        ]
    return inputs


def _describe(
    name: str, context: str, rows: pd.DataFrame, hashes: np.ndarray[Any, Any], source: str
) -> DatasetInput:
    """Describe some rows; ``context`` is what a run uses them for."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import ColSpec, Schema

    digest = hashlib.blake2b("\x1f".join(map(str, rows.columns)).encode(), digest_size=16)
    digest.update(hashes.tobytes())
    columns = [
        ColSpec(type=_TYPES.get(kind.kind, "string"), name=str(column))
        for column, kind in rows.dtypes.items()
    ]
    profile = {
        "patients": len(rows[["country", "patient_id"]].drop_duplicates()),
        "episodes": len(rows),
        "countries": rows["country"].nunique(),
        "episodes_with_worsening": int(rows["label"].sum()),
    }
    # A data set of metadata alone: nothing in it leads to a row of a patient.
    told = MetaDataset(
        CodeDatasetSource({"description": source}),
        name=name,
        digest=digest.hexdigest(),
        schema=Schema(columns),
    ).to_dict()
    dataset = Dataset(**{**told, "profile": json.dumps(profile)})
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
