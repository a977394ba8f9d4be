"""What a training reports while it runs and hands back when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd


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


@dataclass(frozen=True)
class Outcome:
    """A finished training of one paradigm with one strategy, over all seeds.

    ``predictions``: a row a validation or test episode and seed (paradigm, strategy, seed,
    country, patient_id, episode_id, split, label, probability), sorted by seed, country,
    patient_id, episode_id.
    ``history``: a row a round (or epoch), seed and country: paradigm, strategy, seed, round,
    country, n_train, n_validation, train_loss, validation_loss (mean log-loss a row, nats),
    validation_roc_auc (NaN where undefined), seconds, bytes_up, bytes_down, selected. Centralized
    training has the one country ``pooled``.
    ``models``: the arrays of a :class:`ms_pfl.training.bundle.ModelBundle`.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    models: dict[str, np.ndarray]
