"""Training without rounds: one message, and each node trains to its own best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ms_pfl.federation.engine import ConfigRecord, RecordDict
from ms_pfl.federation.exchange import ask
from ms_pfl.federation.grid import SimulationGrid
from ms_pfl.federation.records import payload_bytes, to_record
from ms_pfl.federation.rounds import HistoryRow, predict
from ms_pfl.federation.strategies import weighted_mean
from ms_pfl.paradigms.outcome import ProgressReport
from ms_pfl.paradigms.task import SeedResult, Start, Task


@dataclass(frozen=True)
class FitPlan:
    """How each node trains: see :func:`ms_pfl.learning.training.fit`."""

    epochs: int
    patience: int
    epochs_without_validation: int
    start_is_candidate: bool
    reply_with_arrays: bool


def train_alone(
    task: Task, grid: SimulationGrid, starts: Mapping[int, Start], plan: FitPlan
) -> list[SeedResult]:
    """Have every prepared node train by itself and predict; all seeds at once.

    Args:
        task: the training.
        grid: its nodes, already prepared.
        starts: by seed the scaler, and the arrays to start from (none: the initial ones).
        plan: epochs and patience.

    Returns:
        A result a seed. The models are ``shared`` where nodes reply with their arrays (there is
        one node then), else personal.
    """
    config = ConfigRecord(
        {
            "epochs": plan.epochs,
            "patience": plan.patience,
            "epochs-without-validation": plan.epochs_without_validation,
            "start-is-candidate": plan.start_is_candidate,
            "reply-with-arrays": plan.reply_with_arrays,
        }
    )
    contents: dict[int, RecordDict] = {}
    for seed, start in starts.items():
        content = RecordDict({"config": config})
        if start.arrays:
            content["arrays"] = to_record(start.arrays)
        contents |= dict.fromkeys(grid.node_ids(seed), content)
    for seed in starts:
        task.report(ProgressReport(seed, 0, plan.epochs, float("nan"), finished=False))
    replies = ask(grid, "train.personalize", contents)
    models = grid.export_state("own")
    results = []
    for seed, start in starts.items():
        nodes = {node_id: grid.nodes[node_id] for node_id in grid.node_ids(seed)}
        history = [
            row
            for node_id, node in nodes.items()
            for row in _history(seed, node.country, replies[node_id], contents[node_id])
        ]
        probabilities = predict(grid, seed, None, 0)
        own = {node.country: models[node] for node in nodes.values()}
        shared = own.popitem()[1] if plan.reply_with_arrays else {}
        results.append(SeedResult(seed, probabilities, history, shared, own, start.scaler))
        chosen = [row for row in history if row.selected]
        auc = weighted_mean(
            np.array([row.validation_roc_auc for row in chosen]),
            np.array([float(row.n_validation) for row in chosen]),
        )
        last = max(row.round for row in history)
        task.report(ProgressReport(seed, last, plan.epochs, auc, finished=True))
    return results


def _history(seed: int, country: str, reply: RecordDict, sent: RecordDict) -> list[HistoryRow]:
    metrics = reply["metrics"]
    down = payload_bytes(sent["arrays"]) if "arrays" in sent else 0
    up = payload_bytes(reply["arrays"]) if "arrays" in reply else 0
    epochs = [int(epoch) for epoch in metrics["epoch"]]
    return [
        HistoryRow(
            seed=seed,
            round=epoch,
            country=country,
            n_train=int(metrics["num-examples"]),
            n_validation=int(metrics["num-validation"]),
            train_loss=float(metrics["train-loss"][i]),
            validation_loss=float(metrics["validation-loss"][i]),
            validation_roc_auc=float(metrics["roc-auc"][i]),
            seconds=float(metrics["seconds"][i]),
            # one message went each way, before the first epoch and after the last
            bytes_up=up if i == len(epochs) - 1 else 0,
            bytes_down=down if i == 0 else 0,
            selected=epoch == int(metrics["best-epoch"]),
        )
        for i, epoch in enumerate(epochs)
    ]
