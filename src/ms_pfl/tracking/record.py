"""What the runs in MLflow hold of one comparison, made from plain tables and arrays.

The episodes are described and digested; no row is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from ms_pfl.paradigms import Training
from ms_pfl.reporting.words import markdown_text, to_markdown
from ms_pfl.tracking.models import ModelToLog, example_rows

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# What MLflow calls the parts of the data; the validation rows are of neither.
_CONTEXTS = {"train": "training", "test": "testing"}
_TYPES = {"f": "double", "i": "long", "u": "long", "b": "boolean", "M": "datetime"}
#: The tables that are kept with the parent run, as the catalog names them.
TABLES = (
    "table1",
    "roc_auc_by_country",
    "metrics",
    "estimates",
    "differences",
    "further_country",
    "fairness",
    "net_benefit",
    "subgroup_metrics",
)
#: Characters of a description that MLflow keeps: of a run (a tag), and of a version of a model.
MOST_OF_A_RUN, MOST_OF_A_VERSION = 8000, 5000


@dataclass(frozen=True)
class RunRecord:
    """A comparison for MLflow.

    Attributes:
        metrics: the table of :func:`ms_pfl.evaluation.scoring.score`; a child run for each fit.
        history: the concatenated history tables of all fits.
        tables: name -> table, kept with the parent, whose metrics have the intervals in
            ``estimates`` and ``differences``.
        figures: names of the figures, without ``.png``, kept with the parent.
        note: Markdown that the parent's page shows as its description.
        data: the episodes, inputs of the child runs by seed, and (None) of the parent; no row is
            kept.
        models: each kept with the child of its fit.
        example: rows that a model predicts from; needed with ``models`` and ``predictor``.
        predictor: the folder of the predictor for new patients, kept with the parent and registered
            as a version of the model ``<experiment>-predictor``.
        verdict: Markdown, what the comparison found; the predictor's version is described by it.
        source: where the episodes come from, in words.
    """

    metrics: pd.DataFrame
    history: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Sequence[str] = ()
    note: str = ""
    data: Mapping[int | None, Sequence[DatasetInput]] = field(default_factory=dict)
    models: Sequence[ModelToLog] = ()
    example: pd.DataFrame | None = None
    predictor: Path | None = None
    verdict: str = ""
    source: str = ""


def build_record(
    tables: Mapping[str, pd.DataFrame],
    headline: Sequence[str],
    notes: Sequence[str],
    figures: Sequence[str],
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    source: str,
    features: Sequence[str],
    settings: Mapping[str, Any],
    predictor: Path,
    history: pd.DataFrame,
    models: Mapping[Training, Mapping[str, np.ndarray]],
) -> RunRecord:
    """Bring together what MLflow keeps of a run.

    Args:
        tables: those that :data:`TABLES` names.
        headline: sentences on what the comparison found.
        notes: the sentences below Table 1.
        figures: names of the figures.
        episodes: the episodes table.
        splits: the splits table.
        source: where the episodes come from, in words.
        features: the feature columns, in the order of the models.
        settings: the section ``training`` of the configuration, as JSON has it.
        predictor: its folder, absent where the run made none.
        history: of all trainings.
        models: training -> arrays of all seeds; those of the first seed are kept.
    """
    seed = int(tables["metrics"]["seed"].min())
    above, below = ([markdown_text(line) for line in lines] for lines in (headline, notes))
    # a model that is scaled by its country's training rows cannot be kept without them
    kept = {} if settings["protocol"]["scaling"] == "country" else models
    return RunRecord(
        tables["metrics"],
        history,
        tables,
        figures,
        description(above, [to_markdown(tables["table1"]), *below]),
        describe_data(episodes, splits, source),
        [
            ModelToLog(
                *training,
                seed,
                _of_seed(arrays, seed),
                {
                    "seed": seed,
                    "features": list(features),
                    "training": list(training),
                    "settings": dict(settings),
                },
            )
            for training, arrays in kept.items()
        ],
        example_rows(episodes, features),
        predictor if predictor.is_dir() else None,
        description(above, [], MOST_OF_A_VERSION),
        source,
    )


def description(sentences: Sequence[str], others: Sequence[str], most: int = MOST_OF_A_RUN) -> str:
    """Return paragraphs that MLflow keeps whole: as many sentences as there is room for.

    Args:
        sentences: the most important first; those that do not fit are left out from the first on.
        others: that follow them, each left out where it does not fit by itself.
        most: characters, at most; MLflow cuts off what is beyond.

    >>> description(["Better.", "Much better."], ["| table |"], most=20)
    'Better.\\n\\n| table |'
    """
    gap = "\n\n"
    kept: list[str] = []
    for text in others:
        if len(gap.join([*kept, text])) <= most:
            kept.append(text)
    above: list[str] = []
    for text in sentences:
        if len(gap.join([*above, text, *kept])) > most:
            break
        above.append(text)
    return gap.join([*above, *kept])


def _of_seed(arrays: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of a seed, and those of all seeds."""
    return {
        name: array
        for name, array in arrays.items()
        if not name.startswith("seed=") or name.startswith(f"seed={seed}/")
    }


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
