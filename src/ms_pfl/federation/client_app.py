"""The one ClientApp: it serves all paradigms, in simulation and in deployment.

What it answers (message type: what comes in -> what goes out):

* ``query.scaler_sums``: the seed -> n, sum x, sum x^2 of the training rows.
* ``query.prepare``: seed, settings, scaler -> nothing; kept in ``context.state``. To go on from a
  round, the personal arrays that the client has kept stay.
* ``train``: shared arrays, round, epochs, best round -> log-loss sum, n and ROC-AUC of what it
  received on its validation rows, then the shared arrays after the local epochs.
* ``train.personalize``: start arrays (or none) -> the epochs of a fit to the client's own best
  validation epoch; the model stays in ``context.state`` unless it is asked for.
* ``evaluate``: shared arrays -> log-loss sum, n and ROC-AUC on the validation rows alone.
* ``query.predict``: shared arrays (or none: the client's own model), best round -> probabilities of
  the validation and test rows. It alone reads the test rows.

Personal arrays are written to ``context.state`` and to no message. The record ``personal`` holds up
to three versions of them, named by the round in which the client trained them (0: initial): the
one in use in the best round so far, the one in use in the round that is being scored, which may
turn out the best, and the present one. Records of the state are replaced, never changed in place.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ms_pfl.errors import InputError
from ms_pfl.federation.flower import (
    Array,
    ArrayRecord,
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    Mod,
    RecordDict,
)
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.partitions import ClientData, Split
from ms_pfl.federation.progress import FitProgress
from ms_pfl.federation.records import (
    record_to_scaler,
    scaler_to_record,
    sums_to_record,
    to_arrays,
    to_record,
)
from ms_pfl.federation.scaler import Scaler, ScalerSums
from ms_pfl.learning.networks import Network, build_model, get_arrays, set_arrays
from ms_pfl.learning.scoring import Rows, predict_proba, score
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.learning.training import (
    EpochRecord,
    Proximal,
    TrainingDivergedError,
    fit,
    one_thread,
    resolve_device,
    train_epochs,
)

_Metrics = dict[str, int | float | list[int] | list[float]]
LoadPartition = Callable[[Context, int], ClientData]
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
    app = ClientApp(mods=list(mods))
    prepared = _PreparedRows()

    @app.query("scaler_sums")
    def scaler_sums(message: Message, context: Context) -> Message:
        data = load_partition(context, int(message.content["config"]["seed"]))
        sums = ScalerSums.of(data.train.x)
        return _reply(message, arrays=sums_to_record(sums))

    @app.query("prepare")
    def prepare(message: Message, context: Context) -> Message:
        told = message.content["config"]
        before = context.state.get("settings")
        same = before is not None and all(before[k] == told[k] for k in ("seed", "settings"))
        context.state["settings"] = told
        context.state["scaler"] = message.content["scaler"]
        _Client(load_partition, prepared, context).begin(int(told["after-round"]), same)
        return _reply(message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        began = time.perf_counter()
        config = message.content["config"]
        client = _Client(load_partition, prepared, context)
        shared = to_arrays(message.content["arrays"])
        server_round = int(config["server-round"])
        model = client.model(shared, client.personal("evaluate", server_round - 1))
        received = client.validate(model, server_round - 1)
        if client.forgets:
            set_arrays(model, client.personal("train", server_round))
        mu = float(config.get("proximal-mu", 0.0)) if client.protocol.proximal_term else 0.0
        try:
            loss = train_epochs(
                model,
                client.rows.train,
                client.rows.selection,
                client.settings.training,
                epochs=int(config["epochs"]),
                seed=derive_seed(client.data.seed, client.data.country, server_round),
                proximal=Proximal(mu, shared) if mu > 0 else None,
            )
        except TrainingDivergedError as error:
            raise error.during(f"round {server_round}") from error
        client.keep_personal(model, server_round, int(config["best-round"]))
        return _reply(
            message,
            arrays=to_record(get_arrays(model, personal=False)),
            metrics={
                "num-examples": len(client.rows.train),
                "train-loss": loss,
                **received,
                "seconds": time.perf_counter() - began,
            },
        )

    @app.train("personalize")
    def personalize(message: Message, context: Context) -> Message:
        config = message.content["config"]
        client = _Client(load_partition, prepared, context)
        start = message.content.get("arrays")
        model = client.model({} if start is None else to_arrays(start), {})
        epochs, unchecked = int(config["epochs"]), int(config["epochs-without-validation"])
        n = len(client.rows.selection)

        def tell(epoch: int, roc_auc: float, *, finished: bool = False) -> None:
            most = epochs if n else unchecked
            on_progress(context, FitProgress(epoch, most, roc_auc, n, finished))

        def tell_epoch(record: EpochRecord) -> None:
            tell(record.epoch, record.validation.roc_auc)

        tell(0, math.nan)
        done = fit(
            model,
            client.rows.train,
            client.rows.selection,
            client.settings.training,
            epochs=epochs,
            patience=int(config["patience"]),
            epochs_without_validation=unchecked,
            start_is_candidate=bool(config["start-is-candidate"]),
            seed=derive_seed(client.data.seed, client.data.country, "personalize"),
            on_epoch=tell_epoch,
        )
        tell(done.records[-1].epoch, done.best.validation.roc_auc, finished=True)
        arrays = to_record(get_arrays(model))
        context.state["own"] = arrays
        metrics: _Metrics = {
            "num-examples": len(client.rows.train),
            "num-validation": n,
            "best-epoch": done.best_epoch,
            "epoch": [record.epoch for record in done.records],
            "train-loss": [record.train_loss for record in done.records],
            "validation-loss": [record.validation.loss for record in done.records],
            "roc-auc": [record.validation.roc_auc for record in done.records],
            "seconds": [record.seconds for record in done.records],
        }
        wanted = bool(config["reply-with-arrays"])
        return _reply(message, arrays=arrays if wanted else None, metrics=metrics)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        began = time.perf_counter()
        client = _Client(load_partition, prepared, context)
        server_round = int(message.content["config"]["server-round"])
        personal = client.personal("evaluate", server_round)
        scored = client.validate(
            client.model(to_arrays(message.content["arrays"]), personal), server_round
        )
        return _reply(message, metrics=scored | {"seconds": time.perf_counter() - began})

    @app.query("predict")
    def predict(message: Message, context: Context) -> Message:
        client = _Client(load_partition, prepared, context)
        arrays = message.content.get("arrays")
        if arrays is None:
            model = client.model(to_arrays(context.state["own"]), {})
        else:
            best_round = int(message.content["config"]["best-round"])
            selected = client.personal("predict", best_round)
            model = client.model(to_arrays(arrays), selected)
            context.state["selected"] = to_record(selected)
        # with the sound protocol the one place that reads the test rows
        test = client.rows_of(client.data.test)
        with one_thread():
            probabilities = {
                "validation": predict_proba(model, client.rows_of(client.data.validation).x),
                "test": predict_proba(model, test.x),
            }
        return _reply(message, arrays=to_record(probabilities))

    return app


class NotKeptError(InputError):
    """A client is to go on with personal arrays that it does not hold."""


class _PreparedRows:
    """Scaled rows to train and to select on, on the device, kept from message to message.

    They go when the loader lets go of the rows they were made of.
    """

    def __init__(self) -> None:
        self._kept: weakref.WeakKeyDictionary[ClientData, _ClientRows] = weakref.WeakKeyDictionary()

    def get(self, client: _Client) -> _ClientRows:
        kept = self._kept.get(client.data)
        if kept is None or kept.made_with != client.told:
            selection = client.selection_split()
            kept = _ClientRows(
                client.told, client.rows_of(client.data.train), client.rows_of(selection)
            )
            self._kept[client.data] = kept
        return kept


@dataclass(frozen=True)
class _ClientRows:
    made_with: tuple[object, ...]
    train: Rows
    selection: Rows


class _Client:
    """A client while it answers one message: its settings, rows and personal arrays."""

    def __init__(
        self, load_partition: LoadPartition, prepared: _PreparedRows, context: Context
    ) -> None:
        if "settings" not in context.state:
            raise RuntimeError("the client was not prepared: send query.prepare first")
        self._state = context.state
        record = context.state["settings"]
        self.settings = ClientSettings.model_validate_json(str(record["settings"]))
        self.protocol = self.settings.protocol
        self.forgets = self.protocol.personal_arrays == "reset"
        self.data = load_partition(context, int(record["seed"]))
        scaler = context.state["scaler"]
        self.told = (b"".join(array.data for array in scaler.values()), self.protocol)
        self._federated: Scaler = record_to_scaler(scaler)
        self._device = resolve_device(self.settings.device)
        self.rows = prepared.get(self)

    def rows_of(self, split: Split) -> Rows:
        """The rows of a split, scaled and filled, on the device."""
        return Rows(
            torch.tensor(self._scaled(split), device=self._device),
            torch.tensor(split.y, device=self._device),
        )

    def _scaled(self, split: Split) -> np.ndarray:
        match self.protocol.scaling:
            case "none":
                return self._federated.unscaled(split.x)
            case "country":
                return self._scaled_by_country(split)
            case _:
                return self._federated.apply(split.x)

    def _scaled_by_country(self, split: Split) -> np.ndarray:
        """The rows scaled by the training rows of their own country."""
        train, scaled = self.data.train, np.empty_like(split.x)
        for owner in np.unique(split.owners):
            own = Scaler.from_sums([ScalerSums.of(train.x[train.owners == owner])])
            scaled[split.owners == owner] = own.apply(split.x[split.owners == owner])
        return scaled

    def selection_split(self) -> Split:
        """The rows by which rounds and epochs are chosen: never the test rows, but for the audit.

        The published code selects on test rows. ``protocol.selection: test`` does so to measure
        what that is worth; this is the one way for test rows into a selection.
        """
        return self.data.test if self.protocol.selection == "test" else self.data.validation

    def begin(self, after_round: int, same: bool) -> None:
        """Set the personal arrays to their initial values, or see that those of a round are there.

        Args:
            after_round: the round to go on from; 0: from the beginning.
            same: whether what the client holds is of this seed, with these settings.

        Raises:
            NotKeptError: the client is to go on after a round of which it has kept nothing.
        """
        seed = derive_seed(self.data.seed, self.data.country, "initial")
        initial = get_arrays(self._build(seed), personal=True)
        if not after_round or not initial:
            self._store({0: _arrays(initial)})
        elif not same or "personal" not in self._state:
            raise NotKeptError(
                f"the training is to go on after round {after_round}, but its personal arrays "
                "are not kept here any more; begin the training anew"
            )

    def model(self, arrays: dict[str, np.ndarray], personal: dict[str, np.ndarray]) -> Network:
        """The network with these arrays; those not given have the seed's initial values."""
        model = self._build(initial_seed(self.data.seed))
        set_arrays(model, arrays)
        set_arrays(model, personal)
        return model.to(self._device)

    def validate(self, model: Network, server_round: int) -> _Metrics:
        """Log-loss sum, rows and ROC-AUC on the rows to select by, of the model after a round."""
        with one_thread():
            scored = score(model, self.rows.selection)
        if not math.isfinite(scored.loss_sum):
            raise TrainingDivergedError(
                "the validation loss of the averaged model", self.settings.training.learning_rate
            ).during(f"round {server_round}")
        return {
            "num-validation": scored.n,
            "loss-sum": scored.loss_sum,
            "roc-auc": scored.roc_auc,
        }

    def personal(self, purpose: str, server_round: int) -> dict[str, np.ndarray]:
        """The personal arrays as they were when this round was over.

        The published code draws them anew for whatever it does in a round
        (``protocol.personal_arrays: reset``), so that the trained ones are never used.
        """
        if self.forgets:
            seed = derive_seed(self.data.seed, self.data.country, "reset", purpose, server_round)
            return get_arrays(self._build(seed), personal=True)
        versions = self._versions()
        if not versions:
            return {}
        return to_arrays(ArrayRecord(versions[_in_use(versions, server_round)]))

    def keep_personal(self, model: Network, server_round: int, best_round: int) -> None:
        """Add the model's personal arrays as those of this round.

        Of the earlier ones stay those in use in the best round, and the latest, which may be. That
        is right also for a client that sat out some rounds, and for one that trains a round again
        because its reply was lost.
        """
        versions = self._versions()
        if versions:
            kept = {_in_use(versions, best_round), _in_use(versions, server_round - 1)}
            self._store(
                {number: versions[number] for number in sorted(kept)}
                | {server_round: _arrays(get_arrays(model, personal=True))}
            )

    def _versions(self) -> dict[int, dict[str, Array]]:
        versions: dict[int, dict[str, Array]] = {}
        for key, array in self._state["personal"].items():
            number, _, name = key.partition("/")
            versions.setdefault(int(number), {})[name] = array
        return versions

    def _store(self, versions: dict[int, dict[str, Array]]) -> None:
        self._state["personal"] = ArrayRecord(
            {
                f"{number}/{name}": array
                for number, arrays in versions.items()
                for name, array in arrays.items()
            }
        )

    def _build(self, seed: int) -> Network:
        return build_model(
            self.settings.kind,
            self.data.train.x.shape[1],
            self.settings.model,
            len(self.data.train.y),
            seed,
        )


def _arrays(arrays: dict[str, np.ndarray]) -> dict[str, Array]:
    return dict(to_record(arrays).items())


def _in_use(versions: Iterable[int], server_round: int) -> int:
    """The version of the personal arrays that was in use when the round was scored."""
    earlier = [number for number in versions if number <= server_round]
    if not earlier:
        raise RuntimeError(f"no personal arrays were kept of round {server_round}")
    return max(earlier)


def initial_seed(seed: int) -> int:
    """Seed of the shared initial weights: the same in all countries and paradigms."""
    return derive_seed(seed, "initial")


def prepare_content(
    settings: ClientSettings, seed: int, scaler: Scaler, after_round: int = 0
) -> RecordDict:
    """The content of a ``query.prepare`` message.

    ``after_round``: the round to go on from, where the clients keep their personal arrays.
    """
    config = ConfigRecord(
        {"seed": seed, "settings": settings.model_dump_json(), "after-round": after_round}
    )
    return RecordDict({"config": config, "scaler": scaler_to_record(scaler)})


def _reply(
    message: Message,
    arrays: object | None = None,
    metrics: _Metrics | None = None,
) -> Message:
    content = RecordDict()
    if arrays is not None:
        content["arrays"] = arrays
    if metrics is not None:
        content["metrics"] = MetricRecord(metrics)
    return Message(content, reply_to=message)
