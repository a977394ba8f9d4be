"""How far the clients' fits are, and what is written down of each country and round or epoch.

A fit to the client's own best epoch is one message that may take hours. Its epochs are told to the
process that the client runs in, and the grid hands them on, for the person who waits: out of band,
in simulation only; no message carries them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class HistoryRow:
    """One country in one round (or epoch); losses are means a row, seconds the client's own.

    Where sums are masked, losses are the means over the rows of all countries, as those of one are
    not known to the server.
    A country that was not drawn in a round trained on 0 rows and has no training loss (NaN).
    Bytes and seconds are those of the round's message, which also scores the model of the round
    before; the evaluation that follows the last round counts for that one.
    """

    seed: int
    round: int
    country: str
    n_train: int
    n_validation: int
    train_loss: float
    validation_loss: float
    validation_roc_auc: float
    seconds: float
    bytes_up: int
    bytes_down: int
    selected: bool


@dataclass(frozen=True)
class FitProgress:
    """One client's fit: the epoch it has ended, of so many at most (0: it begins).

    ``roc_auc``: of that epoch on the client's ``n_validation`` rows; of the best epoch once the
    fit is ``finished``, which early stopping may be before the last epoch.
    """

    epoch: int
    epochs: int
    roc_auc: float
    n_validation: int
    finished: bool = False

    @property
    def fraction(self) -> float:
        """Share of the fit that is done."""
        return 1.0 if self.finished else self.epoch / max(self.epochs, 1)


ProgressListener = Callable[[Mapping[int, FitProgress]], None]
"""Told the latest of each node whose fit has begun."""


@dataclass(frozen=True)
class ProgressReport:
    """Where a training is: when a seed begins, after each round or epoch, and when it is finished.

    ``round`` of ``rounds`` (at most; early stopping ends sooner) of the fit of ``seed``. Where
    each country trains by itself, ``unit`` is ``epoch``: their mean while they train, weighted by
    rows, and the last epoch of any once all have finished. ``validation_roc_auc`` is the
    size-weighted mean over countries where it is defined, else NaN. ``note``: what a person should
    know of how the seed began, or came to its end.
    """

    seed: int
    round: int
    rounds: int
    validation_roc_auc: float
    finished: bool
    unit: Literal["round", "epoch"] = "round"
    note: str = ""
