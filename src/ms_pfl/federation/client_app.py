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

Each is read through its typed model (:mod:`ms_pfl.federation.messages`), and arrays have the names,
types and shapes that the client's own settings give. A message that is refused changes nothing.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence

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
from ms_pfl.federation.messages import (
    INPUTS,
    OF_A_LEARNER,
    Evaluate,
    Personalize,
    Predict,
    Prepare,
    RefusedMessageError,
    SumsQuestion,
    TrainRound,
    read_as,
)
from ms_pfl.federation.sums import SUMS, answer_of, sums_of_rows, times_rows
from ms_pfl.learning.networks import get_arrays
from ms_pfl.learning.scoring import probabilities
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.training import TrainingDivergedError, fit
from ms_pfl.personalization.method import SHARED

OnProgress = Callable[[Context, FitProgress], None]


def make_client_app(
    load_partition: LoadPartition,
    on_progress: OnProgress = lambda *_: None,
    mods: Sequence[Mod] = (),
) -> ClientApp:
    """The ClientApp over a loader of partitions.

    Args:
        load_partition: from the client's context and a seed to its rows; called for each message,
            so it should keep what it has read.
        on_progress: told the epochs of a fit in this process; a deployment needs none.
        mods: Flower's: each stands between a message and what answers it.
    """
    app = ClientApp(mods=[_all_or_nothing, *mods])
    prepared, spare = PreparedRows(), spare_networks()

    @app.query("sums")
    def sums(message: Message, context: Context) -> Message:
        asked = read_as(SumsQuestion, message)
        if asked.question not in OF_A_LEARNER:
            train = load_partition(context, asked.seed).train
            about = received_edges(message, train.x.shape[1])
            answer = sums_of_rows(asked.question, about, train.x, train.y, train.patients)
        else:
            client = Client(load_partition, prepared, context)
            learner = client.from_sums
            if learner is None or asked.question not in learner.questions:
                raise RefusedMessageError(
                    f"query.sums: this training is not fitted by '{asked.question}'"
                )
            model = client.received(message).get(SHARED, {})
            answer = learner.answer(asked.question, client, model)
        return _reply(message, {SUMS: to_record(answer_of(asked.question, answer, asked.sites))})

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
        trained = {
            name: to_record(times_rows(arrays, rows, asked.sites))
            for name, arrays in sent.records.items()
        }
        client.keep_private(sent.private, server_round, asked.best_round)
        metrics: Metrics = {
            "num-examples": rows,
            "train-loss": sent.loss,
            **received,
            "seconds": time.perf_counter() - began,
        }
        return _reply(message, {**trained, "metrics": MetricRecord(metrics)})

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
        return _reply(message, {"metrics": MetricRecord(metrics)})

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


def _reply(message: Message, records: Mapping[str, ArrayRecord | MetricRecord]) -> Message:
    return Message(RecordDict(dict(records)), reply_to=message)
