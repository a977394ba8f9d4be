"""The training loop: plain torch on tensors held in memory.

Batches are slices of a shuffled index (``x[index[i:i + size]]``): for small networks a DataLoader
costs more than the network. All random numbers (shuffles, dropout) come from one seed a call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ms_pfl.errors import InputError
from ms_pfl.learning import fast_gradients
from ms_pfl.learning.networks import Network, get_arrays, set_arrays
from ms_pfl.learning.parameters import Device, OptimizerParameters
from ms_pfl.learning.scoring import Rows, Score, score


class TrainingDivergedError(ArithmeticError):
    """A loss or weight became infinite or not a number; the message says what may help."""

    def __init__(self, what: str, learning_rate: float) -> None:
        """Say what ("the training loss of epoch 2") and with which learning rate."""
        self._parts = what, learning_rate
        super().__init__(
            f"{what} is not finite (learning rate {learning_rate:g}): a lower "
            "training.optimizer.learning_rate (or proximal_mu) may help"
        )

    def during(self, when: str) -> TrainingDivergedError:
        """Return the same with the time put before it ("round 3")."""
        what, learning_rate = self._parts
        return TrainingDivergedError(f"{when}: {what}", learning_rate)


@dataclass(frozen=True)
class Proximal:
    """FedProx's term ``mu / 2 * ||w - w_global||^2`` (Li et al., MLSys 2020).

    ``reference`` holds the global weights; the sum runs over the arrays it names.
    """

    mu: float
    reference: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a fit; epoch 0 is the model before training. Losses are means a row."""

    epoch: int
    train_loss: float
    validation: Score
    seconds: float


@dataclass(frozen=True)
class Fit:
    """A finished fit: the epochs, and the one whose weights the model now has."""

    best_epoch: int
    records: tuple[EpochRecord, ...]

    @property
    def best(self) -> EpochRecord:
        """The record of the best epoch."""
        return next(record for record in self.records if record.epoch == self.best_epoch)


def resolve_device(device: Device) -> torch.device:
    """Return the torch device of a setting; ``auto`` takes a GPU where there is one.

    Raises:
        InputError: ``cuda`` was asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda was set, but torch sees no GPU; set device: auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread; the number there was is restored at the end.

    The number of threads changes the order of sums and so the last bits: with one thread the
    same code gives the same bits in a worker and in the main process.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One torch thread, and torch's random numbers from ``seed``; both restored at the end."""
    cuda = torch.cuda.is_initialized()
    devices = list(range(torch.cuda.device_count())) if cuda else []
    with torch.random.fork_rng(devices=devices), one_thread():
        # torch.manual_seed would also seed devices that are not in use, which takes milliseconds
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed_all(seed)
        yield


def train_epochs(
    model: Network,
    train: Rows,
    validation: Rows,
    training: OptimizerParameters,
    *,
    epochs: int,
    seed: int,
    proximal: Proximal | None = None,
    shift: Mapping[str, np.ndarray] | None = None,
) -> float:
    """Train for a number of epochs, as a client does in a federated round.

    Args:
        model: changed in place; it keeps the weights of the last epoch.
        train: the country's training rows, at least one.
        validation: looked at only for the learning-rate schedule, if one is set.
        training: optimizer and its settings; the optimizer is new in each call.
        epochs: passes over the training rows.
        seed: of shuffles and dropout.
        proximal: FedProx's term, or None.
        shift: added to the gradient in each step, by the name of the array; None: nothing.

    Returns:
        The mean log-loss a row during the last epoch, without the proximal term.

    Raises:
        TrainingDivergedError: a loss, or a weight at the end, is not finite.
    """
    with reproducible(seed):
        loop = _Loop(model, train, training, proximal, shift)
        loss = math.nan
        for _ in range(epochs):
            loss = loop.epoch()
            if training.plateau is not None:
                loop.lower_rate(score(model, validation).loss if len(validation) else loss)
        # the largest magnitudes: quicker than a look at each number, and NaN where one is
        weights = [weight.detach() for weight in model.weights.values()]
        if not bool(torch.stack(torch._foreach_norm(weights, math.inf)).isfinite().all()):
            raise loop.diverged(f"a weight after epoch {epochs}")
        return loss


def fit(
    model: Network,
    train: Rows,
    validation: Rows,
    training: OptimizerParameters,
    *,
    epochs: int,
    patience: int,
    epochs_without_validation: int,
    start_is_candidate: bool,
    seed: int,
    on_epoch: Callable[[EpochRecord], None] = lambda _: None,
) -> Fit:
    """Train to the best validation epoch and restore its weights.

    The best epoch has the lowest mean validation log-loss, the earlier one in a tie. Without
    validation rows there is nothing to choose by: the model is trained for
    ``epochs_without_validation`` and keeps its last weights.

    Args:
        model: changed in place; it ends with the best epoch's weights.
        train: the training rows, at least one.
        validation: the validation rows, possibly none.
        training: optimizer and its settings, one optimizer for the whole fit.
        epochs: at most so many.
        patience: stop after so many epochs without a better one.
        epochs_without_validation: see above.
        start_is_candidate: whether the model as given may be the best (fine-tuning).
        seed: of shuffles and dropout.
        on_epoch: told each epoch as it ends; it sees the training and does not change it.

    Raises:
        TrainingDivergedError: a loss is not finite.
    """
    with reproducible(seed):
        loop = _Loop(model, train, training, None)
        records: list[EpochRecord] = []
        best_epoch, best_loss, best_weights = 0, math.inf, get_arrays(model)
        if start_is_candidate:
            start = score(model, validation)
            records.append(EpochRecord(0, score(model, train).loss, start, 0.0))
            best_loss = start.loss if start.n else math.inf
        for epoch in range(1, (epochs if len(validation) else epochs_without_validation) + 1):
            began = time.perf_counter()
            train_loss = loop.epoch()
            scored = score(model, validation)
            loop.lower_rate(scored.loss if scored.n else train_loss)
            records.append(EpochRecord(epoch, train_loss, scored, time.perf_counter() - began))
            if scored.n and not math.isfinite(scored.loss):
                raise loop.diverged(f"the validation loss of epoch {epoch}")
            on_epoch(records[-1])
            if not scored.n or scored.loss < best_loss:
                best_epoch, best_loss = epoch, scored.loss
                best_weights = get_arrays(model)
            elif epoch - best_epoch >= patience:
                break
        set_arrays(model, best_weights)
        return Fit(best_epoch, tuple(records))


class _Loop:
    """A model with its optimizer and rows, trained epoch by epoch."""

    def __init__(
        self,
        model: Network,
        train: Rows,
        training: OptimizerParameters,
        proximal: Proximal | None,
        shift: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._model = model
        self._train = train
        self._batch_size = min(training.batch_size or len(train), len(train))
        self._optimizer = _OPTIMIZERS[training.kind](
            model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self._plateau = None
        if training.plateau is not None:
            self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self._optimizer,
                factor=training.plateau.factor,
                patience=training.plateau.patience,
                min_lr=training.plateau.min_learning_rate,
            )
        self._epoch = 0
        self._mu = proximal.mu if proximal is not None else 0.0
        self._pulled = _beside(model, {} if proximal is None else proximal.reference)
        self._shifted = _beside(model, shift or {})
        self._written = None
        self._step: Callable[[], object] = self._optimizer.step
        if fast_gradients.applies(model, train.x):
            self._written = fast_gradients.Gradients(model)
            self._step = fast_gradients.optimizer_step(self._optimizer)

    def epoch(self) -> float:
        """One pass over the shuffled rows; the mean log-loss a row."""
        self._epoch += 1
        if self._written is None:
            self._model.train()
        rows = self._train
        # shuffled on the CPU so that a GPU sees the same batches
        order = torch.randperm(len(rows)).to(rows.x.device)
        total = torch.zeros((), device=rows.x.device)
        with torch.no_grad():
            for start in range(0, len(rows), self._batch_size):
                index = order[start : start + self._batch_size]
                x, y = rows.x.index_select(0, index), rows.y.index_select(0, index)
                loss = self._autograd(x, y) if self._written is None else self._written.write(x, y)
                total += loss * len(index)
                for weight, reference in self._pulled:
                    if weight.grad is not None:
                        weight.grad.add_((weight - reference).mul_(self._mu))
                for weight, shift in self._shifted:
                    if weight.grad is not None:
                        weight.grad.add_(shift)
                self._step()
        mean = float(total) / len(rows)
        if not math.isfinite(mean):
            raise self.diverged(f"the training loss of epoch {self._epoch}")
        return mean

    @torch.enable_grad()
    def _autograd(self, x: Tensor, y: Tensor) -> Tensor:
        """Have autograd write the gradients of the mean log-loss, which is returned."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.binary_cross_entropy_with_logits(self._model(x), y)
        loss.backward()
        return loss.detach()

    def diverged(self, what: str) -> TrainingDivergedError:
        """Return the error about what is not finite, with the learning rate of now."""
        return TrainingDivergedError(what, float(self._optimizer.param_groups[0]["lr"]))

    def lower_rate(self, loss: float) -> None:
        """Tell the learning-rate schedule, if there is one, the loss of the epoch."""
        if self._plateau is not None:
            self._plateau.step(loss)


def _beside(model: Network, arrays: Mapping[str, np.ndarray]) -> list[tuple[Tensor, Tensor]]:
    """Return the model's weights that some arrays are named for, each with its array."""
    return [
        (weight, torch.tensor(array).to(weight.device))
        for weight, array in ((model.weights[name], array) for name, array in arrays.items())
    ]


_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": partial(torch.optim.Adam, fused=True),
}
