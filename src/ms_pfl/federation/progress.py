"""How far the clients' fits are, for the person who waits: out of band, in simulation only.

A fit to the client's own best epoch is one message that may take hours. Its epochs are told to the
process that the client runs in, and the grid hands them on; no message carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


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
