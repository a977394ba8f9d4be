"""Flower's strategies, made strict and reproducible.

Flower's own drop failed clients without a word and average the rest, in the order in which they
happened to answer. Here a round needs a valid reply of every client that was asked, their mean is
made of fixed-point sums, and Flower's strategy gets it as one reply.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from ms_pfl.federation.exchange import NamedGrid, check_replies
from ms_pfl.federation.flower import (
    Array,
    ArrayRecord,
    ConfigRecord,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    Message,
    MetricRecord,
    RecordDict,
    Strategy,
    to_record,
)
from ms_pfl.federation.parameters import (
    FedAdagradParameters,
    FedAdamParameters,
    FedAvgParameters,
    FedProxParameters,
    FedYogiParameters,
    StrategyParameters,
)
from ms_pfl.federation.sums import mean_over_rows
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.personalization.method import SHARED

Moments = dict[str, dict[str, np.ndarray]]
_MOMENTS = ("m_t", "v_t")  # what Flower's adaptive strategies keep from round to round


@dataclass
class Strict:
    """One of Flower's strategies, with all replies, in order; its weights keep their types.

    Of all nodes, some are drawn to train in a round: by a hash of (seed, round, country), so that
    neither the order of the countries nor what was drawn before has a say.

    Attributes:
        flower: Flower's strategy.
        fraction: of the clients, that train in a round.
        seed: of the fit, by which they are drawn.
    """

    flower: Strategy
    fraction: float
    seed: int
    _expected: dict[int, str] = field(default_factory=dict, init=False)
    _dtypes: dict[str, str] = field(default_factory=dict, init=False)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: NamedGrid
    ) -> list[Message]:
        """Return the train messages to the nodes drawn for the round, in the order of the nodes."""
        self._dtypes = {name: array.dtype for name, array in arrays.items()}
        names = {node_id: grid.name_of(node_id) for node_id in grid.get_node_ids()}
        drawn = draw(names, self.fraction, self.seed, server_round)
        self._expected = {node_id: names[node_id] for node_id in sorted(drawn)}
        # Flower draws from the global random state, even if it takes all
        state = random.getstate()
        try:
            # all that Flower's strategies ask a grid for is its nodes: here those that are drawn
            nodes = SimpleNamespace(get_node_ids=lambda: list(self._expected))
            sent = self.flower.configure_train(server_round, arrays, config, nodes)
            return sorted(sent, key=lambda message: message.metadata.dst_node_id)
        finally:
            random.setstate(state)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """Return the strategy's new global arrays, in the types of those that were sent.

        Raises:
            ClientError: a client that was asked did not answer, or answered with an error.
        """
        ordered = check_replies(replies, dict.fromkeys(self._expected, "train"), self._expected)
        contents = [reply.content for reply in ordered]
        mean = {
            name: values.astype(self._dtypes[name])
            for name, values in mean_over_rows(contents, SHARED).items()
        }
        # the mean as if it were the reply of one client that holds all rows
        rows = sum(int(content["metrics"]["num-examples"]) for content in contents)
        whole = RecordDict(
            {SHARED: to_record(mean), "metrics": MetricRecord({"num-examples": rows})}
        )
        reply = Message(whole, metadata=ordered[0].metadata)
        arrays, metrics = self.flower.aggregate_train(server_round, [reply])
        # numpy turns float32 into float64 in some strategies' server steps
        cast = {
            name: Array(array.numpy().astype(self._dtypes[name])) for name, array in arrays.items()
        }
        return ArrayRecord(cast), metrics

    def moments(self) -> Moments:
        """Return what the strategy keeps from round to round, by name."""
        return {name: kept for name in _MOMENTS if (kept := getattr(self.flower, name, None))}

    def restore(self, moments: Moments) -> None:
        """Take back what :meth:`moments` told."""
        for name, arrays in moments.items():
            setattr(self.flower, name, arrays)


def draw(names: Mapping[int, str], fraction: float, seed: int, server_round: int) -> set[int]:
    """Return the nodes that train in a round: ``max(1, floor(fraction * n))`` of them.

    Args:
        names: of the nodes, by which they are drawn.
        fraction: of the nodes.
        seed: of the fit.
        server_round: number of the round.
    """
    size = max(1, math.floor(round(fraction * len(names), 9)))  # 0.6 x 5 is 3
    lots = {i: derive_seed(seed, "sample", server_round, name) for i, name in names.items()}
    return set(sorted(names, key=lambda i: (lots[i], names[i]))[:size])


def make_strategy(
    parameters: StrategyParameters, *, fraction: float = 1.0, seed: int = 0
) -> Strict:
    """Return the Flower strategy of these settings.

    Args:
        parameters: of the strategy.
        fraction: of the clients, that train in a round.
        seed: of the fit, by which they are drawn.
    """
    own = parameters.model_dump(exclude={"epochs"})
    everyone = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
    return Strict(_STRATEGIES[type(parameters)](**own, **everyone), fraction, seed)


_STRATEGIES: dict[type[StrategyParameters], Callable[..., Strategy]] = {
    FedAvgParameters: FedAvg,
    FedProxParameters: FedProx,  # its term is in the clients' loss
    FedAdamParameters: FedAdam,
    FedYogiParameters: FedYogi,
    FedAdagradParameters: FedAdagrad,
}


def mean_over_sites(scores: Iterable[tuple[float, int]]) -> float:
    """Mean of the sites' scores, weighted by rows, over those that are defined (NaN if none is).

    The same bits in any order of sites.
    """
    known = [(score, rows) for score, rows in scores if rows and not math.isnan(score)]
    total = sum(rows for _, rows in known)
    return math.fsum(score * rows for score, rows in known) / total if total else math.nan
