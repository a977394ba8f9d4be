"""One template, five namespaces, a training node a strategy.

::

    episodes, splits ──► train_<strategy> ──► <paradigm>.<strategy>.predictions
                              ▲          ├──► <paradigm>.<strategy>.history
                              │          └──► <paradigm>.<strategy>.models
    federated.<strategy>.models (fine_tuned only)

``unfinished`` is where a training keeps what it came to until the run has ended well.
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.federation.parameters import StrategiesParameters
from ms_pfl.pipelines.training.nodes import trainer
from ms_pfl.training.train import PARADIGMS as PROGRAMS

STRATEGIES = tuple(StrategiesParameters.model_fields)
# Paradigm -> its strategies; what is no federation has one, named for what it has instead.
PARADIGMS = {
    name: STRATEGIES if entry.strategy is None else (entry.strategy,)
    for name, entry in PROGRAMS.items()
}
_INPUTS = ("episodes", "splits", "unfinished")
_PARAMETERS = (
    "device",
    "ray",
    "checkpoints",
    "model",
    "training",
    "protocol",
    "strategies",
    "centralized",
    "local",
    "federated",
    "fine_tuned",
)


def create_pipeline(paradigm: str) -> Pipeline:
    """The nodes of one paradigm, under its name as namespace."""
    starts_from = {}
    nodes = []
    for strategy in PARADIGMS[paradigm]:
        inputs = {name: name for name in _INPUTS} | {name: f"params:{name}" for name in _PARAMETERS}
        if PROGRAMS[paradigm].from_federated:
            inputs["federated_models"] = f"federated.{strategy}.models"
            starts_from[f"federated.{strategy}.models"] = f"federated.{strategy}.models"
        nodes.append(
            Node(
                func=trainer(paradigm, strategy),
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
        parameters={f"params:{name}": f"params:{name}" for name in _PARAMETERS},
    )


def outputs_of(kind: str) -> dict[str, str]:
    """Dataset names of one kind of output over all trainings, by the name of a node's argument.

    Args:
        kind: ``predictions``, ``history`` or ``models``.
    """
    return {
        f"{paradigm}_{strategy}": f"{paradigm}.{strategy}.{kind}"
        for paradigm, strategies in PARADIGMS.items()
        for strategy in strategies
    }
