"""What may leave a site in an answer, and what the answer holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.deployment.approvals import Asked
from ms_pfl.deployment.site_parts import Site, load
from ms_pfl.federation import inputs
from ms_pfl.federation.client import Client, PreparedRows, may_travel
from ms_pfl.federation.flower import Context, Message, MetricRecord, RecordDict
from ms_pfl.federation.masking import FITTED, LOSS, SCORED
from ms_pfl.federation.messages import CLUSTERS, HISTOGRAMS, INPUTS, LABELS
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.predictions import SCORED_SPLITS, SCORES
from ms_pfl.federation.replies import MASKED
from ms_pfl.federation.sums import NAMES, SUMS
from ms_pfl.learning.logistic import logits
from ms_pfl.learning.scoring import probabilities
from ms_pfl.personalization.method import SHARED

_OWN_SCORES = frozenset(
    {"train-loss", "validation-loss", "loss-sum", "roc-auc", "roc_auc", "log_loss", "brier",
     "n_positive"}
)  # fmt: skip
_MASKED_SUMS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "train": {SCORED: frozenset({LOSS}), FITTED: frozenset({LOSS})},
    "evaluate": {SCORED: frozenset({LOSS})},
    "query.predict": {SCORES: frozenset(SCORED_SPLITS)},
}
"""What leaves masked beside what leaves in the clear, by message and record."""


def check_sums(site: Site, run: Asked, message: Message, context: Context) -> None:
    """See that sums about a model do not single out the rows of few patients.

    A row weighs p (1 - p) in the Hessian. A server that chooses large coefficients leaves that of
    the rows near a plane alone. In the sums for standard errors a row weighs (y - p)^2 too. The
    histograms of trees are sums over few rows by nature.

    Raises:
        RefusalError: they do, and the policy does not allow it.
    """
    if site.policy.small_cells == "allow" or run.agreement.masked:
        return
    question = message.content["config"]["question"]
    if question in (LABELS, HISTOGRAMS):
        raise RefusalError("the sums of boosted trees are over few patients (small_cells: refuse)")
    client = Client(load, PreparedRows(), context)
    train = client.data.train
    model = client.received(message)[SHARED]
    if client.from_sums is not None:
        model = {**model, **client.from_sums.own(client, model)}
    p = probabilities(logits(model, client.inputs_of(train)))
    floors = site.floors(site.folder.data(run.snapshot))
    floors.check_weights(client.data.seed, p * (1 - p))
    if question == CLUSTERS:
        floors.check_weights(client.data.seed, (train.y - p) ** 2)


def without_own_scores(site: Site, run: Asked, message: Message, reply: Message) -> Message:
    """Leave out what is told of this site's rows alone, where the run masks its sums.

    Losses are in the masked sums; ROC-AUC is no sum. Numbers of rows are known from the
    introduction.
    """
    metrics = reply.content.metric_records.get("metrics")
    if metrics is None or not run.agreement.masked or site.policy.scores == "tell":
        return reply
    changed = dict(metrics)
    for name, value in metrics.items():
        if name.rpartition("/")[2] in _OWN_SCORES:
            changed[name] = [math.nan] * len(value) if isinstance(value, list) else math.nan
    return _with_metrics(message, reply, changed)


def without_small_classes(
    site: Site, run: Asked, message: Message, context: Context, reply: Message, seed: int
) -> Message:
    """Leave out ROC-AUC and counts of a split where too few patients have or lack the outcome."""
    metrics = reply.content.metric_records.get("metrics")
    if metrics is None:
        return reply
    floors = site.floors(site.folder.data(run.snapshot))
    selection = "test" if run.agreement.protocol.selection == "test" else "validation"
    changed = dict(metrics)
    for split in ("validation", "test"):
        if floors.classes_are_told(seed, split):
            continue
        hidden = [f"{split}/roc_auc", f"{split}/n_positive"]
        hidden += ["roc-auc"] if split == selection else []
        for name in hidden:
            if name in changed:
                value = changed[name]
                changed[name] = [math.nan] * len(value) if isinstance(value, list) else math.nan
    if changed == dict(metrics):
        return reply
    return _with_metrics(message, reply, changed)


def _with_metrics(message: Message, reply: Message, metrics: dict[str, Any]) -> Message:
    return Message(
        RecordDict({**reply.content, "metrics": MetricRecord(metrics)}), reply_to=message
    )


def check_leaving(message: Message, context: Context, reply: Message, country: str) -> None:
    """Stop an answer with anything in it that may not leave.

    Raises:
        RefusalError: there is.
    """
    kind = message.metadata.message_type
    for record, arrays in reply.content.array_records.items():
        if forbidden := set(arrays) - _may_leave(message, context, record):
            raise RefusalError(
                f"{country} does not send {', '.join(sorted(forbidden))} in answer to {kind}"
            )
    told = reply.content.config_records
    participants = bool(message.content["config"].get("participants"))
    if set(told) - ({MASKED} if participants else set()):
        raise RefusalError(f"{country} does not send text in answer to {kind}")
    if participants and reply.content.array_records and MASKED not in told:
        raise RefusalError(f"{country} does not send sums in answer to {kind} without masks")


def _may_leave(message: Message, context: Context, record: str) -> frozenset[str]:
    """Names of the arrays that may leave in a record of the answer to a message."""
    kind, sent = message.metadata.message_type, message.content.array_records
    if kind == "query.sums" and record == SUMS:
        return NAMES[str(message.content["config"]["question"])]
    if message.content["config"].get("participants") and record in _MASKED_SUMS.get(kind, {}):
        return _MASKED_SUMS[kind][record]
    if kind != "train" or record not in sent:
        return frozenset()
    # what the server sent comes back trained, if it is what the method shares
    told = ClientSettings.model_validate_json(str(context.state["settings"]["settings"]))
    return frozenset(sent[record]) & may_travel(told, width_of(context)).get(record, frozenset())


def width_of(context: Context) -> int:
    """Columns of the rows as the learner sees them; of the features before there is a learner."""
    return inputs.width_of(context.state[INPUTS]) if INPUTS in context.state else len(FEATURES)


def contents(reply: Message) -> dict[str, Any]:
    """Return what an answer holds: names and shapes of arrays, and numbers, which may leave.

    Of masked arrays also that the site has checked them, and a digest of each question.
    """
    return {
        "arrays": {
            f"{record}/{name}": list(array.shape)
            for record, arrays in reply.content.array_records.items()
            for name, array in arrays.items()
        },
        "numbers": {
            name: value
            for record in reply.content.metric_records.values()
            for name, value in record.items()
        },
        **{
            name: dict(record)
            for name, record in reply.content.config_records.items()
            if name == MASKED
        },
    }
