"""What a method works with at a site in one round: rows, settings, networks and training."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import torch

from ms_pfl.learning.networks import Network, get_arrays, set_arrays
from ms_pfl.learning.parameters import OptimizerParameters
from ms_pfl.learning.scoring import Rows
from ms_pfl.learning.seeds import derive_seed, initial_seed
from ms_pfl.learning.training import Proximal, train_epochs
from ms_pfl.personalization.method import Arrays


@dataclass
class Work:
    """A site's part in a round of a fit.

    Attributes:
        site: its name.
        seed: of the fit.
        rows: to train on.
        selection: to lower the learning rate by, where that is set.
        optimizer: its settings.
        build: makes the site's network from the seed of its initial weights.
        device: to compute on.
        draw: seed of the initial values of arrays that are the site's own.
        round: number of the round; 0: before the first.
        epochs: to train.
        mu: weight of FedProx's term.
        spare: networks as ``build`` makes them, which nobody uses; at the end of a ``with``
            statement over the work those that it has given out are among them.
    """

    site: str
    seed: int
    rows: Rows
    selection: Rows
    optimizer: OptimizerParameters
    build: Callable[[int], Network]
    device: torch.device
    draw: int
    round: int = 0
    epochs: int = 0
    mu: float = 0.0
    spare: list[Network] = field(default_factory=list, repr=False)
    _given: list[Network] = field(default_factory=list, repr=False)
    _scored: tuple[tuple[Arrays, ...], Network] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        """Return the work itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the networks to later work: none that was given out is used any more."""
        self.spare.extend(self._given)

    @property
    def steps(self) -> int:
        """Steps of the optimizer in a round."""
        n = len(self.rows)
        return self.epochs * math.ceil(n / min(self.optimizer.batch_size or n, n))

    def drawn(self) -> Arrays:
        """Return the arrays of a network with initial values of the site's own."""
        return get_arrays(self.build(self.draw))

    def network(self, *arrays: Arrays) -> Network:
        """Return a network with these arrays; those not given have the fit's initial values.

        A network that was made of the same arrays and has not been trained is given out again.
        """
        if self._scored is not None:
            made_of, network = self._scored
            if len(made_of) == len(arrays) and all(map(operator.is_, made_of, arrays)):
                return network
        # a spare one holds another site's arrays: all have to be overwritten
        if self.spare and self.spare[-1].weights.keys() <= set().union(*arrays):
            network = self.spare.pop()
        else:
            network = self.build(initial_seed(self.seed)).to(self.device)
        for part in arrays:
            set_arrays(network, part)
        self._given.append(network)
        self._scored = (arrays, network)
        return network

    def arrays(self, network: Network) -> Arrays:
        """Return copies of a network's arrays."""
        return get_arrays(network)

    def pull(self, shared: Arrays) -> Proximal | None:
        """Return FedProx's term, where the strategy has one."""
        return self.towards(shared, self.mu)

    @staticmethod
    def towards(reference: Arrays, mu: float) -> Proximal | None:
        """Return the term ``mu / 2 ||w - reference||^2``; None where ``mu`` is 0."""
        return Proximal(mu, reference) if mu > 0 else None

    def train(
        self,
        network: Network,
        *,
        pull: Proximal | None = None,
        shift: Arrays | None = None,
        optimizer: OptimizerParameters | None = None,
        name: str = "",
    ) -> float:
        """Train a network for the epochs of the round.

        Args:
            network: changed in place.
            pull: a term of the loss that draws weights to others.
            shift: added to the gradient in each step, by the name of the array.
            optimizer: in place of the one that is set.
            name: tells the random numbers of a site's second training in a round from the first's.

        Returns:
            Mean log-loss a row in the last epoch.

        Raises:
            TrainingDivergedError: a loss or a weight is not finite.
        """
        self._scored = None
        parts: tuple[int | str, ...] = (self.seed, self.site, self.round, *([name] if name else []))
        return train_epochs(
            network,
            self.rows,
            self.selection,
            optimizer or self.optimizer,
            epochs=self.epochs,
            seed=derive_seed(*parts),
            proximal=pull,
            shift=shift,
        )
