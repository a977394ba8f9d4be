"""Learners that sites fit together from sums: what a client needs of them, and their fit alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from numpy.typing import NDArray

from ms_pfl.federation.messages import RefusedMessageError
from ms_pfl.learning.scoring import Score, score_logits
from ms_pfl.learning.training import EpochRecord, Fit, TrainingDivergedError
from ms_pfl.paradigms import PARADIGMS

if TYPE_CHECKING:
    import numpy as np

    from ms_pfl.federation.client import Client
    from ms_pfl.federation.flower import ArrayRecord
    from ms_pfl.paradigms import LearnerName
    from ms_pfl.personalization.method import Arrays


class Candidate(NamedTuple):
    """A model that a client may choose, and its log-odds of the rows to train and to select on."""

    arrays: Arrays
    train: NDArray[np.float64]
    selection: NDArray[np.float64]


class FromSums(Protocol):
    """A learner that is fitted from sums."""

    @property
    def name(self) -> LearnerName:
        """Of the learner."""

    @property
    def last_counts(self) -> bool:
        """Whether the last candidate is the model, as there is nothing to choose."""

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions that fit it."""

    def epochs(self) -> tuple[int, int]:
        """Return the candidates of a node alone at most, with validation rows and without."""

    def patience(self) -> int | None:
        """Return after how many candidates without a better one a node stops; None: never."""

    def read(self, record: ArrayRecord, width: int) -> Arrays:
        """Return the arrays of a model in a message, or of a question about one.

        Args:
            record: that came.
            width: columns of the rows as the learner sees them.

        Raises:
            InputError: they are none that may be there with these settings.
        """

    def answer(self, question: str, client: Client, model: Arrays) -> Arrays:
        """Return a client's sums, arrays float64, in answer to one of ``questions``."""

    def own(self, client: Client, shared: Arrays) -> Arrays:
        """Return what a client keeps of a model for itself; it follows from what is shared."""

    def score(self, client: Client, shared: Arrays) -> Score:
        """Return the score, on the rows to select by, of what is shared with the client's own."""

    def candidates(self, client: Client, given: Arrays) -> Iterator[Candidate]:
        """Yield the models among which a client chooses that trains by itself.

        Args:
            client: that has the rows.
            given: the model to train on from, the first candidate; empty for a paradigm that begins
                without one.
        """


def fit_alone(
    learner: FromSums,
    client: Client,
    given: Arrays,
    on_epoch: Callable[[EpochRecord], None],
) -> tuple[Fit, Arrays]:
    """Fit on the client's own rows; return the epochs and the best model.

    An epoch is a candidate, from 1 on; a given model is epoch 0. The lowest log-loss on the rows to
    select by counts, the earlier epoch in a tie; without such rows the first candidate.

    Args:
        learner: what is fitted.
        client: that has the rows.
        given: the model to train on from; empty for a paradigm that begins without one.
        on_epoch: told each epoch as it ends.

    Raises:
        RefusedMessageError: a model is given or missing, and it should be the other way round.
        TrainingDivergedError: a loss is not finite.
    """
    row = PARADIGMS[client.settings.paradigm]
    if bool(given) != (row.starts_from is not None):
        what = "needs a model to start from" if row.starts_from else "starts from no model"
        raise RefusedMessageError(f"train.personalize: this training {what}")
    train, selection = client.data.train, client.selection_split()
    n = selection.y.size
    first = 0 if given else 1
    last, patience = learner.epochs()[0 if n else 1], learner.patience()
    records: list[EpochRecord] = []
    best: Arrays = {}
    best_epoch, best_loss = 0, math.inf
    began = time.perf_counter()
    for epoch, candidate in enumerate(learner.candidates(client, given), start=first):
        scored = score_logits(candidate.selection, selection.y)
        loss = score_logits(candidate.train, train.y).loss
        records.append(EpochRecord(epoch, loss, scored, time.perf_counter() - began))
        if not math.isfinite(loss + (scored.loss if n else 0.0)):
            raise TrainingDivergedError(f"the loss of the {learner.name} model", 1.0)
        if epoch:
            on_epoch(records[-1])
        if epoch == first or learner.last_counts or scored.loss < best_loss:
            best, best_epoch, best_loss = candidate.arrays, epoch, scored.loss
        if epoch >= last or (patience is not None and epoch - best_epoch >= patience):
            break
        began = time.perf_counter()
    return Fit(best_epoch, tuple(records)), best
