"""One template, a namespace a paradigm, a training node a strategy.

::

    episodes, splits ──► train_<strategy> ──► <paradigm>.<strategy>.predictions
                              ▲          ├──► <paradigm>.<strategy>.history
                              │          └──► <paradigm>.<strategy>.models
    <starts_from>.<strategy>.models (where a paradigm trains on from another)

``unfinished`` is where a training keeps what it came to until the run has ended well.
"""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import PARADIGMS, Family, Training, trainings
from ms_pfl.pipelines.training.nodes import trainer

_INPUTS = ("episodes", "splits", "unfinished")
COMPUTE = {name: f"params:{name}" for name in ("device", "ray", "checkpoints")}
"""Inputs of a node that trains: where and how it computes."""


def create_pipeline(paradigm: str, *families: Family) -> Pipeline:
    """The nodes of one paradigm, under its name as namespace.

    Args:
        paradigm: its name.
        families: whose trainings are wanted; all if none is named.
    """
    starts_from = {}
    nodes = []
    for training in trainings(*families, paradigm=paradigm):
        strategy = training.strategy
        inputs = {name: name for name in _INPUTS} | {"settings": "params:training"} | COMPUTE
        if (before := PARADIGMS[paradigm].starts_from) is not None:
            models = f"{Training(before, strategy).name}.models"
            inputs["start_models"] = starts_from[models] = models
        nodes.append(
            Node(
                func=trainer(training),
                inputs=inputs,
                outputs=[f"{strategy}.{kind}" for kind in ("predictions", "history", "models")],
                name=f"train_{strategy}",
                tags=[strategy],
            )
        )
    return Pipeline(
        nodes,
        namespace=paradigm,
        inputs={name: name for name in _INPUTS} | starts_from,
        parameters={name: name for name in ("params:training", *COMPUTE.values())},
    )


def outputs_of(kind: str, of: Iterable[Training]) -> dict[str, str]:
    """Dataset names of one kind of output of some trainings, by the name of a node's argument.

    Args:
        kind: ``predictions``, ``history`` or ``models``.
        of: the trainings.
    """
    return {training.argument: f"{training.name}.{kind}" for training in of}
