"""How a client fits a logistic regression by itself, and what it keeps of one that is fitted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice

from ms_pfl.federation.client import Client
from ms_pfl.federation.messages import CLUSTERS, LOGISTIC, MIXED, RefusedMessageError
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.learning import logistic, mixed
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scoring import Score, score_logits
from ms_pfl.learning.training import EpochRecord, Fit, TrainingDivergedError
from ms_pfl.paradigms import PARADIGMS
from ms_pfl.personalization.method import Arrays


def epochs_of(settings: ClientSettings) -> tuple[int, int]:
    """Return the epochs of a logistic regression at a node, with validation rows and without.

    The epochs of the pooled node are the steps of its one fit. An epoch of a site is a model with
    one strength of the penalty, the strongest first; epoch 0 is the model to start
    from, if there is one. Without validation rows a site takes the first model.
    """
    told = settings.logistic
    assert told is not None, "it is one"
    row = PARADIGMS[settings.paradigm]
    if row.starts_from is not None:
        return len(told.strengths), 0
    if row.role == "local":
        return len(told.local_ridges) or 1, 1
    return told.steps, told.steps


def fit_alone(
    client: Client,
    settings: LogisticParameters,
    given: Arrays,
    on_epoch: Callable[[EpochRecord], None],
) -> tuple[Fit, Arrays]:
    """Fit on the client's own rows; return the epochs and the best model.

    Args:
        client: that has the rows.
        settings: of the regression.
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
    if row.role == "pooled":
        return _steps(client, settings, on_epoch)
    train, n = client.data.train, client.selection_split().y.size
    x = client.inputs_of(train)
    models: Iterator[Arrays]
    if given:
        models = logistic.around(given, x, train.y, settings)
    else:
        models = logistic.alone(x, train.y, settings)
    most = epochs_of(client.settings)[0 if n else 1]
    records: list[EpochRecord] = []
    best: Arrays = given
    best_epoch, best_loss = 0, math.inf
    began = time.perf_counter()
    first = [(0, given)] if given else []
    for epoch, arrays in (*first, *_numbered(islice(models, most))):
        scored = score(client, arrays)
        trained = score_logits(logistic.logits(arrays, x), train.y)
        records.append(EpochRecord(epoch, trained.loss, scored, time.perf_counter() - began))
        if not math.isfinite(trained.loss + (scored.loss if n else 0.0)):
            raise TrainingDivergedError("the loss of the logistic regression", 1.0)
        if epoch:
            on_epoch(records[-1])
        if len(records) == 1 or scored.loss < best_loss:
            best, best_epoch, best_loss = arrays, epoch, scored.loss
        began = time.perf_counter()
    return Fit(best_epoch, tuple(records)), best


def score(client: Client, arrays: Arrays) -> Score:
    """Return the score of a model on the client's rows to select by."""
    split = client.selection_split()
    return score_logits(logistic.logits(arrays, client.inputs_of(split)), split.y)


def with_own(client: Client, shared: Arrays) -> Arrays:
    """Return what is shared with what the client keeps of the model for itself."""
    return {**shared, **own_part(client, shared)}


def own_part(client: Client, shared: Arrays) -> Arrays:
    """Return what the client keeps of a model for itself: coefficients, where it has its own."""
    if not client.settings.mixed:
        return {}
    train = client.data.train
    return mixed.own(shared, client.inputs_of(train), train.y)


def regression_questions(settings: ClientSettings) -> tuple[str, ...]:
    """Return the question of the steps of a regression, then that about the fitted one, if any."""
    return (MIXED,) if settings.mixed else (LOGISTIC, CLUSTERS)


def _numbered(models: Iterator[Arrays]) -> Iterator[tuple[int, Arrays]]:
    return enumerate(models, start=1)


def _steps(
    client: Client, settings: LogisticParameters, on_epoch: Callable[[EpochRecord], None]
) -> tuple[Fit, Arrays]:
    """One fit, step by step (one at least); the last step counts."""
    train = client.data.train
    x = client.inputs_of(train)
    records: list[EpochRecord] = []
    began = time.perf_counter()
    fitted = logistic.steps(client.width, lambda held: logistic.sums(held, x, train.y), settings)
    for number, (arrays, loss) in enumerate(fitted, start=1):
        scored = score(client, arrays)
        records.append(EpochRecord(number, loss, scored, time.perf_counter() - began))
        on_epoch(records[-1])
        began = time.perf_counter()
    return Fit(len(records), tuple(records)), arrays
