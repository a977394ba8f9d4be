"""The one training node: any paradigm, any strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training, model_name
from ms_pfl.training.settings import TrainingSettings


def trainer(training: Training) -> Callable[..., tuple[Any, ...]]:
    """The node function that trains a paradigm with a strategy over all seeds."""

    def train_paradigm(
        episodes: pd.DataFrame,
        splits: pd.DataFrame,
        unfinished: Any,
        settings: TrainingSettings,
        device: Device,
        ray: RayParameters,
        checkpoints: CheckpointParameters,
        start_models: dict[str, Any] | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
        """Train, with progress on the console; returns predictions, history, models."""
        from ms_pfl.console import TrainingProgress
        from ms_pfl.training.simulation import Compute, train_tables

        compute = Compute(ray, device, unfinished, checkpoints.every_rounds)
        with TrainingProgress(model_name(*training)) as progress:
            done = train_tables(
                training, episodes, splits, settings, compute, progress, start_models
            )
        return done.predictions, done.history, done.models

    train_paradigm.__name__ = f"train_{training.argument}"
    return train_paradigm
