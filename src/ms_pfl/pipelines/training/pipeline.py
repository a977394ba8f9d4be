"""One template, a namespace for each paradigm, a training node for each strategy.

::

    episodes, splits ──► train_<strategy> ──► <paradigm>.<strategy>.predictions ──► predictions
                              ▲          ├──► <paradigm>.<strategy>.history     ──► history
                              │          └──► <paradigm>.<strategy>.models      ──► models
    <starts_from>.<strategy>.models (where a paradigm trains on from another)

Each strategy keeps its datasets, so that it can be trained alone. What goes on from all of them is
made from three datasets in memory, ``predictions``, ``history`` and ``models``: in every paradigm a
node gathers each kind over the strategies, and one more gathers it over the paradigms.
``unfinished`` is where a training keeps partial results until the run has ended well.
"""

from collections.abc import Iterator
from typing import Literal

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import PARADIGMS, Family, Training, trainings
from ms_pfl.pipelines.training.nodes import by_training, gather_models, gather_tables, trainer

Kind = Literal["predictions", "history", "models"]
KINDS: tuple[Kind, ...] = ("predictions", "history", "models")
NAMESPACE = "training"
COMPUTE = {name: f"params:{name}" for name in ("device", "ray", "checkpoints")}
"""Inputs of a node that trains: where and how it computes."""


def create_pipeline(*families: Family) -> Pipeline:
    """All trainings of some families, and what gathers their outputs.

    Args:
        families: that are wanted; all if none is named.
    """
    nodes = [_train(training) for training in trainings(*families)]
    return Pipeline(nodes) + gathering(KINDS, *families)


def create_paradigm_pipeline(paradigm: str, *families: Family) -> Pipeline:
    """Return the trainings of one paradigm.

    Args:
        paradigm: its name.
        families: of the trainings that are wanted; all if none is named.
    """
    return Pipeline([_train(training) for training in trainings(*families, paradigm=paradigm)])


def gathering(kinds: tuple[Kind, ...], *families: Family) -> Pipeline:
    """Return the nodes that gather what all trainings made: for pipelines that go on from it.

    Args:
        kinds: that are wanted, each under its name.
        families: of the trainings.
    """
    return Pipeline([node for kind in kinds for node in _gather(kind, trainings(*families))])


def _train(training: Training) -> Node:
    """Return a training as a node."""
    paradigm, strategy = training
    inputs = {name: name for name in ("episodes", "splits", "unfinished")}
    if (before := PARADIGMS[paradigm].starts_from) is not None:
        inputs["start_models"] = f"{Training(before, strategy).name}.models"
    return Node(
        func=trainer(training),
        inputs=inputs | {"settings": "params:training"} | COMPUTE,
        outputs=[f"{training.name}.{kind}" for kind in KINDS],
        name=f"train_{strategy}",
        tags=[strategy],
        namespace=f"{NAMESPACE}.{paradigm}",
    )


def _gather(kind: Kind, trained: list[Training]) -> Iterator[Node]:
    """One kind of output of each paradigm, and of all."""
    paradigms = list(dict.fromkeys(training.paradigm for training in trained))
    for paradigm in paradigms:
        own = [training for training in trained if training.paradigm == paradigm]
        yield Node(
            func=by_training(own) if kind == "models" else gather_tables,
            inputs=[f"{training.name}.{kind}" for training in own],
            outputs=f"{paradigm}.{kind}",
            name=f"gather_{kind}",
            namespace=f"{NAMESPACE}.{paradigm}",
        )
    yield Node(
        func=gather_models if kind == "models" else gather_tables,
        inputs=[f"{paradigm}.{kind}" for paradigm in paradigms],
        outputs=kind,
        name=f"gather_{kind}",
        namespace=NAMESPACE,
    )
