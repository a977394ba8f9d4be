"""Trains paradigms on small tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from federation_examples import INPUTS, PROTOCOL, STRATEGIES, settings, tables
from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import federation_data
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.training.bundle import stamp_of
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Compute, Outcome, train_tables

ALL = (
    ("centralized", "pooled"),
    ("local", "none"),
    ("federated", "fedavg"),
    ("federated", "fedprox"),
    ("fine_tuned", "fedavg"),
    ("fine_tuned", "fedprox"),
    ("adaptive", "fedavg"),
    ("adaptive", "fedprox"),
)

HISTORY = [
    "paradigm", "strategy", "seed", "round", "country", "n_train", "n_validation", "train_loss",
    "validation_loss", "validation_roc_auc", "seconds", "bytes_up", "bytes_down", "selected",
]  # fmt: skip


def parameters(**changes: object) -> TrainingSettings:
    told = settings(kind="adam", learning_rate=0.02, batch_size=8).model_dump()
    told["network"]["dropout"] = 0.1
    values: dict[str, object] = {
        "network": told["network"],
        "optimizer": told["optimizer"],
        "inputs": INPUTS,
        "protocol": PROTOCOL,
        "strategies": STRATEGIES,
        "centralized": {"epochs": 8, "patience": 3, "batch_size": 16},
        "local": {"epochs": 8, "patience": 3, "epochs_without_validation": 2},
        "federation": {"rounds": 4, "patience": 2, "client_fraction": 1.0},
        "fine_tuned": {
            "epochs": 4,
            "patience": 2,
            "learning_rate_factor": 0.1,
            "epochs_without_validation": 0,
        },
        "proximal_copy": {"pull": 0.5},
        "scaffold": {"learning_rate": 0.05},
    }
    return TrainingSettings.model_validate(values | changes)


def compute(workers: int = 0) -> Compute:
    """In this process, or on so many workers of Ray; on the CPU."""
    return Compute(RayParameters(num_workers=workers, address=None), "cpu")


@dataclass
class Study:
    """Trains paradigms on the same tables; the federated models are trained once per strategy."""

    workers: int = 0
    told: TrainingSettings = field(default_factory=parameters)
    tables: tuple[pd.DataFrame, pd.DataFrame] = field(default_factory=tables)
    reports: list[ProgressReport] = field(default_factory=list)
    _done: dict[Training, Outcome] = field(default_factory=dict)

    def give(self, paradigm: str, strategy: str, outcome: Outcome) -> None:
        """Take an outcome from elsewhere, as if this study's settings had made it."""
        training = Training(paradigm, strategy)
        stamp = stamp_of(training, federation_data(*self.tables), self.told)
        self._done[training] = replace(outcome, models=outcome.models | {"stamp": stamp})

    def outcome(self, paradigm: str, strategy: str) -> Outcome:
        training = Training(paradigm, strategy)
        if training not in self._done:
            before = PARADIGMS[paradigm].starts_from
            models = None if before is None else self.outcome(before, strategy).models
            self.reports.clear()
            self._done[training] = train_tables(
                training,
                *self.tables,
                self.told,
                compute(self.workers),
                self.reports.append,
                models,
            )
        return self._done[training]


def same_models(a: Outcome, b: Outcome) -> bool:
    """Whether all arrays are equal; the stamp depends on data and settings too."""
    return a.models.keys() == b.models.keys() and all(
        np.array_equal(a.models[name], b.models[name]) for name in a.models if name != "stamp"
    )
