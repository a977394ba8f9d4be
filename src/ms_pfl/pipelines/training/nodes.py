"""The training node, for any paradigm and strategy, and those that gather what it made."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training, model_name
from ms_pfl.training.settings import TrainingSettings

Models = dict[str, Any]


def trainer(training: Training) -> Callable[..., tuple[Any, ...]]:
    """Return the node function that trains a paradigm with a strategy over all seeds."""

    def train_paradigm(
        episodes: pd.DataFrame,
        splits: pd.DataFrame,
        unfinished: Any,
        settings: TrainingSettings,
        device: Device,
        ray: RayParameters,
        checkpoints: CheckpointParameters,
        start_models: Models | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame, Models]:
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


def gather_tables(*tables: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all tables below each other."""
    return pd.concat(tables, ignore_index=True)


def gather_models(*models: dict[Training, Models]) -> dict[Training, Models]:
    """Return the models of all paradigms, by training."""
    return {training: arrays for part in models for training, arrays in part.items()}


def by_training(trainings: list[Training]) -> Callable[..., dict[Training, Models]]:
    """Return the node function that returns the models of these trainings, by training."""

    def name_models(*models: Models) -> dict[Training, Models]:
        return dict(zip(trainings, models, strict=True))

    return name_models
