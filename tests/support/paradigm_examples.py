"""Trains paradigms on small tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from federation_examples import PROTOCOL, STRATEGIES, settings, tables
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import federation_data
from ms_pfl.training.assembly import stamp_of
from ms_pfl.training.outcome import Outcome, ProgressReport
from ms_pfl.training.parameters import ParadigmParameters
from ms_pfl.training.train import PARADIGMS, train

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


def parameters(**changes: object) -> ParadigmParameters:
    told = settings(optimizer="adam", learning_rate=0.02, batch_size=8).model_dump()
    told["model"]["dropout"] = 0.1
    values: dict[str, object] = {
        "device": "cpu",
        "model": told["model"],
        "training": told["training"],
        "protocol": PROTOCOL,
        "strategies": STRATEGIES,
        "centralized": {"epochs": 8, "patience": 3, "batch_size": 16},
        "local": {"epochs": 8, "patience": 3, "epochs_without_validation": 2},
        "federated": {"rounds": 4, "patience": 2, "client_fraction": 1.0},
        "fine_tuned": {
            "epochs": 4,
            "patience": 2,
            "learning_rate_factor": 0.1,
            "epochs_without_validation": 0,
        },
    }
    return ParadigmParameters.model_validate(values | changes)


@dataclass
class Study:
    """Trains paradigms on the same tables; the federated models are trained once a strategy."""

    workers: int = 0
    told: ParadigmParameters = field(default_factory=parameters)
    tables: tuple[pd.DataFrame, pd.DataFrame] = field(default_factory=tables)
    reports: list[ProgressReport] = field(default_factory=list)
    _done: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    def give(self, paradigm: str, strategy: str, outcome: Outcome) -> None:
        """Take an outcome from elsewhere, as if this study's settings had made it."""
        sections, data = PARADIGMS[paradigm].sections, federation_data(*self.tables)
        stamp = stamp_of(paradigm, strategy, sections, data, self.told)
        models = outcome.models | {"stamp": stamp}
        self._done[paradigm, strategy] = replace(outcome, models=models)

    def outcome(self, paradigm: str, strategy: str) -> Outcome:
        key = (paradigm, strategy)
        if key not in self._done:
            models = (
                self.outcome("federated", strategy).models if paradigm == "fine_tuned" else None
            )
            self.reports.clear()
            self._done[key] = train(
                paradigm,
                strategy,
                *self.tables,
                None,
                self.told,
                RayParameters(num_workers=self.workers, address=None),
                models,
                self.reports.append,
            )
        return self._done[key]


def same_models(a: Outcome, b: Outcome) -> bool:
    """Whether all arrays are equal; the stamp tells data and settings apart that give the same."""
    return a.models.keys() == b.models.keys() and all(
        np.array_equal(a.models[name], b.models[name]) for name in a.models if name != "stamp"
    )
