"""What is fitted, behind one interface: whoever saves, loads or asks a model knows no more of it.

A *learner* turns the arrays of a fitted model into something that gives log-odds. How each is
trained is the business of the programs (:mod:`ms_pfl.training.programs`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning import logistic, mixed, trees
from ms_pfl.learning.networks import (
    Arrays,
    Network,
    array_shapes,
    build_network,
    set_arrays,
)
from ms_pfl.learning.parameters import Device, ExtensionTier, NetworkKind, NetworkParameters
from ms_pfl.learning.scoring import logits
from ms_pfl.learning.training import one_thread, resolve_device
from ms_pfl.paradigms import LearnerName

_OWN = "own_"
_NO_MODEL = (
    "the saved models do not fit the model that the section training of the parameters "
    "describes; run the training with the present settings first"
)


class Model(Protocol):
    """A fitted model."""

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds of label 1, shape ``(rows,)``, of prepared rows ``(rows, features)``."""


class Learner(Protocol):
    """A kind of model: from arrays to a model."""

    def open(self, arrays: Arrays, n_features: int) -> Model:
        """Return the model that some arrays hold.

        Raises:
            InputError: they do not hold one of so many features.
        """


@dataclass(frozen=True)
class NetworkModel:
    """A network where it computes."""

    network: Network
    device: torch.device

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds; the same rows in the same order as in training give the same bits."""
        with one_thread():
            return logits(self.network, torch.tensor(x, device=self.device))


@dataclass(frozen=True)
class NetworkLearner:
    """The two networks; how deep a site's extension is, is read off its arrays."""

    kind: NetworkKind
    settings: NetworkParameters
    device: torch.device

    def open(self, arrays: Arrays, n_features: int) -> NetworkModel:
        """Return the network that the arrays hold."""
        told, depth = self.settings, 1
        if self.kind == "adaptive":
            of_extension = sum(name.startswith("extension.") for name in arrays)
            depth = max(of_extension // 2, 1)  # weight and bias
            tier = ExtensionTier(min_rows=0, layers=depth)
            told = told.model_copy(update={"extension_tiers": (tier,)})
        # settings may come from a file, and ask for more layers than there is memory
        fits = told.hidden_layers <= len(arrays)
        _check(arrays, array_shapes(self.kind, n_features, told, depth) if fits else {})
        network = build_network(self.kind, n_features, told, 0, 0)
        set_arrays(network, arrays)
        return NetworkModel(network.to(self.device), self.device)


@dataclass(frozen=True)
class LogisticModel:
    """Coefficients and an intercept, float64; of a site also what its own are above them."""

    arrays: Arrays

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds."""
        return logistic.logits(self.arrays, x)


@dataclass(frozen=True)
class LogisticLearner:
    """Logistic regression."""

    def open(self, arrays: Arrays, n_features: int) -> LogisticModel:
        """Return the regression that the arrays hold."""
        needed = {name: array.shape for name, array in logistic.start(n_features).items()}
        if logistic.DEVIATION in arrays:  # of a site, beside what is shared
            needed |= dict.fromkeys((logistic.DEVIATION, mixed.VARIANCE), (n_features + 1,))
        _check(arrays, needed)
        return LogisticModel(arrays)


def as_own(private: Arrays) -> dict[str, np.ndarray]:
    """Return a site's private trees as they stand beside the shared ones."""
    return {f"{_OWN}{name}": array for name, array in private.items()}


def with_own(arrays: Arrays) -> Arrays:
    """Return shared trees joined with the private ones that stand beside them, if any do."""
    private = {n.removeprefix(_OWN): a for n, a in arrays.items() if n.startswith(_OWN)}
    if not private:
        return arrays
    shared = {name: a for name, a in arrays.items() if not name.startswith(_OWN)}
    for model in (shared, private):
        if trees.TYPES.keys() - model.keys():
            raise InputError(_NO_MODEL)
    return trees.joined(shared, private)


@dataclass(frozen=True)
class TreesModel:
    """Boosted trees; of a site also its private ones."""

    arrays: Arrays

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log-odds of codes of bins."""
        return trees.logits(self.arrays, x)


@dataclass(frozen=True)
class TreesLearner:
    """Boosted trees."""

    def open(self, arrays: Arrays, n_features: int) -> TreesModel:
        """Return the trees that the arrays hold."""
        model = with_own(arrays)
        trees.check(model, n_features)
        return TreesModel(model)


def make_learner(
    name: LearnerName, kind: NetworkKind, settings: NetworkParameters, device: Device
) -> Learner:
    """Return a learner by its name; a network's is told which one, its settings and its device."""
    if name == "logistic":
        return LogisticLearner()
    if name == "trees":
        return TreesLearner()
    return NetworkLearner(kind, settings, resolve_device(device))


def _check(arrays: Arrays, needed: Mapping[str, tuple[int, ...]]) -> None:
    kinds = {array.dtype.kind for array in arrays.values()}
    if {name: array.shape for name, array in arrays.items()} != needed or kinds - {"f"}:
        raise InputError(_NO_MODEL)
