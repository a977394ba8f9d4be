"""What the runs in MLflow hold of one comparison, made from plain tables and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ms_pfl.paradigms import Training
from ms_pfl.reporting.words import markdown_text, to_markdown
from ms_pfl.tracking.data import describe_data
from ms_pfl.tracking.models import ModelToLog, example_rows

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

#: The tables that are kept with the parent run, as the catalog names them.
TABLES = (
    "table1",
    "roc_auc_by_country",
    "metrics",
    "estimates",
    "differences",
    "fairness",
    "net_benefit",
    "subgroup_metrics",
)


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
        predictor: the folder of the predictor for new patients, kept with the parent.
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
    histories: Sequence[pd.DataFrame],
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
        histories: the history of each training.
        models: training -> arrays of all seeds; those of the first seed are kept.
    """
    seed = int(tables["metrics"]["seed"].min())
    above, below = ([markdown_text(line) for line in lines] for lines in (headline, notes))
    # a model that is scaled by its country's training rows cannot be kept without them
    kept = {} if settings["protocol"]["scaling"] == "country" else models
    return RunRecord(
        tables["metrics"],
        pd.concat(histories, ignore_index=True),
        tables,
        figures,
        "\n\n".join([*above, to_markdown(tables["table1"]), *below]),
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
    )


def _of_seed(arrays: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of a seed, and those of all seeds."""
    return {
        name: array
        for name, array in arrays.items()
        if not name.startswith("seed=") or name.startswith(f"seed={seed}/")
    }
