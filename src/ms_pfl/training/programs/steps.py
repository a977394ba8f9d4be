"""What the programs that fit from sums have in common: a model is scored, and written down."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ms_pfl.federation.exchange import NamedGrid, ask_and_read
from ms_pfl.federation.flower import ConfigRecord, RecordDict, payload_bytes, to_record
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.replies import ScoredStep, check_records, numbers
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
        rows: of the history, one a site.
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
    content = RecordDict({SHARED: record, "config": ConfigRecord({"server-round": number})})

    def read(node_id: int, reply: RecordDict) -> ScoredStep:
        check_records(reply, (), metrics=True)
        told = numbers(reply, ScoredStep)
        grid.rows.check(node_id, "train", told.num_examples)
        grid.rows.check(node_id, task.own.protocol.selection, told.num_validation)
        return told

    answers = ask_and_read(grid, "evaluate", dict.fromkeys(grid.node_ids(seed), content), read)
    seconds = time.perf_counter() - sent.began
    rows = [
        HistoryRow(
            seed=seed,
            round=number,
            country=grid.nodes[node_id].country,
            n_train=told.num_examples,
            n_validation=told.num_validation,
            train_loss=train_loss,
            validation_loss=(
                told.loss_sum / told.num_validation if told.num_validation else math.nan
            ),
            validation_roc_auc=told.roc_auc,
            seconds=seconds,
            bytes_up=sent.up,
            bytes_down=sent.down + payload_bytes(record),
            selected=False,
        )
        for node_id, told in answers.items()
    ]
    sent.begin_anew()
    n = sum(told.num_validation for told in answers.values())
    return ScoredModel(
        rows,
        math.fsum(told.loss_sum for told in answers.values()) / n if n else math.nan,
        mean_over_sites((row.validation_roc_auc, row.n_validation) for row in rows),
    )


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
