"""What a run was made with: the episodes, described and digested, never the rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# What MLflow calls the parts of the data; the validation rows are of neither.
_CONTEXTS = {"train": "training", "test": "testing"}
_TYPES = {"f": "double", "i": "long", "u": "long", "b": "boolean", "M": "datetime"}


@dataclass(frozen=True)
class DataDescription:
    """A table of episodes as MLflow knows it.

    Attributes:
        name: what MLflow lists it under.
        digest: 32 hexadecimal digits; equal for equal rows in any order.
        columns: name -> MLflow's name of the type.
        profile: numbers of patients, episodes, countries, and episodes with worsening.
        source: where the rows come from, in words.
    """

    name: str
    digest: str
    columns: Mapping[str, str]
    profile: Mapping[str, int]
    source: str

    def as_input(self, context: str) -> DatasetInput:
        """Return it as an input of a run; ``context`` is what the run used it for."""
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.types import ColSpec, Schema

        # A data set of metadata alone: nothing in it leads to a row of a patient.
        told = MetaDataset(
            CodeDatasetSource({"description": self.source}),
            name=self.name,
            digest=self.digest,
            schema=Schema([ColSpec(type=kind, name=name) for name, kind in self.columns.items()]),
        ).to_dict()
        dataset = Dataset(**{**told, "profile": json.dumps(dict(self.profile))})
        return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


@dataclass(frozen=True)
class RunData:
    """The episodes of a run.

    Attributes:
        whole: all of them.
        parts: seed -> ``training`` or ``testing`` -> those episodes of the seed.
    """

    whole: DataDescription
    parts: Mapping[int, Mapping[str, DataDescription]]

    def inputs(self, seed: int | None = None) -> list[DatasetInput]:
        """Return what MLflow records of a run: of one seed, or of the whole without a seed."""
        if seed is None:
            return [self.whole.as_input("training and testing")]
        return [part.as_input(context) for context, part in self.parts.get(seed, {}).items()]


def describe_data(episodes: pd.DataFrame, splits: pd.DataFrame, source: str) -> RunData:
    """Describe the episodes of a run, whole and by seed.

    Args:
        episodes: the episodes table (episode_id, patient_id, country, label, features).
        splits: patient_id, country, seed, split; with episode_id where episodes are split.
        source: where the episodes come from, in words, such as the cohort's description.
    """
    rows = episodes.sort_values("episode_id", kind="stable", ignore_index=True)
    hashes = hash_pandas_object(rows, index=False).to_numpy()
    key = ["country", "patient_id", *(["episode_id"] if "episode_id" in splits else [])]
    parts: dict[int, dict[str, DataDescription]] = {}
    for seed in sorted(int(seed) for seed in splits["seed"].unique()):
        of_seed = splits.loc[splits["seed"] == seed, [*key, "split"]]
        split = rows[key].merge(of_seed, on=key, how="left")["split"].to_numpy()
        parts[seed] = {
            context: _describe(
                f"episodes, seed {seed}, {context}",
                rows[split == name],
                hashes[split == name],
                source,
            )
            for name, context in _CONTEXTS.items()
        }
    return RunData(_describe("episodes", rows, hashes, source), parts)


def _describe(
    name: str, rows: pd.DataFrame, hashes: np.ndarray[Any, Any], source: str
) -> DataDescription:
    digest = hashlib.blake2b("\x1f".join(map(str, rows.columns)).encode(), digest_size=16)
    digest.update(hashes.tobytes())
    return DataDescription(
        name=name,
        digest=digest.hexdigest(),
        columns={
            str(column): _TYPES.get(kind.kind, "string") for column, kind in rows.dtypes.items()
        },
        profile={
            "patients": len(rows[["country", "patient_id"]].drop_duplicates()),
            "episodes": len(rows),
            "countries": rows["country"].nunique(),
            "episodes_with_worsening": int(rows["label"].sum()),
        },
        source=source,
    )
