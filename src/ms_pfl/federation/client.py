"""A client while it answers one message: its settings, its rows and its private state.

What a method keeps at a site is written to ``context.state`` and to no message: a record for each
version of it, ``private/<round>``, named by the round in which the site trained it (0: initial). Up
to three versions are held: the one in use in the best round so far, the one in use in the round
that is being scored, which may turn out the best, and the present one. Records of the state are
replaced or removed, never changed in place.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from ms_pfl.errors import InputError
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Form,
    Message,
    forms_of,
    received,
    to_arrays,
    to_record,
)
from ms_pfl.federation.from_sums import FromSums
from ms_pfl.federation.inputs import received_inputs, width_of
from ms_pfl.federation.messages import INPUTS, Prepare, RefusedMessageError, first_reason
from ms_pfl.federation.parameters import ClientSettings, ProtocolParameters
from ms_pfl.federation.partitions import ClientData, Split
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning.inputs import Inputs, inputs_of
from ms_pfl.learning.learners import Learner, make_learner
from ms_pfl.learning.networks import Network, build_network, extension_layers, get_arrays
from ms_pfl.learning.scaler import Scaler, ScalerSums
from ms_pfl.learning.scoring import Rows, score
from ms_pfl.learning.seeds import derive_seed, initial_seed
from ms_pfl.learning.training import TrainingDivergedError, one_thread, resolve_device
from ms_pfl.paradigms import PARADIGMS
from ms_pfl.personalization.method import SHARED, Arrays, Method, method_class
from ms_pfl.personalization.work import Work
from ms_pfl.text import shown

Metrics = dict[str, int | float | list[int] | list[float]]
LoadPartition = Callable[[Context, int], ClientData]
OWN, SELECTED = "own", "selected"
"""The records of a client's state with the model that it trained by itself, and with what of its
private state the selected round used."""
SITE = "site"
"""The record of a client's state in which a real site names the snapshot of its rows."""
_SETTINGS = "settings"
PRIVATE = "private/"
"""How the names of the records of a client's state begin that hold its private state."""


class NotKeptError(InputError):
    """A client is to go on with private state that it does not hold."""


@dataclass(frozen=True)
class _PreparedRows:
    """Rows to train and to select on as a learner sees them, on the device."""

    made_with: tuple[ArrayRecord, ProtocolParameters]
    train: Rows
    selection: Rows
    scratch: dict[str, Any] = field(default_factory=dict)


def _same(
    one: tuple[ArrayRecord, ProtocolParameters], other: tuple[ArrayRecord, ProtocolParameters]
) -> bool:
    """Whether inputs and protocol are the same; mostly the records are one object."""
    return (one[1] is other[1] or one[1] == other[1]) and (
        one[0] is other[0]
        or {name: array.data for name, array in one[0].items()}
        == {name: array.data for name, array in other[0].items()}
    )


PreparedRows = weakref.WeakKeyDictionary[ClientData, _PreparedRows]
"""Clients' rows as a learner sees them, kept from message to message.

They go when the loader lets go of the rows they were made of.
"""


SpareNetworks = Callable[..., list[Network]]
"""An app's networks of a form that no message uses, kept as building one takes long."""


_settings_of = lru_cache(maxsize=16)(ClientSettings.model_validate_json)


@lru_cache(maxsize=16)
def _learner_of(settings: str) -> FromSums | None:
    return learner_from_sums(_settings_of(settings))


def spare_networks() -> SpareNetworks:
    """Return a store of networks, without any yet; it forgets forms that were not used lately."""
    return lru_cache(maxsize=16)(lambda *form: [])


def snapshot_of(context: Context) -> str:
    """Return the name of the snapshot of a client's rows; empty in a simulation."""
    site = context.state.get(SITE)
    return "" if site is None else str(site.get("snapshot", ""))


@contextmanager
def _as_refused(kind: str) -> Iterator[None]:
    """Have what is wrong with a message's arrays or settings refuse the message."""
    try:
        yield
    except ValidationError as error:
        raise RefusedMessageError(f"{kind}: {first_reason(error)}") from None
    except InputError as error:
        raise RefusedMessageError(f"{kind}: {error}") from None


def method_of(settings: ClientSettings) -> Method:
    """Return the method that some settings name.

    Raises:
        InputError: there is no such paradigm.
    """
    if settings.paradigm not in PARADIGMS:
        raise InputError(f"there is no paradigm '{shown(settings.paradigm, 60)}' in this version")
    kind = method_class(settings.paradigm)
    if kind.settings is None and settings.method is not None:
        raise InputError(f"the paradigm {settings.paradigm} has no settings of its own")
    own = None if kind.settings is None else kind.settings.model_validate(settings.method)
    return kind(settings.network, own)


def initial_arrays(
    settings: ClientSettings, method: Method, n_features: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the shared arrays before training, the same in every paradigm."""
    network = build_network(method.kind, n_features, settings.network, 0, initial_seed(seed))
    return dict(method.shared(get_arrays(network)))


def network_forms(settings: ClientSettings, n_features: int) -> dict[str, Form]:
    """Return what the arrays of a whole network are, which nobody shares."""
    kind = method_class(settings.paradigm).kind
    return forms_of(get_arrays(build_network(kind, n_features, settings.network, 0, 0)))


@lru_cache(maxsize=16)
def _sent_forms(settings: str, n_features: int) -> dict[str, dict[str, Form]]:
    told = ClientSettings.model_validate_json(settings)
    method = method_of(told)
    shared = initial_arrays(told, method, n_features, 0)
    records = {SHARED: shared, **method.further(shared)}
    return {name: forms_of(arrays) for name, arrays in records.items()}


def sent_forms(settings: ClientSettings, n_features: int) -> dict[str, dict[str, Form]]:
    """Return what the arrays are that travel in the rounds of a network, by record.

    Raises:
        InputError: the settings are of no paradigm, or of a method with other settings.
    """
    return _sent_forms(settings.model_dump_json(), n_features)


def may_travel(settings: ClientSettings, n_features: int) -> dict[str, frozenset[str]]:
    """Return the names of the arrays that a method sends, by record."""
    return {name: frozenset(forms) for name, forms in sent_forms(settings, n_features).items()}


def check_initial(
    settings: ClientSettings, seed: int, n_features: int, arrays: Mapping[str, np.ndarray]
) -> None:
    """See that shared arrays are the ones that a training begins with, bit for bit.

    A server that begins with arrays of its own choice can make them tell of single rows.

    Args:
        settings: of the training.
        seed: of the fit.
        n_features: columns of the client's rows.
        arrays: that came with the first round.

    Raises:
        RefusedMessageError: they are others.
    """
    initial = initial_arrays(settings, method_of(settings), n_features, seed)
    if initial.keys() != arrays.keys() or any(
        own.dtype != arrays[name].dtype
        or own.shape != arrays[name].shape
        or own.tobytes() != arrays[name].tobytes()
        for name, own in initial.items()
    ):
        raise RefusedMessageError(
            f"the weights of round 1 are not the initial ones of seed {seed}, which follow from "
            "the settings"
        )


class Client:
    """A client while it answers one message."""

    def __init__(
        self, load_partition: LoadPartition, prepared: PreparedRows, context: Context
    ) -> None:
        """Look up what the server has told it and what it has kept.

        Raises:
            RefusedMessageError: this run has prepared nothing, or for other rows than the present.
        """
        told = context.state.get(_SETTINGS)
        if told is None or told["run"] != str(context.run_id):
            raise RefusedMessageError("this run has prepared nothing here: query.prepare is first")
        if told["snapshot"] != snapshot_of(context):
            raise RefusedMessageError("this run was prepared for other rows than the present ones")
        self._state = context.state
        self._settings = str(told["settings"])
        self.settings = _settings_of(self._settings)
        self.protocol = self.settings.protocol
        self.forgets = self.protocol.personal_arrays == "reset"
        self.data = load_partition(context, int(told["seed"]))
        self.device = resolve_device(self.settings.device)
        self.rows = self._prepared(prepared)

    @classmethod
    def prepare(
        cls,
        load_partition: LoadPartition,
        prepared: PreparedRows,
        context: Context,
        asked: Prepare,
        inputs: ArrayRecord,
    ) -> Client:
        """Take settings and inputs for what follows in this run; of earlier runs nothing stays.

        But for the private state, where the training that it belongs to is to go on: that of the
        same seed, settings and rows.

        Raises:
            RefusedMessageError: settings or inputs are of no training on these rows.
            NotKeptError: the client is to go on after a round of which it has kept nothing.
        """
        with _as_refused("query.prepare"):
            method_of(asked.settings)
        state, before = context.state, context.state.get(_SETTINGS)
        told: dict[str, str | int] = {
            "seed": asked.seed,
            "settings": asked.settings.model_dump_json(),
            "snapshot": snapshot_of(context),
        }
        same = before is not None and all(before.get(key) == told[key] for key in told)
        for name in (OWN, SELECTED):
            state.pop(name, None)
        state[_SETTINGS] = ConfigRecord({**told, "run": str(context.run_id)})
        state[INPUTS] = inputs
        n_features = int(load_partition(context, asked.seed).train.x.shape[1])
        with _as_refused("query.prepare"):
            received_inputs(inputs, asked.settings.inputs, n_features)
        client = cls(load_partition, prepared, context)
        client.begin(asked.after_round, same)
        return client

    def received(self, message: Message) -> dict[str, Arrays]:
        """Return the records of arrays of a message, each as the client's own settings have it.

        Raises:
            RefusedMessageError: a record or array is missing, unknown, of another type or shape, or
                holds a number that is not finite.
        """
        kind = message.metadata.message_type
        records = {n: r for n, r in message.content.items() if isinstance(r, ArrayRecord)}
        with _as_refused(kind):
            forms = {} if self.from_sums else _sent_forms(self._settings, self.width)
        known = {SHARED} if self.from_sums else forms.keys()
        unknown = records.keys() - known
        lacking = known - records.keys() if kind == "train" else set()
        for name, what in [*((n, "unknown") for n in unknown), *((n, "missing") for n in lacking)]:
            raise RefusedMessageError(f"{kind}: the record '{shown(name, 60)}' is {what}")
        with _as_refused(kind):
            if self.from_sums is not None:
                return {n: self.from_sums.read(record, self.width) for n, record in records.items()}
            return {
                name: {key: view.copy() for key, view in received(record, forms[name]).items()}
                for name, record in records.items()
            }

    def own_model(self) -> Arrays:
        """Return the model that the client trained by itself in this run.

        Raises:
            RefusedMessageError: it has trained none.
        """
        if OWN not in self._state:
            raise RefusedMessageError("query.predict: this run has trained no own model here")
        return to_arrays(self._state[OWN])

    @cached_property
    def method(self) -> Method:
        """What travels, what stays, and how the client trains in a round."""
        return method_of(self.settings)

    @cached_property
    def from_sums(self) -> FromSums | None:
        """What the client fits, if it is fitted from sums."""
        return _learner_of(self._settings)

    @property
    def scratch(self) -> dict[str, Any]:
        """What a learner keeps from message to message; it goes with the rows and their inputs."""
        return self.rows.scratch

    @property
    def learner(self) -> Learner:
        """What the client fits."""
        kind, told = method_class(self.settings.paradigm).kind, self.settings
        return make_learner(told.learner, kind, told.network, told.device)

    @property
    def width(self) -> int:
        """Columns of its rows as the learner sees them."""
        return width_of(self._state[INPUTS])

    @property
    def asked_before(self) -> tuple[dict[str, int | str], dict[str, ArrayRecord]]:
        """What all clients of the fit were told alike before: seed and settings, and the inputs."""
        return {"seed": self.data.seed, "settings": self._settings}, {INPUTS: self._state[INPUTS]}

    @cached_property
    def inputs(self) -> Inputs:
        """What its rows become before the learner sees them."""
        return inputs_of(to_arrays(self._state[INPUTS]), self.data.train.x.shape[1])

    def _prepared(self, prepared: PreparedRows) -> _PreparedRows:
        told = (self._state[INPUTS], self.protocol)
        kept = prepared.get(self.data)
        if kept is None or not _same(kept.made_with, told):
            selection = self.selection_split()
            kept = _PreparedRows(told, self.rows_of(self.data.train), self.rows_of(selection))
            prepared[self.data] = kept
        return kept

    def rows_of(self, split: Split) -> Rows:
        """Return the rows of a split as the learner sees them, on the device."""
        return Rows(
            torch.tensor(self._made_of(split), device=self.device),
            torch.tensor(split.y, device=self.device),
        )

    def inputs_of(self, split: Split) -> np.ndarray:
        """Return the features of a split as the learner sees them, kept where they were made
        before."""
        if split is self.data.train:
            return self.rows.train.x.numpy(force=True)
        if split is self.selection_split():
            return self.rows.selection.x.numpy(force=True)
        return self._made_of(split)

    def _made_of(self, split: Split) -> np.ndarray:
        if isinstance(self.inputs, Scaler):
            match self.protocol.scaling:
                case "none":
                    return self.inputs.unscaled(split.x)
                case "country":
                    return self._scaled_by_country(split)
        return self.inputs.apply(split.x)

    def _scaled_by_country(self, split: Split) -> np.ndarray:
        """Return the rows scaled by the training rows of their own country."""
        train, scaled = self.data.train, np.empty_like(split.x)
        for owner in np.unique(split.owners):
            own = Scaler.from_sums([ScalerSums.of(train.x[train.owners == owner])])
            scaled[split.owners == owner] = own.apply(split.x[split.owners == owner])
        return scaled

    def selection_split(self) -> Split:
        """Return the rows by which rounds and epochs are chosen: never the test rows, but for the
        audit.

        The published code selects on test rows. ``training.protocol.selection: test`` does so to
        measure what that is worth; this is the one way for test rows into a selection.
        """
        return self.data.test if self.protocol.selection == "test" else self.data.validation

    def work(
        self,
        server_round: int = 0,
        epochs: int = 0,
        mu: float = 0.0,
        spare: SpareNetworks | None = None,
    ) -> Work:
        """Return the client's part in a round; it may use the ``spare`` networks and overwrites
        them."""
        network, rows = self.settings.network, len(self.data.train.y)
        form = (self.method.kind, self.width, network)
        depth = extension_layers(rows, network.extension_tiers)
        return Work(
            site=self.data.country,
            seed=self.data.seed,
            rows=self.rows.train,
            selection=self.rows.selection,
            optimizer=self.settings.optimizer,
            build=partial(build_network, *form, rows),
            device=self.device,
            draw=derive_seed(self.data.seed, self.data.country, "initial"),
            round=server_round,
            epochs=epochs,
            mu=mu if self.protocol.proximal_term else 0.0,
            spare=[] if spare is None else spare(*form, depth, self.device),
        )

    def begin(self, after_round: int, same: bool) -> None:
        """Set the private state to what the method begins with, or see that a round's is there.

        Args:
            after_round: the round to go on from; 0: from the beginning.
            same: whether what the client holds is of this seed, with these settings.

        Raises:
            NotKeptError: the client is to go on after a round of which it has kept nothing.
        """
        # what is fitted from sums finds its private part again from what is shared
        initial = {} if self.from_sums else self.method.begin(self.work())
        if not after_round or not initial:
            self._keep_versions(set())
            if initial:
                self._state[f"{PRIVATE}0"] = to_record(initial)
        elif not same or not self._versions():
            raise NotKeptError(
                f"the training is to go on after round {after_round}, but its personal arrays "
                "are not kept here any more; start the training again"
            )

    def validate(self, network: Network, server_round: int) -> Metrics:
        """Log-loss sum, rows and ROC-AUC on the rows to select by, of the model after a round."""
        with one_thread():
            scored = score(network, self.rows.selection)
        if not math.isfinite(scored.loss_sum):
            raise TrainingDivergedError(
                "the validation loss of the averaged model", self.settings.optimizer.learning_rate
            ).during(f"round {server_round}")
        return {
            "num-validation": scored.n,
            "loss-sum": scored.loss_sum,
            "roc-auc": scored.roc_auc,
        }

    def private(self, purpose: str, server_round: int) -> Arrays:
        """Return the private state as it was when this round was over.

        The published code draws it again for whatever it does in a round
        (``training.protocol.personal_arrays: reset``), so that what was trained is never used.
        """
        if self.forgets:
            work = self.work()
            parts = (self.data.seed, self.data.country, "reset", purpose, server_round)
            work.draw = derive_seed(*parts)
            return self.method.begin(work)
        versions = self._versions()
        return to_arrays(versions[_in_use(versions, server_round)]) if versions else {}

    def keep_private(self, private: Mapping[str, np.ndarray], number: int, best_round: int) -> None:
        """Add the private state as that of a round.

        Of the earlier ones stay those in use in the best round, and the latest, which may be. That
        is right also for a client that sat out some rounds, and for one that trains a round again
        because its reply was lost.
        """
        versions = self._versions()
        if versions:
            self._keep_versions({_in_use(versions, best_round), _in_use(versions, number - 1)})
            self._state[f"{PRIVATE}{number}"] = to_record(private)

    def _versions(self) -> dict[int, ArrayRecord]:
        """Return the versions of the private state by the round in which they were trained."""
        return {
            int(name.removeprefix(PRIVATE)): record
            for name, record in self._state.items()
            if name.startswith(PRIVATE) and isinstance(record, ArrayRecord)
        }

    def _keep_versions(self, wanted: set[int]) -> None:
        for number in self._versions().keys() - wanted:
            del self._state[f"{PRIVATE}{number}"]


def _in_use(versions: Iterable[int], server_round: int) -> int:
    """Return the version of the private state that was in use when the round was scored."""
    earlier = [number for number in versions if number <= server_round]
    if not earlier:
        raise NotKeptError(f"no personal arrays were kept of round {server_round}")
    return max(earlier)
