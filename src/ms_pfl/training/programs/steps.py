"""What the programs that fit from sums have in common: a model is scored, and written down."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ms_pfl.federation.exchange import NamedGrid, ask_and_read
from ms_pfl.federation.fixed_point import exact_sum
from ms_pfl.federation.flower import ConfigRecord, RecordDict, payload_bytes, to_record
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.masked_replies import (
    check_alike,
    check_loss,
    questions_in,
    total_loss,
)
from ms_pfl.federation.masking import SCORED
from ms_pfl.federation.replies import HeardStep, ScoredStep, check_records, numbers
from ms_pfl.federation.strategies import mean_over_sites
from ms_pfl.learning.networks import Arrays
from ms_pfl.personalization.method import SHARED
from ms_pfl.training.train import Task


@dataclass
class Exchanged:
    """Bytes to and from a site, and when the counting began."""

    up: int = 0
    down: int = 0
    began: float = field(default_factory=time.perf_counter)

    def begin_anew(self) -> None:
        """Forget what was counted."""
        self.up = self.down = 0
        self.began = time.perf_counter()


@dataclass(frozen=True)
class ScoredModel:
    """A model as the sites score it.

    Attributes:
        rows: of the history, one per site.
        loss: mean log-loss over all rows to select by; NaN where there are none.
        roc_auc: mean over the sites, weighted by their rows.
    """

    rows: list[HistoryRow]
    loss: float
    roc_auc: float


def score_step(
    task: Task,
    grid: NamedGrid,
    seed: int,
    number: int,
    arrays: Arrays,
    train_loss: float,
    sent: Exchanged,
) -> ScoredModel:
    """Have all sites score a model; what was exchanged for it since the last one counts for it."""
    record = to_record(arrays)
    nodes = grid.node_ids(seed)
    config = ConfigRecord({"server-round": number, **grid.masked_over(nodes)})
    content = RecordDict({SHARED: record, "config": config})
    questions: dict[str, dict[str, str]] = {}
    masked: list[RecordDict] = []

    def read(node_id: int, reply: RecordDict) -> HeardStep:
        told: HeardStep
        if grid.secure:
            check_records(reply, (SCORED,), metrics=True, masked=True)
            check_loss(reply.array_records[SCORED])
            questions[grid.name_of(node_id)] = questions_in(reply, (SCORED,))
            masked.append(reply)
            told = numbers(reply, HeardStep)
        else:
            check_records(reply, (), metrics=True)
            told = numbers(reply, ScoredStep)
        grid.rows.check(node_id, "train", told.num_examples)
        grid.rows.check(node_id, task.own.protocol.selection, told.num_validation)
        return told

    answers = ask_and_read(grid, "evaluate", dict.fromkeys(nodes, content), read)
    check_alike(questions)
    seconds = time.perf_counter() - sent.began
    n = sum(told.num_validation for told in answers.values())
    losses = {i: own.loss_sum for i, own in answers.items() if isinstance(own, ScoredStep)}
    total = total_loss(masked, SCORED) if grid.secure else exact_sum(losses.values())
    loss = total / n if n else math.nan
    rows = [
        HistoryRow(
            seed=seed,
            round=number,
            country=grid.nodes[node_id].country,
            n_train=told.num_examples,
            n_validation=told.num_validation,
            train_loss=train_loss,
            validation_loss=_mean_loss(losses.get(node_id), told.num_validation, loss),
            validation_roc_auc=told.roc_auc,
            seconds=seconds,
            bytes_up=sent.up,
            bytes_down=sent.down + payload_bytes(record),
            selected=False,
        )
        for node_id, told in answers.items()
    ]
    sent.begin_anew()
    return ScoredModel(
        rows,
        loss,
        mean_over_sites((row.validation_roc_auc, row.n_validation) for row in rows),
    )


def _mean_loss(total: float | None, n: int, of_all: float) -> float:
    """Return the mean log-loss of a site's rows; that of all sites where it is not known by
    itself."""
    if not n:
        return math.nan
    return of_all if total is None else total / n


def selected(
    history: Sequence[HistoryRow], number: int, sent: Exchanged | None = None
) -> list[HistoryRow]:
    """Return the history with one round selected, and what was exchanged last counted there."""
    more = sent or Exchanged()
    return [
        replace(row, selected=True, bytes_up=row.bytes_up + more.up,
                bytes_down=row.bytes_down + more.down)
        if row.round == number
        else row
        for row in history
    ]  # fmt: skip
