"""The round loop of a federation: score what the round before came to, train, average.

A round is one exchange. Whoever is drawn gets a ``train`` message: it scores the averaged model
that it receives, then trains it. The others get an ``evaluate`` message and only score. So the
replies of round r + 1 tell the validation of round r, and one evaluation follows the last round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ms_pfl.federation.client_app import prepare_content
from ms_pfl.federation.exchange import ask, check_replies
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Message,
    MetricRecord,
    RecordDict,
    Strategy,
)
from ms_pfl.federation.grids.named import NamedGrid
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.parameters import ClientSettings, RoundsParameters
from ms_pfl.federation.records import payload_bytes, record_to_sums, to_arrays, to_record
from ms_pfl.federation.scaler import Scaler
from ms_pfl.federation.strategies import weighted_mean

Moments = dict[str, dict[str, np.ndarray]]
_MOMENTS = ("m_t", "v_t")  # what Flower's adaptive strategies keep from round to round


@dataclass(frozen=True)
class RoundState:
    """A federation after a round: all that it takes to go on.

    ``arrays`` are the averaged ones, not yet scored; ``trained`` are the rows of this round, whose
    validation is still open; ``history`` those of the rounds before, of which ``roc_auc`` is the
    last one's mean validation ROC-AUC. ``personal`` is a record of each country's state, in a
    simulation;
    ``best_value`` is what rounds are judged by, lower being better.
    Random numbers need no state: each derives from (seed, country, round).
    """

    round: int
    arrays: ArrayRecord
    moments: Moments
    personal: dict[str, ArrayRecord]
    trained: tuple[HistoryRow, ...]
    history: tuple[HistoryRow, ...]
    roc_auc: float
    best_round: int
    best_value: float
    best_roc_auc: float
    best_arrays: ArrayRecord


@dataclass(frozen=True)
class Federation:
    """A finished federation: the best round, its shared arrays and mean validation ROC-AUC."""

    arrays: dict[str, np.ndarray]
    best_round: int
    validation_roc_auc: float
    history: list[HistoryRow]


def federated_scaler(grid: NamedGrid, seed: int) -> Scaler:
    """The scaler of all countries' training rows, from the sums that each country sends."""
    question = RecordDict({"config": ConfigRecord({"seed": seed})})
    answers = ask(grid, "query.scaler_sums", dict.fromkeys(grid.node_ids(seed), question))
    return Scaler.from_sums(record_to_sums(content["arrays"]) for content in answers.values())


def prepare(
    grid: NamedGrid,
    seed: int,
    settings: ClientSettings,
    scaler: Scaler,
    resume: RoundState | None = None,
) -> None:
    """Give every client of the seed its settings and the scaler.

    ``resume``: rounds go on from there; clients whose personal arrays are not in it have kept them.
    """
    after_round = resume.round if resume is not None and not resume.personal else 0
    content = prepare_content(settings, seed, scaler, after_round)
    ask(grid, "query.prepare", dict.fromkeys(grid.node_ids(seed), content))


def run_rounds(
    grid: NamedGrid,
    strategy: Strategy,
    initial: dict[str, np.ndarray],
    *,
    seed: int,
    epochs: int,
    parameters: RoundsParameters,
    report: Callable[[int, float], None],
    by_roc_auc: bool = False,
    resume: RoundState | None = None,
    keep: Callable[[RoundState], None] = lambda _: None,
) -> Federation:
    """Run the rounds of a strategy over prepared clients, all of one seed.

    The best round has the lowest validation log-loss a row over all countries, of the averaged
    shared arrays together with each country's personal ones; the earlier in a tie. If no country
    has a validation row, it is the last round. With ``patience``, the rounds end once a round is
    known to be so many after the best one; the round that was trained meanwhile counts too.

    Args:
        grid: the clients.
        strategy: made by :func:`ms_pfl.federation.strategies.make_strategy`.
        initial: the shared arrays before the first round.
        seed: of the fit; told in the history.
        epochs: that each client trains in a round.
        parameters: number of rounds and patience.
        report: called after each round with its number and the mean validation ROC-AUC of the
            latest round that is scored.
        by_roc_auc: judge rounds by the mean ROC-AUC instead of the log-loss, as the published code
            does (on test rows: ``protocol.selection``).
        resume: where an earlier process came to; the result is the same bit for bit.
        keep: given each round's state.

    Raises:
        ClientError: a client failed or did not answer.
        InputError: a client met what a person can mend, such as a loss that diverges.
    """
    state = resume or _start(grid, initial)
    if resume is not None:
        _go_on(grid, strategy, resume)
    while state.round < parameters.rounds and not _out_of_patience(state, parameters.patience):
        state = _play(grid, strategy, state, seed, epochs, by_roc_auc)
        keep(state)
        report(state.round, state.roc_auc)
    messages = _evaluations(state, grid.get_node_ids())
    state = _scored(state, *_exchange(grid, messages), by_roc_auc, evaluation=True)
    return Federation(
        to_arrays(state.best_arrays),
        state.best_round,
        state.best_roc_auc,
        [replace(row, selected=row.round == state.best_round) for row in state.history],
    )


def _start(grid: NamedGrid, initial: dict[str, np.ndarray]) -> RoundState:
    arrays = to_record(initial)
    none, nan = (), math.nan
    return RoundState(0, arrays, {}, grid.personal(), none, none, nan, 0, math.inf, nan, arrays)


def _go_on(grid: NamedGrid, strategy: Strategy, state: RoundState) -> None:
    """Put the strategy and the clients where they were."""
    for name, arrays in state.moments.items():
        setattr(strategy, name, arrays)
    grid.restore_personal(state.personal)


def _play(
    grid: NamedGrid,
    strategy: Strategy,
    state: RoundState,
    seed: int,
    epochs: int,
    by_roc_auc: bool,
) -> RoundState:
    """One round: score the one before, train, average."""
    number = state.round + 1
    config = ConfigRecord({"epochs": epochs, "best-round": state.best_round})
    sent = list(strategy.configure_train(number, state.arrays, config, grid))
    drawn = {message.metadata.dst_node_id for message in sent}
    sent += _evaluations(state, [node for node in grid.get_node_ids() if node not in drawn])
    asked, replies = _exchange(grid, sent)
    if state.round:
        state = _scored(state, asked, replies, by_roc_auc)
    arrays, _ = strategy.aggregate_train(
        number, [reply for node, reply in replies.items() if node in drawn]
    )
    moments = {name: kept for name in _MOMENTS if (kept := getattr(strategy, name, None))}
    trained = tuple(
        _row(grid.nodes[node].country, seed, number, asked[node], reply, trained=node in drawn)
        for node, reply in replies.items()
    )
    return replace(
        state,
        round=number,
        arrays=arrays,
        moments=moments,
        personal=grid.personal(),
        trained=trained,
    )


def _evaluations(state: RoundState, nodes: list[int]) -> list[Message]:
    """Messages that have nodes score the averaged model of the state."""
    config = ConfigRecord({"server-round": state.round})
    content = RecordDict({"arrays": state.arrays, "config": config})
    return [
        Message(content=content, message_type="evaluate", dst_node_id=node_id) for node_id in nodes
    ]


def _exchange(
    grid: NamedGrid, messages: list[Message]
) -> tuple[dict[int, Message], dict[int, Message]]:
    """The messages and their replies by node, in the order of the nodes."""
    asked = {message.metadata.dst_node_id: message for message in messages}
    names = {node_id: grid.name_of(node_id) for node_id in asked}
    replies = check_replies(grid.send_and_receive(messages), sorted(asked), names)
    return asked, {reply.metadata.src_node_id: reply for reply in replies}


def _row(
    country: str, seed: int, number: int, sent: Message, reply: Message, *, trained: bool
) -> HistoryRow:
    """A country's row of a round whose validation is not known yet."""
    metrics: MetricRecord = reply.content["metrics"]
    return HistoryRow(
        seed=seed,
        round=number,
        country=country,
        n_train=int(metrics["num-examples"]) if trained else 0,
        n_validation=int(metrics["num-validation"]),
        train_loss=float(metrics["train-loss"]) if trained else math.nan,
        validation_loss=math.nan,
        validation_roc_auc=math.nan,
        seconds=float(metrics["seconds"]),
        bytes_up=payload_bytes(reply.content["arrays"]) if trained else 0,
        bytes_down=payload_bytes(sent.content["arrays"]),
        selected=False,
    )


def _scored(
    state: RoundState,
    asked: Mapping[int, Message],
    replies: Mapping[int, Message],
    by_roc_auc: bool,
    *,
    evaluation: bool = False,
) -> RoundState:
    """The state with its round's validation, and that round as the best one where it is.

    Args:
        state: a round whose validation is open.
        asked: the messages by node.
        replies: that score it, in the order of the rows.
        by_roc_auc: as for :func:`run_rounds`.
        evaluation: whether the exchange did nothing else, so that its cost is this round's.
    """
    rows = []
    for row, (node, reply) in zip(state.trained, replies.items(), strict=True):
        metrics: MetricRecord = reply.content["metrics"]
        n = int(metrics["num-validation"])
        row = replace(
            row,
            validation_loss=float(metrics["loss-sum"]) / n if n else math.nan,
            validation_roc_auc=float(metrics["roc-auc"]),
        )
        if evaluation:
            down = payload_bytes(asked[node].content["arrays"])
            row = replace(
                row,
                seconds=row.seconds + float(metrics["seconds"]),
                bytes_down=row.bytes_down + down,
            )
        rows.append(row)
    loss, roc_auc = _validation(rows)
    state = replace(state, history=(*state.history, *rows), trained=(), roc_auc=roc_auc)
    value = -roc_auc if by_roc_auc else loss
    if math.isnan(value) or value < state.best_value:
        return replace(
            state,
            best_round=state.round,
            best_value=math.inf if math.isnan(value) else value,
            best_roc_auc=roc_auc,
            best_arrays=state.arrays,
        )
    return state


def _validation(rows: Sequence[HistoryRow]) -> tuple[float, float]:
    """Log-loss a row over a round's countries (NaN without rows) and mean ROC-AUC.

    The mean is weighted by rows, over the countries where it is defined (NaN if nowhere).
    """
    n = np.array([row.n_validation for row in rows], dtype=np.float64)
    loss = np.array([row.validation_loss for row in rows])
    roc_auc = np.array([row.validation_roc_auc for row in rows])
    total = float(np.sum(np.where(n > 0, loss * n, 0.0)))
    return total / float(n.sum()) if n.sum() else math.nan, weighted_mean(roc_auc, n)


def _out_of_patience(state: RoundState, patience: int | None) -> bool:
    scored = state.round - 1
    return patience is not None and scored - state.best_round >= patience


def predict(
    grid: NamedGrid, seed: int, arrays: ArrayRecord | None, best_round: int
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
