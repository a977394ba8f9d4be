"""Training without rounds: one message, and each node trains to its own best epoch.

While it does, the grid tells how far the nodes are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ms_pfl.federation.exchange import ask
from ms_pfl.federation.flower import ConfigRecord, RecordDict
from ms_pfl.federation.grids.named import NamedGrid
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.progress import FitProgress
from ms_pfl.federation.questions import predict
from ms_pfl.federation.records import payload_bytes, to_arrays, to_record
from ms_pfl.federation.strategies import mean_over_sites
from ms_pfl.training.outcome import ProgressReport
from ms_pfl.training.task import SeedResult, Start, Task

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FitPlan:
    """How each node trains: see :func:`ms_pfl.learning.training.fit`."""

    epochs: int
    patience: int
    epochs_without_validation: int
    start_is_candidate: bool
    reply_with_arrays: bool

    def contents(self, starts: Mapping[int, Start], grid: NamedGrid) -> dict[int, RecordDict]:
        """The ``train.personalize`` messages: by node, of the seeds of the starts."""
        config = ConfigRecord(
            {
                "epochs": self.epochs,
                "patience": self.patience,
                "epochs-without-validation": self.epochs_without_validation,
                "start-is-candidate": self.start_is_candidate,
                "reply-with-arrays": self.reply_with_arrays,
            }
        )
        contents: dict[int, RecordDict] = {}
        for seed, start in starts.items():
            content = RecordDict({"config": config})
            if start.arrays:
                content["arrays"] = to_record(start.arrays)
            contents |= dict.fromkeys(grid.node_ids(seed), content)
        return contents


def train_alone(
    task: Task, grid: NamedGrid, starts: Mapping[int, Start], plan: FitPlan
) -> list[SeedResult]:
    """Have every prepared node train by itself and predict; these seeds at once.

    Args:
        task: the training.
        grid: its nodes, already prepared.
        starts: by seed the scaler, and the arrays to start from (none: the initial ones).
        plan: epochs and patience.

    Returns:
        A result a seed. The model is ``shared`` where a node replies with its arrays (there is one
        node then), else each is personal, or stays at its site.
    """
    if (logistic := task.client().logistic) is not None:  # a step is an epoch in the history
        most = logistic.steps
        plan = replace(plan, epochs=most, epochs_without_validation=most)
    contents = plan.contents(starts, grid)
    watch = _Watch(task, grid, starts, plan.epochs)
    with grid.watched_by(watch):
        replies = ask(grid, "train.personalize", contents)
    models = grid.export_state("own")
    results = []
    for seed, start in starts.items():
        nodes = {node_id: grid.nodes[node_id] for node_id in grid.node_ids(seed)}
        history = history_alone(grid, seed, replies, contents)
        told = predict(grid, seed, None, 0, task.training.name)
        own = {node.country: models[node] for node in nodes.values() if node in models}
        shared: dict[str, np.ndarray] = {}
        if plan.reply_with_arrays:
            (node_id,) = nodes
            shared, own = to_arrays(replies[node_id]["arrays"]), {}
        results.append(
            SeedResult(seed, told.probabilities, history, shared, own, start.scaler, told.metrics)
        )
        chosen = [(row.validation_roc_auc, row.n_validation) for row in history if row.selected]
        watch.finish(seed, max(row.round for row in history), mean_over_sites(chosen))
    return results


class _Watch:
    """Reports each seed from the progress of its nodes.

    The epoch of a seed is its nodes' mean, weighted by their training rows, where a node that
    stopped early counts as done: so it says how much of the work is done.
    """

    def __init__(self, task: Task, grid: NamedGrid, seeds: Iterable[int], epochs: int) -> None:
        self._report = task.report
        self._epochs = epochs
        self._rows = {
            seed: {
                node_id: task.sites.training_rows(grid.nodes[node_id].country, seed)
                for node_id in grid.node_ids(seed)
            }
            for seed in seeds
        }
        self._unfinished = set(self._rows)

    def __call__(self, fits: Mapping[int, FitProgress]) -> None:
        for seed in sorted(self._unfinished):
            rows = self._rows[seed]
            begun = {node_id: fits[node_id] for node_id in rows if node_id in fits}
            auc = mean_over_sites((fit.roc_auc, fit.n_validation) for fit in begun.values())
            if len(begun) == len(rows) and all(fit.finished for fit in begun.values()):
                self.finish(seed, max(fit.epoch for fit in begun.values()), auc)
            elif begun:
                done = sum(rows[node_id] * fit.fraction for node_id, fit in begun.items())
                epoch = round(self._epochs * done / sum(rows.values()))
                self._report(ProgressReport(seed, epoch, self._epochs, auc, False, "epoch"))

    def finish(self, seed: int, epoch: int, auc: float) -> None:
        """Report the end of a seed, once."""
        if seed in self._unfinished:
            self._unfinished.remove(seed)
            self._report(ProgressReport(seed, epoch, self._epochs, auc, True, "epoch"))


def history_alone(
    grid: NamedGrid,
    seed: int,
    replies: Mapping[int, RecordDict],
    contents: Mapping[int, RecordDict],
) -> list[HistoryRow]:
    """The epochs of a seed's nodes, from what each was sent and replied."""
    return [
        row
        for node_id in grid.node_ids(seed)
        for row in _history(seed, grid.nodes[node_id].country, replies[node_id], contents[node_id])
    ]


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
