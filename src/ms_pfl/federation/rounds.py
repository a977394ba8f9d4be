"""The round loop of a federation: train, average, evaluate, keep the best round."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ms_pfl.federation.client_app import prepare_content
from ms_pfl.federation.engine import (
    ArrayRecord,
    ConfigRecord,
    Message,
    RecordDict,
    Strategy,
)
from ms_pfl.federation.exchange import ask
from ms_pfl.federation.grid import SimulationGrid
from ms_pfl.federation.parameters import ClientSettings, RoundsParameters
from ms_pfl.federation.records import payload_bytes, record_to_sums, to_arrays, to_record
from ms_pfl.federation.scaler import Scaler


@dataclass(frozen=True)
class HistoryRow:
    """One country in one round (or epoch); losses are means a row, seconds the client's own."""

    seed: int
    round: int
    country: str
    n_train: int
    n_validation: int
    train_loss: float
    validation_loss: float
    validation_roc_auc: float
    seconds: float
    bytes_up: int
    bytes_down: int
    selected: bool


@dataclass(frozen=True)
class Federation:
    """A finished federation: the best round, its shared arrays and mean validation ROC-AUC."""

    arrays: dict[str, np.ndarray]
    best_round: int
    validation_roc_auc: float
    history: list[HistoryRow]


def federated_scaler(grid: SimulationGrid, seed: int) -> Scaler:
    """The scaler of all countries' training rows, from the sums that each country sends."""
    question = RecordDict({"config": ConfigRecord({"seed": seed})})
    answers = ask(grid, "query.scaler_sums", dict.fromkeys(grid.node_ids(seed), question))
    return Scaler.from_sums(record_to_sums(content["arrays"]) for content in answers.values())


def prepare(grid: SimulationGrid, seed: int, settings: ClientSettings, scaler: Scaler) -> None:
    """Give every client of the seed its settings and the scaler."""
    content = prepare_content(settings, seed, scaler)
    ask(grid, "query.prepare", dict.fromkeys(grid.node_ids(seed), content))


def run_rounds(
    grid: SimulationGrid,
    strategy: Strategy,
    initial: dict[str, np.ndarray],
    *,
    seed: int,
    epochs: int,
    parameters: RoundsParameters,
    report: Callable[[int, float], None],
) -> Federation:
    """Run the rounds of a strategy over prepared clients, all of one seed.

    The best round has the lowest validation log-loss a row over all countries, of the averaged
    shared arrays together with each country's personal ones; the earlier in a tie. If no country
    has a validation row, it is the last round.

    Args:
        grid: the clients.
        strategy: made by :func:`ms_pfl.federation.strategies.make_strategy`.
        initial: the shared arrays before the first round.
        seed: of the fit; told in the history.
        epochs: that each client trains in a round.
        parameters: number of rounds and patience.
        report: called after each round with its number and the mean validation ROC-AUC.

    Raises:
        ClientError: a client failed or did not answer.
    """
    arrays = best_arrays = to_record(initial)
    best_round, best_loss, best_auc = 0, math.inf, math.nan
    rows: list[HistoryRow] = []
    for server_round in range(1, parameters.rounds + 1):
        train_config = ConfigRecord({"epochs": epochs, "best-round": best_round})
        sent = list(strategy.configure_train(server_round, arrays, train_config, grid))
        trained = list(grid.send_and_receive(sent))
        arrays, _ = strategy.aggregate_train(server_round, trained)
        asked = list(strategy.configure_evaluate(server_round, arrays, ConfigRecord(), grid))
        evaluated = list(grid.send_and_receive(asked))
        metrics = strategy.aggregate_evaluate(server_round, evaluated)
        rows += _history(grid, seed, server_round, (sent, trained, asked, evaluated))
        loss = float(metrics["loss"])
        if math.isnan(loss) or loss < best_loss:
            best_round, best_loss, best_arrays = server_round, loss, arrays
            best_auc = float(metrics["roc-auc"])
        report(server_round, float(metrics["roc-auc"]))
        if parameters.patience is not None and server_round - best_round >= parameters.patience:
            break
    return Federation(
        to_arrays(best_arrays),
        best_round,
        best_auc,
        [HistoryRow(**{**vars(row), "selected": row.round == best_round}) for row in rows],
    )


def predict(
    grid: SimulationGrid, seed: int, arrays: ArrayRecord | None, best_round: int
) -> dict[str, dict[str, np.ndarray]]:
    """Every country's probabilities of its validation and test rows, in the order of its rows.

    ``arrays`` None: each client uses the model that it trained itself.
    """
    content = RecordDict({"config": ConfigRecord({"best-round": best_round})})
    if arrays is not None:
        content["arrays"] = arrays
    answers = ask(grid, "query.predict", dict.fromkeys(grid.node_ids(seed), content))
    return {
        grid.nodes[node_id].country: to_arrays(reply["arrays"])
        for node_id, reply in answers.items()
    }


def _history(
    grid: SimulationGrid,
    seed: int,
    server_round: int,
    messages: tuple[list[Message], list[Message], list[Message], list[Message]],
) -> list[HistoryRow]:
    sent, trained, asked, evaluated = (
        {
            (m.metadata.dst_node_id if i % 2 == 0 else m.metadata.src_node_id): m.content
            for m in part
        }
        for i, part in enumerate(messages)
    )
    rows = []
    for node_id, validation in evaluated.items():
        train, scored = trained[node_id]["metrics"], validation["metrics"]
        n = int(scored["num-examples"])
        rows.append(
            HistoryRow(
                seed=seed,
                round=server_round,
                country=grid.nodes[node_id].country,
                n_train=int(train["num-examples"]),
                n_validation=n,
                train_loss=float(train["train-loss"]),
                validation_loss=float(scored["loss-sum"]) / n if n else math.nan,
                validation_roc_auc=float(scored["roc-auc"]),
                seconds=float(train["seconds"]) + float(scored["seconds"]),
                bytes_up=payload_bytes(trained[node_id]["arrays"]),
                bytes_down=payload_bytes(sent[node_id]["arrays"])
                + payload_bytes(asked[node_id]["arrays"]),
                selected=False,
            )
        )
    return rows
