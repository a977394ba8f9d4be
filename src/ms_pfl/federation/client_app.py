"""The one ClientApp: it serves all paradigms, in simulation and in deployment.

What it answers (message type: what comes in -> what goes out):

* ``query.sums``: a question, the seed, what the question needs -> sums over the training rows.
* ``query.prepare``: seed, settings, inputs -> nothing; kept in ``context.state`` for this run. To
  go on from a round, the private state that the client has kept stays.
* ``train``: shared records, round, epochs, best round -> log-loss sum, n and ROC-AUC of what it
  received on its validation rows, then what the method sends after the local epochs.
* ``train.personalize``: start arrays (or none) -> the epochs of a fit to the client's own best
  validation epoch; the model stays in ``context.state`` unless it is asked for.
* ``evaluate``: shared arrays -> log-loss sum, n and ROC-AUC on the validation rows alone.
* ``query.predict``: shared arrays (or none: the client's own model), best round -> probabilities of
  the validation and test rows. It alone reads the test rows.

Where a message names participants, sums leave masked (:mod:`ms_pfl.federation.masking`): those of
``query.sums``, what ``train`` sends after its epochs, and log-losses.

Each is read through its typed model (:mod:`ms_pfl.federation.messages`), and arrays have the names,
types and shapes that the client's own settings give. A message that is refused changes nothing.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ms_pfl.federation.client import (
    OWN,
    SELECTED,
    Client,
    LoadPartition,
    Metrics,
    PreparedRows,
    spare_networks,
)
from ms_pfl.federation.flower import (
    ArrayRecord,
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    Mod,
    RecordDict,
    to_record,
)
from ms_pfl.federation.from_sums import fit_alone
from ms_pfl.federation.history import FitProgress
from ms_pfl.federation.inputs import received_edges
from ms_pfl.federation.masking import (
    FITTED,
    SCORED,
    TRAINED,
    MakeMasks,
    Part,
    drill,
    loss_words,
    masking_of,
    own_check,
)
from ms_pfl.federation.messages import (
    INPUTS,
    OF_A_LEARNER,
    Evaluate,
    Personalize,
    Predict,
    Prepare,
    RefusedMessageError,
    Summed,
    SumsQuestion,
    TrainRound,
    read_as,
)
from ms_pfl.federation.replies import Asked, KnownRows
from ms_pfl.federation.sum_replies import SumReply
from ms_pfl.federation.sums import SUMS, answer_of, check_sums, sums_of_rows, times_rows
from ms_pfl.learning.networks import get_arrays
from ms_pfl.learning.scoring import probabilities
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.training import TrainingDivergedError, fit
from ms_pfl.personalization.method import SHARED, Arrays

OnProgress = Callable[[Context, FitProgress], None]


def make_client_app(
    load_partition: LoadPartition,
    on_progress: OnProgress = lambda *_: None,
    mods: Sequence[Mod] = (),
    masks: MakeMasks = drill,
) -> ClientApp:
    """Return the ClientApp over a loader of partitions.

    Args:
        load_partition: from the client's context and a seed to its rows; called for each message,
            so it should keep what it has read.
        on_progress: told the epochs of a fit in this process; a deployment needs none.
        mods: Flower's: each stands between a message and what answers it.
        masks: what a client masks its sums with; in a simulation keys that everybody knows.
    """
    app = ClientApp(mods=[_all_or_nothing, *mods])
    prepared, spare = PreparedRows(), spare_networks()

    @app.query("sums")
    def sums(message: Message, context: Context) -> Message:
        asked = read_as(SumsQuestion, message)
        masking = masking_of(masks, asked, message, context)
        told: dict[str, Any] = asked.model_dump(mode="json")
        records = dict(message.content.array_records)
        if asked.question not in OF_A_LEARNER:
            train = load_partition(context, asked.seed).train
            about: Arrays = received_edges(message, train.x.shape[1])
            answer = sums_of_rows(asked.question, about, train.x, train.y, train.patients)
            width, trees = train.x.shape[1], None
        else:
            client = Client(load_partition, prepared, context)
            learner = client.from_sums
            if learner is None or asked.question not in learner.questions:
                raise RefusedMessageError(
                    f"query.sums: this training is not fitted by '{asked.question}'"
                )
            train, width, trees = client.data.train, client.width, client.settings.trees
            about = client.received(message).get(SHARED, {})
            answer = learner.answer(asked.question, client, about)
            before, inputs = client.asked_before
            told, records = told | before, records | inputs
        words = answer_of(asked.question, answer, asked.sites)
        if masking is None:
            return _reply(message, {SUMS: to_record(words)})
        with own_check():
            own = SumReply(to_record(words), width, len(train.y), asked.sites)
            check_sums(asked.question, own, about, trees)
        part = Part(SUMS, asked.participants, told, records, {SUMS: words})
        return _reply(message, masking.of([part]))

    @app.query("prepare")
    def prepare(message: Message, context: Context) -> Message:
        asked = read_as(Prepare, message)
        Client.prepare(
            load_partition, prepared, context, asked, message.content.array_records[INPUTS]
        )
        return _reply(message, {})

    @app.train()
    def train(message: Message, context: Context) -> Message:
        began = time.perf_counter()
        asked = read_as(TrainRound, message)
        client = Client(load_partition, prepared, context)
        if client.from_sums is not None:
            raise RefusedMessageError("train: what is fitted from sums has no rounds of a network")
        records = client.received(message)
        masking = masking_of(masks, asked, message, context, client.data.seed)
        server_round = asked.server_round
        with client.work(server_round, asked.epochs, asked.proximal_mu, spare) as work:
            private = client.private("evaluate", server_round - 1)
            network = client.method.network(work, records[SHARED], private)
            received = client.validate(network, server_round - 1)
            if client.forgets:
                private = client.private("train", server_round)
            try:
                sent = client.method.train(work, records, private)
            except TrainingDivergedError as error:
                raise error.during(f"round {server_round}") from error
        rows = len(client.rows.train)
        words = {
            name: times_rows(arrays, rows, asked.sites) for name, arrays in sent.records.items()
        }
        trained = {name: to_record(arrays) for name, arrays in words.items()}
        client.keep_private(sent.private, server_round, asked.best_round)
        metrics: Metrics = {
            "num-examples": rows,
            "train-loss": sent.loss,
            **received,
            "seconds": time.perf_counter() - began,
        }
        if masking is None:
            return _reply(message, {**trained, "metrics": MetricRecord(metrics)})
        check_own_round(client, asked, records, trained, metrics)
        before, inputs = client.asked_before
        fitted = loss_words(sent.loss * rows, asked.sites)
        part = Part(
            TRAINED,
            asked.trainers,
            asked.model_dump(mode="json") | before,
            {**message.content.array_records, **inputs},
            {**words, FITTED: fitted},
        )
        scored = _scored(client, asked, server_round - 1, message, received)
        del metrics["train-loss"], metrics["loss-sum"]
        return _reply(message, {**masking.of([part, scored]), "metrics": MetricRecord(metrics)})

    @app.train("personalize")
    def personalize(message: Message, context: Context) -> Message:
        asked = read_as(Personalize, message)
        client = Client(load_partition, prepared, context)
        start = client.received(message).get(SHARED, {})
        n = len(client.rows.selection)
        most = asked.epochs if n else asked.epochs_without_validation

        def tell(epoch: int, roc_auc: float, *, finished: bool = False) -> None:
            on_progress(context, FitProgress(epoch, most, roc_auc, n, finished))

        tell(0, math.nan)
        if client.from_sums is not None:
            done, arrays = fit_alone(
                client.from_sums,
                client,
                start,
                lambda record: tell(record.epoch, record.validation.roc_auc),
            )
        else:
            network = client.work().network(start)
            done = fit(
                network,
                client.rows.train,
                client.rows.selection,
                client.settings.optimizer,
                epochs=asked.epochs,
                patience=asked.patience,
                epochs_without_validation=asked.epochs_without_validation,
                start_is_candidate=asked.start_is_candidate,
                seed=derive_seed(client.data.seed, client.data.country, "personalize"),
                on_epoch=lambda record: tell(record.epoch, record.validation.roc_auc),
            )
            arrays = get_arrays(network)
        tell(done.records[-1].epoch, done.best.validation.roc_auc, finished=True)
        record = to_record(arrays)
        context.state[OWN] = record
        metrics: Metrics = {
            "num-examples": len(client.rows.train),
            "num-validation": n,
            "best-epoch": done.best_epoch,
            "epoch": [record.epoch for record in done.records],
            "train-loss": [record.train_loss for record in done.records],
            "validation-loss": [record.validation.loss for record in done.records],
            "roc-auc": [record.validation.roc_auc for record in done.records],
            "seconds": [record.seconds for record in done.records],
        }
        wanted = {SHARED: record} if asked.reply_with_arrays else {}
        return _reply(message, {**wanted, "metrics": MetricRecord(metrics)})

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        began = time.perf_counter()
        asked = read_as(Evaluate, message)
        client = Client(load_partition, prepared, context)
        masking = masking_of(masks, asked, message, context)
        server_round = asked.server_round
        shared = client.received(message)[SHARED]
        if client.from_sums is not None:
            scored = client.from_sums.score(client, shared)
            metrics: Metrics = {
                "num-examples": len(client.rows.train),
                "num-validation": scored.n,
                "loss-sum": scored.loss_sum,
                "roc-auc": scored.roc_auc,
            }
        else:
            private = client.private("evaluate", server_round)
            with client.work(server_round, spare=spare) as work:
                network = client.method.network(work, shared, private)
                metrics = client.validate(network, server_round)
        metrics["seconds"] = time.perf_counter() - began
        if masking is None:
            return _reply(message, {"metrics": MetricRecord(metrics)})
        part = _scored(client, asked, server_round, message, metrics)
        del metrics["loss-sum"]
        return _reply(message, {**masking.of([part]), "metrics": MetricRecord(metrics)})

    @app.query("predict")
    def predict(message: Message, context: Context) -> Message:
        asked = read_as(Predict, message)
        client = Client(load_partition, prepared, context)
        shared = client.received(message).get(SHARED)
        if shared is None:
            model = client.own_model()
        else:
            if client.from_sums is not None:
                own = client.from_sums.own(client, shared)
            else:
                own = client.method.kept(client.private("predict", asked.best_round))
            context.state[SELECTED] = to_record(own)
            model = {**shared, **own}
        fitted = client.learner.open(model, client.width)
        # with the sound protocol the one place that reads the test rows
        splits = {"validation": client.data.validation, "test": client.data.test}
        found = {
            name: probabilities(fitted.logits(client.inputs_of(split)))
            for name, split in splits.items()
        }
        return _reply(message, {SHARED: to_record(found)})

    return app


def _scored(
    client: Client, asked: Summed, server_round: int, message: Message, metrics: Metrics
) -> Part:
    """Return the log-loss of the model after a round: a question of its own, whoever trains on from
    it."""
    told, inputs = client.asked_before
    loss = metrics["loss-sum"]
    assert isinstance(loss, float), "it is a sum over rows"
    return Part(
        SCORED,
        asked.participants,
        told | {"round": server_round},
        {SHARED: message.content.array_records[SHARED], **inputs},
        {SCORED: loss_words(loss, len(asked.participants))},
    )


def check_own_round(
    client: Client,
    asked: TrainRound,
    sent: Mapping[str, Arrays],
    trained: Mapping[str, ArrayRecord],
    metrics: Metrics,
) -> None:
    """See that the result of a client in a round is within the server's bounds.

    Args:
        client: that is to send it.
        asked: the round.
        sent: the arrays that came.
        trained: what they have become, times rows.
        metrics: of the round.

    Raises:
        OwnCheckError: it is not.
    """
    assert asked.largest_update is not None, "it comes with the participants"
    own = Asked(
        records=sent,
        rows=KnownRows(),
        selection=client.protocol.selection,
        sites=asked.sites,
        largest_update=asked.largest_update,
    )
    with own_check():
        own.trained(0, RecordDict({**trained, "metrics": MetricRecord(metrics)}))


def _all_or_nothing(
    message: Message, context: Context, answer: Callable[[Message, Context], Message]
) -> Message:
    """Have what a message changes in the client's state hold only with a good answer.

    Records of the state are replaced or removed, never changed in place.
    """
    before = dict(context.state.items())
    try:
        return answer(message, context)
    except BaseException:
        for name in context.state.keys() - before.keys():
            del context.state[name]
        context.state.update(before)
        raise


def _reply(
    message: Message, records: Mapping[str, ArrayRecord | MetricRecord | ConfigRecord]
) -> Message:
    return Message(RecordDict(dict(records)), reply_to=message)
