"""The defaults of conf/base, chosen on validation: networks and inputs, setting by setting.

``python benchmarks/defaults.py FOLDER`` trains on the episodes and splits of a finished run (its
``data`` folder) with settings that differ from conf/base in one or two places, all seeds, in this
process, and prints log-loss and pooled ROC-AUC on the *validation* rows, mean over seeds. Test rows
are not looked at.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.paradigms import Training
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Compute, train_tables
from support import machine, read_parameters, table

TRAININGS = ("centralized.pooled", "federated.fedavg", "federated.logistic")
VARIANTS: dict[str, dict[str, Any]] = {
    "conf/base": {},
    "standard inputs": {"inputs": {"kind": "standard"}},
    "knots 4": {"inputs": {"knots": 4}},
    "level columns 25": {"inputs": {"level_columns": 25}},
    "bins 12": {"inputs": {"bins": 12}},
    "dropout .1, decay 5e-5": {"network": {"dropout": 0.1}, "optimizer": {"weight_decay": 5e-5}},
    "dropout .3, decay 5e-5": {"network": {"dropout": 0.3}, "optimizer": {"weight_decay": 5e-5}},
    "dropout .1, decay 1e-3": {"network": {"dropout": 0.1}, "optimizer": {"weight_decay": 1e-3}},
    "dropout .3, decay 1e-3": {"network": {"dropout": 0.3}, "optimizer": {"weight_decay": 1e-3}},
    "dropout .5, decay 1e-3": {"network": {"dropout": 0.5}, "optimizer": {"weight_decay": 1e-3}},
    "dropout .3, decay 3e-3": {"network": {"dropout": 0.3}, "optimizer": {"weight_decay": 3e-3}},
    "rounds 60, patience 15": {"federation": {"rounds": 60, "patience": 15},
                               "centralized": {"epochs": 80, "patience": 10}},
    "learning rate 2e-3": {"optimizer": {"learning_rate": 2e-3}},
    "knots 4, dropout .3, decay 1e-3": {
        "inputs": {"knots": 4}, "network": {"dropout": 0.3}, "optimizer": {"weight_decay": 1e-3}},
    "knots 4, dropout .3, decay 3e-3": {
        "inputs": {"knots": 4}, "network": {"dropout": 0.3}, "optimizer": {"weight_decay": 3e-3}},
    "the same, learning rate 2e-3": {
        "inputs": {"knots": 4}, "network": {"dropout": 0.3},
        "optimizer": {"weight_decay": 3e-3, "learning_rate": 2e-3}},
    "the same, rounds 60, patience 15": {
        "inputs": {"knots": 4}, "network": {"dropout": 0.3},
        "optimizer": {"weight_decay": 3e-3, "learning_rate": 2e-3},
        "federation": {"rounds": 60, "patience": 15}},
    "ridge 3": {"strategies": {"logistic": {"ridge": 3.0}}},
    "ridge 10": {"strategies": {"logistic": {"ridge": 10.0}}},
    "ridge 30": {"strategies": {"logistic": {"ridge": 30.0}}},
}  # fmt: skip


def main() -> None:
    """Train each variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="data folder of a finished run")
    parser.add_argument("--env", default="base", help="configuration (default: base)")
    parser.add_argument("--trainings", nargs="+", default=TRAININGS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    asked = parser.parse_args()
    episodes = pd.read_parquet(asked.folder / "03_primary/episodes.parquet")
    splits = pd.read_parquet(asked.folder / "05_model_input/splits.parquet")
    told = read_parameters(asked.env).training
    lines = []
    for name in asked.trainings:
        for variant in asked.variants:
            began = time.process_time()
            scores = validation(name, episodes, splits, changed(told, VARIANTS[variant]))
            figures = [f"{score:.4f}" for score in scores]
            lines.append([name, variant, *figures, time.process_time() - began])
            print(*lines[-1], flush=True)
    print(table(["training", "settings", "log-loss", "ROC-AUC", "s of CPU"], lines))
    print(f"\n{machine()}")


def changed(told: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """Return the settings with some values replaced."""

    def merged(values: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        return values | {
            key: merged(values[key], value) if isinstance(value, Mapping) else value
            for key, value in new.items()
        }

    return TrainingSettings.model_validate(merged(told.model_dump(), changes))


def validation(
    name: str, episodes: pd.DataFrame, splits: pd.DataFrame, settings: TrainingSettings
) -> tuple[float, float]:
    """Log-loss and ROC-AUC of the pooled validation rows, mean over seeds."""
    compute = Compute(RayParameters(num_workers=0, address=None), "cpu")
    training = Training(*name.split("."))
    found = train_tables(training, episodes, splits, settings, compute, lambda _: None).predictions
    rows = found[found["split"] == "validation"]
    scores = [
        [METRICS[metric].plain(seed["label"].to_numpy(), seed["probability"].to_numpy())
         for metric in ("log_loss", "roc_auc")]
        for _, seed in rows.groupby("seed")
    ]  # fmt: skip
    loss, auc = np.mean(scores, axis=0)
    return float(loss), float(auc)


if __name__ == "__main__":
    main()
