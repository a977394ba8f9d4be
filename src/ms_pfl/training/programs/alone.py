"""Training without rounds: one message, and each node trains to its own best epoch.

While it does, the grid tells how far the nodes are. So train the centralized model, the local ones
and those that are fine-tuned.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ms_pfl.federation.client import network_forms
from ms_pfl.federation.exchange import NamedGrid, ask_and_read, prepare
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    RecordDict,
    payload_bytes,
    received,
    to_arrays,
    to_record,
)
from ms_pfl.federation.history import FitProgress, HistoryRow, ProgressReport
from ms_pfl.federation.partitions import POOLED
from ms_pfl.federation.predictions import predict
from ms_pfl.federation.replies import Personalized, check_records, numbers
from ms_pfl.federation.strategies import mean_over_sites
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning.parameters import OptimizerParameters
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.personalization.method import SHARED, Arrays
from ms_pfl.training.programs.federated import fit_together
from ms_pfl.training.programs.newton import covariance_of
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.train import SeedResult, Start, Task


def centralized(task: Task) -> list[SeedResult]:
    """One model on all countries' pooled training patients.

    One node a seed holds everybody's rows and trains to its best validation epoch. All seeds at
    once: there is one node a seed, and workers can share the seeds alone.
    """
    own = task.own.centralized
    settings = task.client(task.own.optimizer.model_copy(update={"batch_size": own.batch_size}))
    with task.open_grid([POOLED], task.seeds) as grid:
        starts = {seed: Start({}, task.agree_on_inputs(grid, seed)) for seed in task.seeds}
        for seed, start in starts.items():
            prepare(grid, seed, settings, start.inputs)
        results = train_alone(
            task, grid, starts, own.epochs, own.patience, own.epochs, reply_with_arrays=True
        )
        if settings.logistic is None:
            return results
        return [
            replace(
                result,
                covariance=covariance_of(
                    task, grid, result.seed, result.shared, result.inputs.width
                )[0],
            )
            for result in results
        ]


def local(task: Task) -> Iterator[SeedResult]:
    """Every country trains to its own best validation epoch, and shares sums for the inputs alone.

    A start that is given lends its inputs: a country that comes later has those of the others.
    """
    own = task.own.local
    for seed in task.seeds:
        with task.open_grid(task.sites.names, [seed]) as grid:
            given = task.starts.get(seed)
            start = Start({}, given.inputs if given else task.agree_on_inputs(grid, seed))
            prepare(grid, seed, task.client(), start.inputs)
            yield from train_alone(
                task, grid, {seed: start}, own.epochs, own.patience, own.epochs_without_validation
            )


def fine_tuned(task: Task) -> Iterator[SeedResult]:
    """Every country trains on from the federated model of the same strategy and seed.

    That model is itself among the candidates; the learning rate is a smaller one. Where no
    federated model is given it is trained first, and kept as the shared arrays.
    """
    own = task.own.fine_tuned
    settings = task.client(fine_tuning_optimizer(task.own))
    for seed in task.seeds:
        with task.open_grid(task.sites.names, [seed]) as grid:
            given = task.starts.get(seed)
            start = given or _federated(task, grid, seed)
            prepare(grid, seed, settings, start.inputs)
            (result,) = train_alone(
                task,
                grid,
                {seed: start},
                own.epochs,
                own.patience,
                own.epochs_without_validation,
                start_is_candidate=True,
            )
            yield result if given else replace(result, shared=start.arrays)


def fine_tuning_optimizer(own: TrainingSettings) -> OptimizerParameters:
    """Return the optimizer of fine-tuning, whose learning rate is a smaller one."""
    rate = own.optimizer.learning_rate * own.fine_tuned.learning_rate_factor
    return own.optimizer.model_copy(update={"learning_rate": rate})


def _federated(task: Task, grid: NamedGrid, seed: int) -> Start:
    before = PARADIGMS[task.training.paradigm].starts_from
    assert before is not None, "the row of a paradigm with this program says what it starts from"
    done = fit_together(task.of(Training(before, task.training.strategy)), grid, seed)
    return Start(done.shared, done.inputs)


def train_alone(
    task: Task,
    grid: NamedGrid,
    starts: Mapping[int, Start],
    epochs: int,
    patience: int,
    epochs_without_validation: int,
    *,
    start_is_candidate: bool = False,
    reply_with_arrays: bool = False,
) -> list[SeedResult]:
    """Have every prepared node train by itself and predict; these seeds at once.

    Args:
        task: the training.
        grid: its nodes, already prepared.
        starts: by seed the inputs, and the arrays to start from (none: the initial ones).
        epochs: at most; how each node trains, see :func:`ms_pfl.learning.training.fit`.
        patience: epochs without a better one, after which a node stops.
        epochs_without_validation: of a node that has nothing to choose by.
        start_is_candidate: whether the model to start from may be the best.
        reply_with_arrays: whether the node of a seed (there is one then) hands over its model.

    Returns:
        A result a seed. The model is ``shared`` where a node replies with its arrays, else each is
        personal, or stays at its site.
    """
    learner = learner_from_sums(task.client())
    if learner is not None:
        epochs, epochs_without_validation = learner.epochs()
    config = ConfigRecord(
        {
            "epochs": epochs,
            "patience": patience,
            "epochs-without-validation": epochs_without_validation,
            "start-is-candidate": start_is_candidate,
            "reply-with-arrays": reply_with_arrays,
        }
    )
    selection = task.own.protocol.selection
    widths = {seed: start.inputs.width for seed, start in starts.items()}

    def read(node_id: int, reply: RecordDict) -> tuple[Personalized, ArrayRecord | None]:
        check_records(reply, (SHARED,) if reply_with_arrays else (), metrics=True)
        told = numbers(reply, Personalized)
        grid.rows.check(node_id, "train", told.num_examples)
        grid.rows.check(node_id, selection, told.num_validation)
        most = epochs if told.num_validation else epochs_without_validation
        told.check(most, start_is_candidate=start_is_candidate)
        if not reply_with_arrays:
            return told, None
        record, width = reply.array_records[SHARED], widths[grid.nodes[node_id].seed]
        if learner is not None:
            learner.read(record, width)
        else:
            received(record, network_forms(task.client(), width))
        return told, record

    contents: dict[int, RecordDict] = {}
    for seed, start in starts.items():
        content = RecordDict({"config": config})
        if start.arrays:
            content["arrays"] = to_record(start.arrays)
        contents |= dict.fromkeys(grid.node_ids(seed), content)
    watch = _Watch(task, grid, starts, epochs)
    with grid.watched_by(watch):
        replies = ask_and_read(grid, "train.personalize", contents, read)
    models = grid.export_state("own")
    results = []
    for seed, start in starts.items():
        nodes = {node_id: grid.nodes[node_id] for node_id in grid.node_ids(seed)}
        history = [
            row
            for node_id, node in nodes.items()
            for row in _history(seed, node.country, *replies[node_id], contents[node_id])
        ]
        told = predict(grid, seed, None, 0, task.training.name)
        own = {node.country: models[node] for node in nodes.values() if node in models}
        shared: Arrays = {}
        if reply_with_arrays:
            (node_id,) = nodes
            _, sent = replies[node_id]
            assert sent is not None, "it was asked for"
            shared, own = to_arrays(sent), {}
        results.append(
            SeedResult(seed, told.probabilities, history, shared, own, start.inputs, told.metrics)
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


def _history(
    seed: int, country: str, told: Personalized, model: ArrayRecord | None, sent: RecordDict
) -> list[HistoryRow]:
    """Return the epochs of a node, from what it was sent and replied."""
    down = payload_bytes(sent["arrays"]) if "arrays" in sent else 0
    up = 0 if model is None else payload_bytes(model)
    return [
        HistoryRow(
            seed=seed,
            round=epoch,
            country=country,
            n_train=told.num_examples,
            n_validation=told.num_validation,
            train_loss=told.train_loss[i],
            validation_loss=told.validation_loss[i],
            validation_roc_auc=told.roc_auc[i],
            seconds=told.seconds[i],
            # one message went each way, before the first epoch and after the last
            bytes_up=up if i == len(told.epoch) - 1 else 0,
            bytes_down=down if i == 0 else 0,
            selected=epoch == told.best_epoch,
        )
        for i, epoch in enumerate(told.epoch)
    ]
