"""What a method is: four functions over explicit state.

*Shared* is what travels, as records of named arrays: the model under :data:`SHARED`, and whatever
a method sends beside it. *Private* is what a site keeps from round to round and sends to nobody.
Which is which is told by the state that an array is in, not by its name: a method may well keep a
second model whose arrays are named as those of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ms_pfl.config import Section
from ms_pfl.learning.parameters import NetworkKind, NetworkParameters
from ms_pfl.paradigms import PARADIGMS

if TYPE_CHECKING:
    from ms_pfl.learning.networks import Network
    from ms_pfl.personalization.work import Work

Arrays = Mapping[str, np.ndarray]
SHARED = "arrays"
"""The record of the model that all sites share, in messages and in :class:`Sent`."""


@dataclass(frozen=True)
class Sent:
    """The result of a site in a round.

    Attributes:
        records: what it sends, the trained model under :data:`SHARED`.
        private: what it keeps.
        loss: mean log-loss a row in the last epoch of what it sends.
    """

    records: Mapping[str, Arrays]
    private: Arrays
    loss: float


class Method:
    """A method without private state, whose sites train the shared network as it comes.

    Attributes:
        settings: its section of the parameters, ``training.<paradigm>``; None: it has none.
        kind: the network that it trains.
    """

    settings: ClassVar[type[Section] | None] = None
    kind: ClassVar[NetworkKind] = "mlp"

    def __init__(self, network: NetworkParameters, own: Section | None = None) -> None:
        """Take the settings of the network and, where the method has some, its own."""
        self.network_settings, self.own = network, own

    def shared(self, arrays: Arrays) -> Arrays:
        """Return what of a network's arrays travels."""
        return arrays

    def further(self, shared: Arrays) -> Mapping[str, Arrays]:
        """Return the records that travel beside the model, as they are before round 1."""
        return {}

    def combine(self, name: str, held: Arrays, mean: Arrays, share: float) -> Arrays:
        """Return a further record after a round.

        Args:
            name: of the record.
            held: the record before the round.
            mean: of what the sites sent, weighted by their training rows, float64.
            share: of the sites, that trained in this round.
        """
        raise NotImplementedError(f"{type(self).__name__} sends a record that it cannot combine")

    def begin(self, work: Work) -> Arrays:
        """Return a site's private state before round 1."""
        return {}

    def train(self, work: Work, records: Mapping[str, Arrays], private: Arrays) -> Sent:
        """Train at a site in a round.

        Args:
            work: the site's rows and settings.
            records: what the server sent.
            private: what the site has kept.
        """
        shared = records[SHARED]
        network = self.network(work, shared, private)
        loss = work.train(network, pull=work.pull(shared))
        arrays = work.arrays(network)
        return Sent({SHARED: self.shared(arrays)}, self._private(arrays), loss)

    def network(self, work: Work, shared: Arrays, private: Arrays) -> Network:
        """Return the network that a site scores, saves and predicts with."""
        return work.network(shared, private)

    def kept(self, private: Arrays) -> Arrays:
        """Return what of the private state a saved model needs beside the shared arrays."""
        return private

    def _private(self, arrays: Arrays) -> Arrays:
        shared = self.shared(arrays)
        return {name: array for name, array in arrays.items() if name not in shared}


def method_class(paradigm: str) -> type[Method]:
    """Return the class of a paradigm's method."""
    module, name = PARADIGMS[paradigm].method.split(":")
    return getattr(import_module(f"ms_pfl.personalization.{module}"), name)
