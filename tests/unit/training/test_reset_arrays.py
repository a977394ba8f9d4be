"""What clients do with personal arrays that are drawn again, worked out beside them."""

from __future__ import annotations

import numpy as np
import torch

from federation_examples import FEATURES, PROTOCOL, data_of, initial, nodes_of, prepared, settings
from ms_pfl.federation.client import method_of
from ms_pfl.federation.flower import to_record
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import (
    ClientSettings,
    FedAvgParameters,
    ProtocolParameters,
    RoundsParameters,
)
from ms_pfl.federation.predictions import predict
from ms_pfl.federation.rounds import run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.networks import Network, build_network, get_arrays, set_arrays
from ms_pfl.learning.scoring import Rows, logits, probabilities, score
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.training import train_epochs

COUNTRY, ROWS = "BE", 36


def resetting() -> ClientSettings:
    protocol = ProtocolParameters.model_validate(PROTOCOL | {"personal_arrays": "reset"})
    told = settings("adaptive", batch_size=8, learning_rate=0.5)
    return told.model_copy(update={"protocol": protocol})


def network(
    told: ClientSettings, shared: dict[str, np.ndarray], purpose: str, number: int
) -> Network:
    """Shared arrays beside personal ones freshly drawn for one purpose in one round."""
    seed = derive_seed(0, COUNTRY, "reset", purpose, number)
    model = build_network("adaptive", len(FEATURES), told.network, ROWS, seed)
    set_arrays(model, shared)
    return model


def test_every_message_uses_its_own_draw_and_no_trained_extension() -> None:
    """One country, three rounds: it trains, is scored and predicts as a plain loop does."""
    data, told = data_of({COUNTRY: 60}), resetting()
    with LocalGrid(data, nodes_of(data)) as grid:
        scaler = prepared(grid, told)
        done = run_rounds(
            grid,
            make_strategy(FedAvgParameters(epochs=2)),
            method_of(told),
            initial(told),
            seed=0,
            epochs=2,
            parameters=RoundsParameters(rounds=3, patience=None, client_fraction=1.0),
            report=lambda *_: None,
        )
        finished = predict(grid, 0, to_record(done.arrays), done.best_round, "adaptive.fedavg")
        answers = finished.probabilities[COUNTRY]

    client = data.rows(COUNTRY).client_data(0)
    train, validation, test = (
        Rows(torch.tensor(scaler.apply(split.x)), torch.tensor(split.y))
        for split in (client.train, client.validation, client.test)
    )
    assert len(train) == ROWS
    shared, losses = {0: initial(told)}, []
    for number in (1, 2, 3):
        model = network(told, shared[number - 1], "train", number)
        seed = derive_seed(0, COUNTRY, number)
        train_epochs(model, train, validation, told.optimizer, epochs=2, seed=seed, proximal=None)
        shared[number] = method_of(told).shared(get_arrays(model))
        losses.append(score(network(told, shared[number], "evaluate", number), validation).loss)
    found = [row.validation_loss for row in done.history]
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    for name, array in done.arrays.items():
        np.testing.assert_allclose(array, shared[done.best_round][name], rtol=1e-6, atol=1e-7)
    final = network(told, shared[done.best_round], "predict", done.best_round)
    np.testing.assert_allclose(answers["test"], probabilities(logits(final, test.x)), rtol=1e-5)
