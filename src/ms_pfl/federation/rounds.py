"""The round loop of a federation: score the result of the round before, train, average.

A round is one exchange. Whoever is drawn gets a ``train`` message: it scores the averaged model
that it receives, then trains it. The others get an ``evaluate`` message and only score. So the
replies of round r + 1 tell the validation of round r, and one evaluation follows the last round.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import (
    ClientError,
    NamedGrid,
    PrivateStates,
    check_replies,
    reply_of,
)
from ms_pfl.federation.fixed_point import exact_sum
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Message,
    RecordDict,
    payload_bytes,
    to_arrays,
    to_record,
    views,
)
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.masked_replies import MaskedRound, check_alike, total_loss
from ms_pfl.federation.masking import FITTED, SCORED
from ms_pfl.federation.parameters import RoundsParameters
from ms_pfl.federation.replies import Asked, Heard, HeardStep, ReplyError, Scored, Trained
from ms_pfl.federation.secure_sums import LEAST
from ms_pfl.federation.strategies import Moments, Strict, mean_over_sites
from ms_pfl.federation.sums import mean_over_rows
from ms_pfl.personalization.method import SHARED, Arrays, Method


@dataclass(frozen=True)
class RoundState:
    """A federation after a round: all that it takes to go on.

    ``arrays`` are the averaged ones, not yet scored; ``further`` the records that travel beside
    them; ``private`` those of each country's private state, in a simulation; ``trained`` are the
    rows of this round, whose validation is still open; ``history`` those of the rounds before, of
    which ``roc_auc`` is the last one's mean validation ROC-AUC; ``best_value`` is what rounds are
    judged by, lower being better. Random numbers need no state: each derives from (seed, country,
    round).
    """

    round: int
    arrays: ArrayRecord
    moments: Moments
    further: Mapping[str, ArrayRecord]
    private: PrivateStates
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


@dataclass(frozen=True)
class _Answer:
    """A node's message, its reply, and the numbers of it."""

    node_id: int
    sent: Message
    reply: Message
    told: Heard


@dataclass(frozen=True)
class _Answers:
    """The answers of an exchange, in the order of the nodes.

    Attributes:
        each: of them.
        masked: what the round's masked answers are measured by; None: they are in the clear.
    """

    each: list[_Answer]
    masked: MaskedRound | None

    def total_loss(self, record: str) -> float:
        """Return the sum of the log-losses that the answers hold, masked or in the clear.

        Args:
            record: of a masked answer, ``scored`` or ``fitted``.
        """
        if self.masked is not None:
            contents = [answer.reply.content for answer in self.each]
            return total_loss([own for own in contents if record in own], record)
        told = [answer.told for answer in self.each]
        return exact_sum(own.loss_sum for own in told if isinstance(own, Scored))


def run_rounds(
    grid: NamedGrid,
    strategy: Strict,
    method: Method,
    initial: Arrays,
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
    shared arrays together with each country's private state; the earlier in a tie. If no country
    has a validation row, it is the last round. With ``patience``, the rounds end once a round is
    known to be so many after the best one; the round that was trained meanwhile counts too.

    Args:
        grid: the clients.
        strategy: made by :func:`ms_pfl.federation.strategies.make_strategy`.
        method: what travels beside the model, and how it is combined.
        initial: the shared arrays before the first round.
        seed: of the fit; told in the history.
        epochs: that each client trains in a round.
        parameters: number of rounds and patience.
        report: called after each round with its number and the mean validation ROC-AUC of the
            latest round that is scored.
        by_roc_auc: judge rounds by the mean ROC-AUC instead of the log-loss, as the published code
            does (on test rows: ``training.protocol.selection``).
        resume: the state that an earlier process reached; the result is the same bit for bit.
        keep: given each round's state.

    Raises:
        ClientError: a client failed or did not answer, or its reply cannot be used.
        InputError: a client met an error that the user can fix, such as a loss that diverges.
    """
    state = resume or begins(method, initial, grid.private())
    if resume is not None:
        strategy.restore(resume.moments)
        grid.restore_private(resume.private)
    patience = parameters.patience or math.inf

    def exchange(messages: list[Message], state: RoundState) -> _Answers:
        asked = Asked(
            records={
                name: views(record)
                for name, record in {SHARED: state.arrays, **state.further}.items()
            },
            rows=grid.rows,
            selection="test" if by_roc_auc else "validation",
            sites=len(grid.nodes),
            largest_update=parameters.largest_update,
        )
        return _exchange(grid, messages, asked)

    if by_roc_auc and grid.secure:
        raise InputError(
            "rounds cannot be chosen by ROC-AUC (training.protocol.selection: test) where sums are "
            "masked: it is no sum; set secure_sums: false, or selection: validation"
        )

    # the latest round is not scored yet
    while state.round < parameters.rounds and state.round - 1 - state.best_round < patience:
        state = _play(grid, strategy, method, state, seed, epochs, parameters, by_roc_auc, exchange)
        keep(state)
        report(state.round, state.roc_auc)
    answers = exchange(_evaluations(grid, state, grid.get_node_ids()), state)
    state = _scored(state, answers, by_roc_auc, evaluation=True)
    return Federation(
        to_arrays(state.best_arrays),
        state.best_round,
        state.best_roc_auc,
        [replace(row, selected=row.round == state.best_round) for row in state.history],
    )


def begins(method: Method, initial: Arrays, private: PrivateStates) -> RoundState:
    """Return the state before round 1.

    Args:
        method: what travels beside the model.
        initial: the shared arrays.
        private: of the clients, in a simulation.
    """
    arrays = to_record(initial)
    further = {name: to_record(held) for name, held in method.further(initial).items()}
    return RoundState(
        round=0,
        arrays=arrays,
        moments={},
        further=further,
        private=private,
        trained=(),
        history=(),
        roc_auc=math.nan,
        best_round=0,
        best_value=math.inf,
        best_roc_auc=math.nan,
        best_arrays=arrays,
    )


def _play(
    grid: NamedGrid,
    strategy: Strict,
    method: Method,
    state: RoundState,
    seed: int,
    epochs: int,
    parameters: RoundsParameters,
    by_roc_auc: bool,
    exchange: Callable[[list[Message], RoundState], _Answers],
) -> RoundState:
    """One round: score the one before, train, average."""
    number = state.round + 1
    config = ConfigRecord(
        {
            "epochs": epochs,
            "best-round": state.best_round,
            "sites": len(grid.nodes),
            **grid.masked_over(grid.get_node_ids()),
        }
    )
    sent = list(strategy.configure_train(number, state.arrays, config, grid))
    drawn = {message.metadata.dst_node_id for message in sent}
    if grid.secure and len(drawn) < LEAST:
        raise InputError(
            f"training.federation.client_fraction lets {len(drawn)} sites train in a round, and a "
            f"masked sum takes {LEAST}; raise it, or set secure_sums: false"
        )
    for message in sent:
        if grid.secure:
            told = message.content.config_records["config"]
            told.update(grid.masked_over(drawn, "trainers"))
            told["largest-update"] = parameters.largest_update
        for name, record in state.further.items():
            message.content[name] = record
    sent += _evaluations(grid, state, [node for node in grid.get_node_ids() if node not in drawn])
    answers = exchange(sent, state)
    if state.round:
        state = _scored(state, answers, by_roc_auc)
    trained_by = [answer.reply for answer in answers.each if answer.node_id in drawn]
    contents, share = [reply.content for reply in trained_by], len(trained_by) / len(grid.nodes)
    means = {name: mean_over_rows(contents, name) for name in state.further}
    if answers.masked is not None:
        _check_means(answers.masked, {SHARED: mean_over_rows(contents, SHARED), **means})
    arrays, _ = strategy.aggregate_train(number, trained_by)
    further = {
        name: to_record(method.combine(name, to_arrays(held), means[name], share))
        for name, held in state.further.items()
    }
    _check_finite(number, {SHARED: arrays, **further})
    trained = tuple(
        _row(grid.nodes[answer.node_id].country, seed, number, answer) for answer in answers.each
    )
    if answers.masked is not None:
        rows = sum(row.n_train for row in trained)
        loss = answers.total_loss(FITTED) / rows
        trained = tuple(replace(row, train_loss=loss) if row.n_train else row for row in trained)
    return replace(
        state,
        round=number,
        arrays=arrays,
        moments=strategy.moments(),
        further=further,
        private=grid.private(),
        trained=trained,
    )


def _check_means(masked: MaskedRound, means: Mapping[str, Arrays]) -> None:
    """See that the means of masked records are within the bound that each site keeps to.

    Raises:
        ClientError: one is not, although each site says that its own is.
    """
    try:
        for name, mean in means.items():
            masked.asked.check_mean(name, mean)
    except ReplyError as error:
        raise ClientError(
            f"the mean of what the sites have sent masked cannot be used: {error}; one of them "
            "has sent something else than it says"
        ) from None


def _evaluations(grid: NamedGrid, state: RoundState, nodes: list[int]) -> list[Message]:
    """Messages that have nodes score the averaged model of the state."""
    config = ConfigRecord({"server-round": state.round, **grid.masked_over(grid.get_node_ids())})
    content = RecordDict({"arrays": state.arrays, "config": config})
    return [
        Message(content=content, message_type="evaluate", dst_node_id=node_id) for node_id in nodes
    ]


def _exchange(grid: NamedGrid, messages: list[Message], asked: Asked) -> _Answers:
    """Have the messages answered, and check all that was answered, in the order of the nodes."""
    sent = {message.metadata.dst_node_id: message for message in messages}
    kinds = {node_id: sent[node_id].metadata.message_type for node_id in sorted(sent)}
    names = {node_id: grid.name_of(node_id) for node_id in sent}
    answers, masked = [], MaskedRound(asked) if grid.secure else None
    by = masked or asked
    for reply in check_replies(grid.send_and_receive(messages), kinds, names):
        node_id = reply.metadata.src_node_id
        read = by.trained if kinds[node_id] == "train" else by.scored
        with reply_of(names[node_id], kinds[node_id]):
            told: Heard = read(node_id, reply.content)
        answers.append(_Answer(node_id, sent[node_id], reply, told))
    if masked is not None:
        check_alike({names[node_id]: own for node_id, own in masked.questions.items()})
    return _Answers(answers, masked)


def _check_finite(number: int, records: Mapping[str, ArrayRecord]) -> None:
    """See that the result of a round can be gone on from, before it is written down.

    Raises:
        InputError: it cannot, although each client's reply can.
    """
    for name, record in records.items():
        for key, array in views(record).items():
            if not np.isfinite(array).all():
                raise InputError(
                    f"round {number}: the server's step has made {name}/{key} infinite or not a "
                    "number; lower eta or raise tau of this strategy (training.strategies)"
                )


def _row(country: str, seed: int, number: int, answer: _Answer) -> HistoryRow:
    """Return a country's row of a round whose validation is not known yet."""
    told = answer.told
    trained = isinstance(told, HeardStep)
    return HistoryRow(
        seed=seed,
        round=number,
        country=country,
        n_train=told.num_examples if isinstance(told, HeardStep) else 0,
        n_validation=told.num_validation,
        train_loss=told.train_loss if isinstance(told, Trained) else math.nan,
        validation_loss=math.nan,
        validation_roc_auc=math.nan,
        seconds=told.seconds,
        bytes_up=_bytes(answer.reply) if trained else 0,
        bytes_down=_bytes(answer.sent),
        selected=False,
    )


def _bytes(message: Message) -> int:
    return sum(payload_bytes(record) for record in message.content.array_records.values())


def _scored(
    state: RoundState,
    answers: _Answers,
    by_roc_auc: bool,
    *,
    evaluation: bool = False,
) -> RoundState:
    """Return the state with its round's validation, and that round as the best one where it is.

    Args:
        state: a round whose validation is open.
        answers: that score it, in the order of the rows.
        by_roc_auc: as for :func:`run_rounds`.
        evaluation: whether the exchange did nothing else, so that its cost is this round's.
    """
    rows = []
    total = sum(answer.told.num_validation for answer in answers.each)
    loss = answers.total_loss(SCORED) / total if total else math.nan
    for row, answer in zip(state.trained, answers.each, strict=True):
        told = answer.told
        n = told.num_validation
        own = told.loss_sum / n if isinstance(told, Scored) and n else loss
        row = replace(
            row,
            validation_loss=own if n else math.nan,
            validation_roc_auc=told.roc_auc,
        )
        if evaluation:
            row = replace(
                row,
                seconds=row.seconds + told.seconds,
                bytes_down=row.bytes_down + _bytes(answer.sent),
            )
        rows.append(row)
    roc_auc = mean_over_sites((row.validation_roc_auc, row.n_validation) for row in rows)
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
