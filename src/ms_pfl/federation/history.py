"""What is written down of each country in each round or epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HistoryRow:
    """One country in one round (or epoch); losses are means a row, seconds the client's own.

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
