"""Probabilities, log-loss and ROC-AUC of a model on rows."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ms_pfl.learning.networks import Network

_ROWS_A_BATCH = 4096


@dataclass(frozen=True)
class Rows:
    """Rows on a device: ``x`` float32 ``(rows, features)`` without NaN, ``y`` float32 0/1."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.x.shape[0])


@dataclass(frozen=True)
class Score:
    """Log-loss summed over rows (nats), number of rows, ROC-AUC (NaN where it is undefined)."""

    loss_sum: float
    n: int
    roc_auc: float

    @property
    def loss(self) -> float:
        """Mean log-loss a row; NaN without rows."""
        return self.loss_sum / self.n if self.n else float("nan")


def logits(model: Network, x: Tensor) -> NDArray[np.float64]:
    """Return the model's logits, float64, shape ``(rows,)``; it stays in evaluation mode (no
    dropout)."""
    if model.training:
        model.eval()
    with torch.inference_mode():
        parts = [
            model(x[i : i + _ROWS_A_BATCH]).cpu().numpy() for i in range(0, len(x), _ROWS_A_BATCH)
        ]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)


def probabilities(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the positive class from log-odds, float64, shape ``(rows,)``."""
    # exp of a negative number only, so that nothing overflows
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def score(model: Network, rows: Rows) -> Score:
    """Log-loss and ROC-AUC of the model on the rows, in evaluation mode."""
    return score_logits(logits(model, rows.x), rows.y.cpu().numpy())


def score_logits(z: NDArray[np.float64], y: NDArray[np.float32]) -> Score:
    """Log-loss and ROC-AUC of log-odds, shape ``(rows,)``, of rows with labels 0/1."""
    return Score(log_loss_sum(z, y), len(y), roc_auc(z, y))


def log_loss_sum(z: NDArray[np.float64], y: NDArray[np.float32]) -> float:
    """Sum of ``log(1 + exp(z)) - y z`` over rows: the log-loss of logits ``z``, labels ``y``."""
    return float(np.sum(np.logaddexp(0.0, z) - y * z))


def roc_auc(scores: NDArray[np.float64], y: NDArray[np.float32]) -> float:
    """Area under the ROC curve from mid-ranks (Mann-Whitney U); NaN with a single class.

    ``U / (n1 n0)``, ``U = sum of the positives' ranks - n1 (n1 + 1) / 2``; ties count one half.

    >>> import numpy as np
    >>> roc_auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.875
    """
    positive = y > 0.5
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n1 == 0 or n0 == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    midranks = last - (counts - 1) / 2.0
    u = float(midranks[inverse][positive].sum()) - n1 * (n1 + 1) / 2.0
    return u / (n1 * n0)
