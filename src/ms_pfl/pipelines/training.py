"""One template, a namespace a paradigm, a training node a strategy.

::

    episodes, splits ──► train_<strategy> ──► <paradigm>.<strategy>.predictions
                              ▲          ├──► <paradigm>.<strategy>.history
                              │          └──► <paradigm>.<strategy>.models
    <starts_from>.<strategy>.models (where a paradigm trains on from another)

``unfinished`` is where a training keeps what it came to until the run has ended well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import PARADIGMS, Family, Training, model_name, trainings
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


_INPUTS = ("episodes", "splits", "unfinished")
COMPUTE = {name: f"params:{name}" for name in ("device", "ray", "checkpoints")}
"""Inputs of a node that trains: where and how it computes."""


def create_pipeline(paradigm: str, *families: Family) -> Pipeline:
    """The nodes of one paradigm, under its name as namespace.

    Args:
        paradigm: its name.
        families: whose trainings are wanted; all if none is named.
    """
    wanted = trainings(*families, paradigm=paradigm)
    before = PARADIGMS[paradigm].starts_from
    start = {one: f"{Training(before, one.strategy).name}.models" for one in wanted if before}
    inputs = {name: name for name in _INPUTS} | {"settings": "params:training"} | COMPUTE
    return Pipeline(
        [
            Node(
                func=trainer(one),
                inputs=inputs | ({"start_models": start[one]} if before else {}),
                outputs=[f"{one.strategy}.{kind}" for kind in ("predictions", "history", "models")],
                name=f"train_{one.strategy}",
                tags=[one.strategy],
            )
            for one in wanted
        ],
        namespace=paradigm,
        inputs={name: name for name in (*_INPUTS, *start.values())},
        parameters={name: name for name in ("params:training", *COMPUTE.values())},
    )


def outputs_of(kind: str, of: Iterable[Training]) -> dict[str, str]:
    """Dataset names of one kind of output of some trainings, by the name of a node's argument.

    Args:
        kind: ``predictions``, ``history`` or ``models``.
        of: the trainings.
    """
    return {training.argument: f"{training.name}.{kind}" for training in of}
