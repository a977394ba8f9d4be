"""The one training node: any paradigm, any strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import (
    CheckpointParameters,
    ProtocolParameters,
    RayParameters,
    RoundsParameters,
    StrategiesParameters,
)
from ms_pfl.learning.parameters import Device, ModelParameters, TrainingParameters
from ms_pfl.training.parameters import (
    CentralizedParameters,
    FineTunedParameters,
    LocalParameters,
    ParadigmParameters,
)


def trainer(paradigm: str, strategy: str) -> Callable[..., tuple[Any, ...]]:
    """The node function that trains ``paradigm`` with ``strategy`` over all seeds."""

    def train_paradigm(
        episodes: pd.DataFrame,
        splits: pd.DataFrame,
        unfinished: Any,
        device: Device,
        ray: RayParameters,
        checkpoints: CheckpointParameters,
        model: ModelParameters,
        training: TrainingParameters,
        protocol: ProtocolParameters,
        strategies: StrategiesParameters,
        centralized: CentralizedParameters,
        local: LocalParameters,
        federated: RoundsParameters,
        fine_tuned: FineTunedParameters,
        federated_models: dict[str, Any] | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
        """Train, with progress on the console; returns predictions, history, models."""
        from ms_pfl.console import TrainingProgress
        from ms_pfl.paradigms import model_name
        from ms_pfl.training.train import train

        parameters = ParadigmParameters(
            device=device,
            model=model,
            training=training,
            protocol=protocol,
            strategies=strategies,
            centralized=centralized,
            local=local,
            federated=federated,
            fine_tuned=fine_tuned,
        )
        with TrainingProgress(model_name(paradigm, strategy)) as progress:
            outcome = train(
                paradigm,
                strategy,
                episodes,
                splits,
                None,
                parameters,
                ray,
                federated_models,
                progress,
                unfinished,
                checkpoints.every_rounds,
            )
        return outcome.predictions, outcome.history, outcome.models

    train_paradigm.__name__ = f"train_{paradigm}_{strategy}"
    return train_paradigm
