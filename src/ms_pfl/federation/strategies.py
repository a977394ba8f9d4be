"""Flower's strategies, made strict and reproducible.

Flower's own drop failed clients without a word and average the rest, in the order in which they
happened to answer. Here a round needs a valid reply of every client that was asked, and is
averaged in the order of the nodes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from ms_pfl.federation.engine import (
    Array,
    ArrayRecord,
    ConfigRecord,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    Grid,
    Message,
    MetricRecord,
    Strategy,
)
from ms_pfl.federation.exchange import check_replies, node_name
from ms_pfl.federation.parameters import (
    FedAdagradParameters,
    FedAdamParameters,
    FedAvgParameters,
    FedProxParameters,
    FedYogiParameters,
    StrategyParameters,
)
from ms_pfl.learning.seeds import derive_seed


class Strict:
    """Goes before one of Flower's strategies in the bases of a class."""

    _expected: dict[int, str]
    _dtypes: dict[str, str]

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """The round's train messages, in the order of the nodes."""
        self._dtypes = {name: array.dtype for name, array in arrays.items()}
        parent: Any = super()
        return self._note(parent.configure_train, server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """The strategy's new global arrays, in the types of those that were sent.

        Raises:
            ClientError: a client that was asked did not answer, or answered with an error.
        """
        parent: Any = super()
        ordered = check_replies(replies, list(self._expected), self._expected)
        arrays, metrics = parent.aggregate_train(server_round, ordered)
        # numpy turns float32 into float64 in some strategies' server steps
        cast = {
            name: Array(array.numpy().astype(self._dtypes[name])) for name, array in arrays.items()
        }
        return ArrayRecord(cast), metrics

    def _note(
        self,
        configure: Any,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> list[Message]:
        # Flower draws the nodes from the global random state, even if it takes all
        state = random.getstate()
        random.seed(derive_seed("nodes", server_round))
        try:
            messages = list(configure(server_round, arrays, config, grid))
        finally:
            random.setstate(state)
        messages.sort(key=lambda message: message.metadata.dst_node_id)
        ids = [message.metadata.dst_node_id for message in messages]
        self._expected = {node_id: node_name(grid, node_id) for node_id in ids}
        return messages


class StrictFedAvg(Strict, FedAvg):
    """FedAvg with all replies, in order."""


class StrictFedProx(Strict, FedProx):
    """FedProx with all replies, in order; the term itself is in the clients' loss."""


class StrictFedAdam(Strict, FedAdam):
    """FedAdam with all replies, in order; its weights stay float32."""


class StrictFedYogi(Strict, FedYogi):
    """FedYogi with all replies, in order; its weights stay float32."""


class StrictFedAdagrad(Strict, FedAdagrad):
    """FedAdagrad with all replies, in order; its weights stay float32."""


def make_strategy(parameters: StrategyParameters, clients: int) -> Strategy:
    """The Flower strategy of these settings, for so many clients, all in every round."""
    everyone = {
        "min_train_nodes": clients,
        "min_evaluate_nodes": clients,
        "min_available_nodes": clients,
    }
    own = parameters.model_dump(exclude={"epochs"})
    return _STRATEGIES[type(parameters)](**own, **everyone)


_STRATEGIES: dict[type[StrategyParameters], type[Strict]] = {
    FedAvgParameters: StrictFedAvg,
    FedProxParameters: StrictFedProx,
    FedAdamParameters: StrictFedAdam,
    FedYogiParameters: StrictFedYogi,
    FedAdagradParameters: StrictFedAdagrad,
}


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Mean of the values that are numbers, weighted; NaN if there is none."""
    known = ~np.isnan(values) & (weights > 0)
    if not known.any():
        return float("nan")
    return float(np.average(values[known], weights=weights[known]))
