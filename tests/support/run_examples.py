"""Messages of a run as the server's programs send them, without a network and without rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ms_pfl.deployment.agreement import RunAgreement, Stage
from ms_pfl.federation.client import initial_arrays, method_of
from ms_pfl.federation.flower import (
    ArrayRecord,
    ConfigRecord,
    Message,
    RecordDict,
    take_identity,
    to_record,
)
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning import logistic, mixed
from ms_pfl.personalization.method import SHARED

N_FEATURES = 3
Arrays = Mapping[str, np.ndarray]


def message(
    kind: str,
    config: Mapping[str, Any],
    arrays: Mapping[str, Arrays | ArrayRecord] | None = None,
    node: int = 1,
) -> Message:
    """A message from the server."""
    take_identity()
    content = RecordDict({"config": ConfigRecord(dict(config))})
    for name, given in (arrays or {}).items():
        content[name] = given if isinstance(given, ArrayRecord) else to_record(given)
    return Message(content=content, message_type=kind, dst_node_id=node)


def scaler_sums(agreement: RunAgreement, seed: int, **change: Any) -> Message:
    sites = len(agreement.sites)
    config = {"question": "scaler", "seed": seed, "sites": sites}
    return message("query.sums", config | change)


def input_sums(
    agreement: RunAgreement, seed: int, question: str, about: Arrays | None = None
) -> Message:
    config = {"question": question, "seed": seed, "sites": len(agreement.sites)}
    return message("query.sums", config, {SHARED: about} if about else None)


def newton_sums(agreement: RunAgreement, seed: int, model: Arrays) -> Message:
    learner = learner_from_sums(agreement.stages[0].settings)
    asked = "logistic" if learner is None else learner.questions[0]
    config = {"question": asked, "seed": seed, "sites": len(agreement.sites)}
    return message("query.sums", config, {SHARED: model})


def cluster_sums(agreement: RunAgreement, seed: int, model: Arrays) -> Message:
    config = {"question": "clusters", "seed": seed, "sites": len(agreement.sites)}
    return message("query.sums", config, {SHARED: model})


def start(stage: Stage, n: int = N_FEATURES) -> Arrays:
    """The regression before the first step."""
    return mixed.start(mixed.intercepts(n)) if stage.settings.mixed else logistic.start(n)


def prepare(stage: Stage, seed: int, after_round: int = 0, n: int = N_FEATURES) -> Message:
    config = {
        "seed": seed, "settings": stage.settings.model_dump_json(), "after-round": after_round,
    }  # fmt: skip
    from tree_runs import bins_of

    inputs = {"mean": np.zeros(n), "sd": np.full(n, 1.0 + seed)}
    if stage.settings.trees is not None:
        inputs = bins_of(n)
    return message("query.prepare", config, {"inputs": inputs})


def model_after(stage: Stage, seed: int, number: int, n: int = N_FEATURES) -> dict[str, Arrays]:
    """The records that a server could have after a round; after none they are the initial ones."""
    if stage.kind == "newton":
        return {SHARED: {k: a + 0.125 * number for k, a in start(stage, n).items()}}
    method = method_of(stage.settings)
    initial = initial_arrays(stage.settings, method, n, seed)
    records = {SHARED: initial, **method.further(initial)}
    return {
        name: {k: a + np.float32(0.125 * number) for k, a in held.items()}
        for name, held in records.items()
    }


def train(
    agreement: RunAgreement, stage: Stage, seed: int, number: int, n: int = N_FEATURES,
    **change: Any,
) -> Message:  # fmt: skip
    config = {
        "server-round": number, "epochs": stage.epochs, "best-round": max(0, number - 2),
        "sites": len(agreement.sites),
    }  # fmt: skip
    if stage.proximal_mu:
        config["proximal-mu"] = stage.proximal_mu
    return message("train", config | change, model_after(stage, seed, number - 1, n))


def evaluate(stage: Stage, seed: int, number: int, n: int = N_FEATURES) -> Message:
    model = {SHARED: model_after(stage, seed, number, n)[SHARED]}
    return message("evaluate", {"server-round": number}, model)


def personalize(stage: Stage, model: Mapping[str, Arrays] | None = None, **change: Any) -> Message:
    config = {
        "epochs": stage.epochs,
        "patience": stage.patience,
        "epochs-without-validation": stage.epochs_without_validation,
        "start-is-candidate": stage.start_is_candidate,
        "reply-with-arrays": False,
    }
    return message("train.personalize", config | change, model)


def predict(stage: Stage, seed: int, best: int, n: int = N_FEATURES, **change: Any) -> Message:
    config = {"best-round": best, "keep-as": stage.training}
    model = {} if stage.kind == "alone" else {SHARED: model_after(stage, seed, best, n)[SHARED]}
    return message("query.predict", config | change, model)


def honest(
    agreement: RunAgreement, seed: int, *, rounds: int | None = None, n: int = N_FEATURES
) -> Iterator[Message]:
    """The messages of one seed, from the sums for the scaler to the last predictions."""
    from tree_runs import binned_inputs, last_model, tree_messages

    if agreement.stages[0].settings.trees is not None:
        yield from binned_inputs(agreement, seed, n)
    else:
        yield scaler_sums(agreement, seed)
    best: dict[str, Arrays] = {}
    for stage in agreement.stages:
        yield prepare(stage, seed, n=n)
        if stage.kind == "rounds":
            last = rounds or stage.rounds
            for number in range(1, last + 1):
                yield train(agreement, stage, seed, number, n)
            yield evaluate(stage, seed, last, n)
            best = {SHARED: model_after(stage, seed, last - 1 or 1, n)[SHARED]}
            yield predict(stage, seed, last - 1 or 1, n)
        elif stage.kind == "newton":
            yield newton_sums(agreement, seed, start(stage, n))
            for number in range(1, stage.rounds + 1):
                model = model_after(stage, seed, number, n)
                yield newton_sums(agreement, seed, model[SHARED])
                yield evaluate(stage, seed, number, n)
            best = {SHARED: model_after(stage, seed, stage.rounds, n)[SHARED]}
            if not stage.settings.mixed:
                yield cluster_sums(agreement, seed, best[SHARED])
            yield predict(stage, seed, stage.rounds, n)
        elif stage.kind == "trees":
            yield from tree_messages(agreement, stage, seed, n)
            best = {SHARED: last_model(stage, seed, n)}
        else:
            yield personalize(stage, best or None)
            yield predict(stage, seed, 0, n)
