"""The ClientApp of a real site: the one that simulations run, behind a guard.

The guard decides what the site answers, and what leaves it: sums for the inputs, shared arrays, and
metrics. It answers what an agreement asks that the site's operator has approved, within the site's
policy, in the agreed order, about enough patients. Personal models and predictions are written to
the site's own folder. Whatever else an answer would hold is refused here, whatever the server asked
for; and what was asked, refused and sent is written down before it takes effect.
"""

import hashlib
import logging
import math
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from pydantic import ValidationError

from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import TreatmentClasses
from ms_pfl.cohort.treatments import package_classes
from ms_pfl.deployment import log_to_stdout
from ms_pfl.deployment.agreement import (
    Introduction,
    RefusalError,
    RunAgreement,
    Software,
    digest_of_treatments,
)
from ms_pfl.deployment.approvals import Approvals, Asked
from ms_pfl.deployment.floors import Floors, KnownSets
from ms_pfl.deployment.order import Order, Place, digest_of
from ms_pfl.deployment.policy import SitePolicy, read_policy
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.settings import SiteSettings, read_parameters, read_settings
from ms_pfl.deployment.site_folder import PLACE, RUN, SITE, SNAPSHOT, SiteFolder
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import joined
from ms_pfl.federation.client import Client, NotKeptError, PreparedRows, may_travel
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.flower import (
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
    payload_bytes,
    to_arrays,
)
from ms_pfl.federation.messages import (
    INPUTS,
    LOGISTIC,
    End,
    Introduce,
    Predict,
    Question,
    RefusedMessageError,
    SumsQuestion,
    first_reason,
    read,
    read_as,
)
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.partitions import SPLITS, ClientData, FederationData
from ms_pfl.federation.sums import NAMES, SUMS
from ms_pfl.learning.inputs import inputs_of
from ms_pfl.learning.logistic import logits
from ms_pfl.learning.scoring import probabilities
from ms_pfl.learning.training import TrainingDivergedError
from ms_pfl.personalization.method import SHARED
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.text import shown
from ms_pfl.training.bundle import FORMAT, FORMAT_NAME

_WAITS = "waits"
_GIB = 2**30
_BALLAST = 16 * 2**20  # bytes of arrays in a message beside those of the largest network
_log = logging.getLogger(__name__)

Answer = Callable[[Message, Context], Message]


@dataclass(frozen=True)
class _Site:
    """A site while it answers one message."""

    settings: SiteSettings
    folder: SiteFolder
    policy: SitePolicy
    log: SecurityLog

    @classmethod
    def of(cls, context: Context) -> "_Site":
        """Return the site that a client's configuration describes.

        Raises:
            InputError: its configuration or its policy cannot be used.
        """
        settings = _settings(context)
        folder = SiteFolder(settings.site_folder)
        return cls(settings, folder, read_policy(folder.path), SecurityLog(folder.path))

    @cached_property
    def own(self) -> tuple[IngestParameters, TreatmentClasses]:
        """How the site's tables are spelled, and the drugs that are looked for in them."""
        if not self.settings.project:
            return IngestParameters(), package_classes()
        parameters = read_parameters(self.settings.project, self.settings.env)
        return parameters.ingest, parameters.cohort.treatments

    @property
    def approvals(self) -> Approvals:
        """What was asked of the site, and what is approved."""
        return Approvals(self.folder.path)

    def floors(self, data: FederationData) -> Floors:
        """Return the floors of the site's rows."""
        return Floors(data, self.settings.country, self.policy.floor)


def make_site_app() -> ClientApp:
    """The ClientApp of the site that the node configuration describes."""
    app = make_client_app(_load, mods=[_guard])

    @app.query("introduce")
    def introduce(message: Message, context: Context) -> Message:
        asked = read(message)
        assert isinstance(asked, Introduce)
        introduction = _introduce(_Site.of(context), context, asked)
        content = RecordDict({"config": ConfigRecord(introduction.model_dump(mode="json"))})
        return Message(content, reply_to=message)

    @app.query("end")
    def end(message: Message, context: Context) -> Message:
        told = read_as(End, message).log
        digest = _Site.of(context).log.note(
            "ended", run=context.state[SITE][RUN], flower_run=message.metadata.run_id, server=told
        )
        _log.info("The security log of the site ends with %s, that of the server with %s",
                  digest, told)  # fmt: skip
        return Message(RecordDict({"config": ConfigRecord({"log": digest})}), reply_to=message)

    return app


def _introduce(site: _Site, context: Context, asked: Introduce) -> Introduction:
    """Tell who the site is and, of an agreement that is approved, what it brings."""
    country, here = site.settings.country, Software.here()
    nobody = Introduction(country=country, software=here.to_json())
    if not asked.agreement or here.differs_from(asked.software) is not None:
        return nobody  # the server says what differs
    agreement = _agreement(asked.agreement)
    if country not in agreement.sites:
        return nobody
    _check_policy(site, agreement)
    _check_treatments(site, agreement)
    ingest, treatments = site.own
    folder, registry = site.folder, site.settings.registry_folder
    secret = folder.secret()
    snapshot = folder.snapshot_name(registry, ingest, treatments, agreement)
    approvals = site.approvals
    run = approvals.ask(agreement, snapshot, country)
    if run.agreement != agreement or run.snapshot != snapshot:
        raise RefusalError("the name of this run stands for another one at the site")
    if (status := approvals.status(run.run)) != "approved":
        _wait(site, context, run, status)
        return nobody.model_copy(update={"waiting": True})
    wanted = {one.snapshot for one in approvals.all() if approvals.status(one.run) == "approved"}
    folder.prune_snapshots(wanted, snapshot)
    folder.check_size(site.policy.disk_gib * _GIB)
    folder.take_snapshot(snapshot, country, registry, ingest, treatments, agreement)
    data = folder.data(snapshot)
    floors = _checked_floors(site, data, agreement)
    KnownSets(folder.path).check(snapshot, data, country, secret, site.policy.floor)
    _begin(site, context, run)
    return Introduction(
        country=country,
        software=here.to_json(),
        features=data.features,
        # with the run: other tables are another run, also where they make the same rows
        data=hashlib.blake2b(f"{run.run} {data.identity}".encode(), digest_size=16).hexdigest(),
        patients=floors.patients(agreement.seeds[0]),
        rows=tuple(
            int(np.sum(data.countries[country].splits[seed] == part))
            for seed in agreement.seeds
            for part in range(len(SPLITS))
        ),
        log=site.log.digest,
    )


def _agreement(text: str) -> RunAgreement:
    """The agreement that a text holds.

    Raises:
        RefusalError: it cannot be read.
    """
    try:
        return RunAgreement.model_validate_json(text)
    except (ValueError, RecursionError) as error:
        reason = first_reason(error) if isinstance(error, ValidationError) else shown(error)
        raise RefusalError(f"the agreement cannot be read: {reason}") from None


def _check_policy(site: _Site, agreement: RunAgreement) -> None:
    """See that an agreement is within the site's policy.

    Raises:
        RefusalError: it is beyond it.
    """
    if beyond := site.policy.objections(agreement, len(FEATURES)):
        raise RefusalError(
            f"{site.settings.country} takes no part by its policy: {'; '.join(beyond)}"
        )


def _check_treatments(site: _Site, agreement: RunAgreement) -> None:
    """See that the drugs that are looked for in free text are those that the server means.

    Raises:
        RefusalError: they are others; the server's are not taken over.
    """
    if agreement.treatments != digest_of_treatments(site.own[1]):
        raise RefusalError(
            f"{site.settings.country} takes no part: its drugs by efficacy class "
            "(cohort.treatments) are not those of the server; use those of the package at both, or "
            "give the site the server's in conf/ of its project=FOLDER"
        )


def _checked_floors(site: _Site, data: FederationData, agreement: RunAgreement) -> Floors:
    """Return the floors of rows that are enough for what an agreement asks.

    Raises:
        RefusalError: they are too few.
    """
    floors = site.floors(data)
    floors.check_splits()
    if site.policy.small_cells == "refuse":
        if any(stage.settings.inputs.kind == "encoded" for stage in agreement.stages):
            raise RefusalError(
                f"{site.settings.country} takes no part: encoded inputs are agreed on by counts "
                "of few patients (small_cells: refuse)"
            )
        if any(stage.kind == "newton" for stage in agreement.stages):
            floors.check_cells()
    return floors


def _wait(site: _Site, context: Context, run: Asked, status: str) -> None:
    """Take down, once in a `flwr run`, that a run waits for the operator."""
    before = context.state.config_records.get(_WAITS)
    if before is not None and before[RUN] == run.run:
        return
    context.state[_WAITS] = ConfigRecord({RUN: run.run})
    trainings = ", ".join(stage.training for stage in run.agreement.stages)
    site.log.note("agreement", run=run.run, snapshot=run.snapshot, status=status)
    _log.warning(
        "%s waits for approval. See what is asked and what leaves: python -m ms_pfl site review "
        "%s --folder %s",
        trainings, run.run, shlex.quote(str(site.folder.path)),
    )  # fmt: skip


def _begin(site: _Site, context: Context, run: Asked) -> None:
    """Have the client hold the state of this run, and of no other one."""
    held = context.state.config_records.get(SITE)
    if held is not None and held[RUN] == run.run:
        return
    context.state.clear()
    site.folder.restore_state(context, run=run.run)
    if SITE not in context.state:
        context.state[SITE] = ConfigRecord({RUN: run.run, SNAPSHOT: run.snapshot, PLACE: ""})


def _settings(context: Context) -> SiteSettings:
    return read_settings(SiteSettings, context.node_config, "--node-config")


def _load(context: Context, seed: int) -> ClientData:
    site = _Site.of(context)
    data = site.folder.data(str(context.state[SITE][SNAPSHOT]))
    if seed not in data.seeds:
        raise RefusalError("the seed is not among those that were agreed on")
    own = data.countries[site.settings.country].client_data(seed)
    return site.floors(data).without_rare_features(own)


def _guard(message: Message, context: Context, answer: Answer) -> Message:
    """Answer a message so that nothing leaves but what may; Flower's way of wrapping an app.

    What the client keeps changes with a good answer alone: the app itself sees to that.
    """
    log_to_stdout()
    kind = shown(message.metadata.message_type, 60)
    site: _Site | None = None
    try:
        site = _Site.of(context)
        asked = read(message)
        _check_ballast(site, message)
        if isinstance(asked, Introduce):
            return _answer_introduction(site, asked, message, context, answer)
        if isinstance(asked, End):
            _approved_run(site, context)
            return answer(message, context)
        return _answer(site, asked, message, context, answer)
    except Exception as error:
        _refuse(site, kind, message.metadata.run_id, error)


def _answer_introduction(
    site: _Site, asked: Introduce, message: Message, context: Context, answer: Answer
) -> Message:
    facts: dict[str, Any] = {
        "flower_run": message.metadata.run_id,
        "question": "query.introduce",
        "digest": digest_of(asked, {}),
    }
    waits = _WAITS in context.state.config_records
    if not waits:
        site.log.note("asked", **facts)
    reply = answer(message, context)
    told = reply.content["config"]
    if waits and told["waiting"]:  # asked every few seconds, and noted once
        return reply
    if waits:
        context.state.pop(_WAITS, None)
        site.log.note("asked", **facts)
    if told["patients"]:
        site.folder.save_state(context)
    names = ("country", "patients", "data", "waiting")
    site.log.note("sent", **facts, **{name: told[name] for name in names})
    return reply


def _approved_run(site: _Site, context: Context) -> Asked:
    """The run that the client holds the state of.

    Raises:
        RefusalError: there is none, or its operator has not approved it.
    """
    if SITE not in context.state:
        site.folder.restore_state(context)
    if SITE not in context.state:
        raise RefusalError(f"{site.settings.country} was asked before it introduced itself")
    return site.approvals.approved(str(context.state[SITE][RUN]))


def _answer(
    site: _Site, asked: Question, message: Message, context: Context, answer: Answer
) -> Message:
    """Answer what an approved agreement asks, in its order."""
    folder, run_id, approvals = site.folder, message.metadata.run_id, site.approvals
    run = _approved_run(site, context)
    held = context.state[SITE]
    approval = approvals.approval(run.run)
    assert approval is not None
    folder.secret()
    _check_policy(site, run.agreement)
    _checked_floors(site, folder.data(run.snapshot), run.agreement)
    order = Order(
        run.agreement, _width(context), site.policy.evaluations,
        approvals.answered(run.run, approval.number),
    )  # fmt: skip
    allowed = order.allow(asked, message, Place.read(str(held[PLACE])))
    facts: dict[str, Any] = {
        "run": run.run,
        "flower_run": run_id,
        "question": message.metadata.message_type,
        "seed": allowed.seed,
        "place": allowed.key[1],
        "digest": allowed.digest,
    }
    site.log.note("asked", **facts)
    folder.check_size(site.policy.disk_gib * _GIB)
    if isinstance(asked, SumsQuestion) and asked.question == LOGISTIC:
        _check_newton(site, run, message, context)
    reply = answer(message, context)
    if reply.has_error():
        raise RefusalError("the site could not work on the message; why stands in the log there")
    if isinstance(asked, Predict):
        name = run.run if approval.number == 1 else f"{run.run}.{approval.number}"
        reply = _keep(site, asked, message, context, reply, name)
    reply = _without_small_classes(site, run, message, context, reply, allowed.seed)
    _check(message, context, reply, site.settings)
    context.state[SITE] = ConfigRecord({**held, PLACE: allowed.place.to_json()})
    approvals.note_answered(run.run, approval.number, order.note(allowed))
    folder.save_state(context)
    site.log.note("sent", **facts, **_contents(reply))
    return reply


def _check_newton(site: _Site, run: Asked, message: Message, context: Context) -> None:
    """See that Newton's sums about a model do not single out the rows of few patients.

    A row weighs p (1 - p) in the Hessian. A server that chooses large coefficients leaves that of
    the rows near a plane alone.

    Raises:
        RefusalError: they do, and the policy does not allow it.
    """
    if site.policy.small_cells == "allow":
        return
    client = Client(_load, PreparedRows(), context)
    train = client.data.train
    p = probabilities(logits(client.received(message)[SHARED], client.inputs_of(train)))
    site.floors(site.folder.data(run.snapshot)).check_weights(client.data.seed, p * (1 - p))


def _contents(reply: Message) -> dict[str, Any]:
    """What an answer holds: names and shapes of arrays, and numbers, which may leave."""
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
    }


def _refuse(site: _Site | None, kind: str, run_id: int, error: Exception) -> NoReturn:
    """Raise what the server learns of an error: one line, and no number of patients."""
    match error:
        case RefusalError() | RefusedMessageError() | NotKeptError() | TrainingDivergedError():
            _log.error("The site does not answer %s: %s", kind, error)
            reason = shown(error, 600)
        case OSError():
            _log.exception("The site cannot answer")
            # the system's own words for it: the rest of the text may hold a path or a value
            cause = os.strerror(error.errno) if error.errno else type(error).__name__
            reason = (
                f"an error at the site: a file there cannot be read or written ({cause}); which "
                "one stands in the log there. When that is corrected, the same flwr run resumes"
            )
        case InputError() if site is None:  # of its configuration or policy, not of its tables
            _log.error("The site answers nothing: %s", error)
            reason = "the site's own configuration or policy cannot be used; see the log there"
        case _:
            # its text may tell of a patient: an error names the row and the value that it met
            _log.exception("The site cannot answer")
            reason = f"an error at the site ({type(error).__name__}); its text stays in the log"
            reason += " there"
    if site is not None:
        try:
            site.log.note("refused", flower_run=run_id, question=kind, reason=reason)
        except (OSError, InputError):  # InputError: the log is not as it was written
            _log.exception("The refusal cannot be written down")
    raise RefusalError(reason) from None


def _check_ballast(site: _Site, message: Message) -> None:
    """See that the arrays of a message are no larger than a run can need.

    Raises:
        RefusalError: they are.
    """
    size = sum(payload_bytes(record) for record in message.content.array_records.values())
    if size > _BALLAST + 16 * site.policy.parameters:
        raise RefusalError("the message is larger than the site's policy allows (parameters)")


def _keep(
    site: _Site, asked: Predict, message: Message, context: Context, reply: Message, run: str
) -> Message:
    """Keep the model and its predictions here, and answer with metrics instead."""
    seed = int(context.state["settings"]["seed"])
    country = site.settings.country
    data = site.folder.data(str(context.state[SITE][SNAPSHOT]))
    probabilities = to_arrays(reply.content["arrays"])
    shared = message.content.array_records.get("arrays")
    own = to_arrays(context.state["own" if shared is None else "selected"])
    models = joined({f"seed={seed}/personal/{country}": own}) | {FORMAT_NAME: np.array([FORMAT])}
    if shared is not None:
        models |= joined({f"seed={seed}/shared": to_arrays(shared)})
    models |= joined({f"seed={seed}/inputs": to_arrays(context.state[INPUTS])})
    codes, ids = data.countries[country].splits[seed], data.ids[country]
    parts: list[pd.DataFrame] = []
    metrics: dict[str, int | float] = {}
    for split, predicted in probabilities.items():
        rows = ids.loc[codes == SPLITS.index(split)]
        parts.append(rows.assign(country=country, split=split, seed=seed, probability=predicted))
        metrics |= _scores(split, rows["label"].to_numpy(), predicted)
    told = {
        "settings": str(context.state["settings"]["settings"]),
        "features": list(data.features),
        "software": Software.here().to_json(),
    }
    predictions = pd.concat(parts, ignore_index=True)
    site.folder.keep_model(run, asked.keep_as, seed, models, told, predictions)
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def _scores(split: str, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, int | float]:
    """What the server learns of a split: sizes and three metrics, NaN where one is not defined."""
    from ms_pfl.evaluation.metrics import METRICS

    shown = ("roc_auc", "log_loss", "brier")
    return {
        f"{split}/n_episodes": len(labels),
        f"{split}/n_positive": int(labels.sum()),
        **{f"{split}/{name}": METRICS[name].plain(labels, probabilities) for name in shown},
    }


def _without_small_classes(
    site: _Site, run: Asked, message: Message, context: Context, reply: Message, seed: int
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
    return Message(
        RecordDict({**reply.content, "metrics": MetricRecord(changed)}), reply_to=message
    )


def _check(message: Message, context: Context, reply: Message, settings: SiteSettings) -> None:
    """Stop an answer with anything in it that may not leave."""
    kind = message.metadata.message_type
    for record, arrays in reply.content.array_records.items():
        if forbidden := set(arrays) - _may_leave(message, context, record):
            raise RefusalError(
                f"{settings.country} does not send {', '.join(sorted(forbidden))} in answer to "
                f"{kind}"
            )
    if reply.content.config_records:
        raise RefusalError(f"{settings.country} does not send text in answer to {kind}")


def _may_leave(message: Message, context: Context, record: str) -> frozenset[str]:
    """Names of the arrays that may leave in a record of the answer to a message."""
    kind, sent = message.metadata.message_type, message.content.array_records
    if kind == "query.sums" and record == SUMS:
        return NAMES[str(message.content["config"]["question"])]
    if kind != "train" or record not in sent:
        return frozenset()
    # what the server sent comes back trained, if it is what the method shares
    told = ClientSettings.model_validate_json(str(context.state["settings"]["settings"]))
    return frozenset(sent[record]) & may_travel(told, _width(context)).get(record, frozenset())


def _width(context: Context) -> int:
    """Columns of the rows as the learner sees them; of the features before there is a learner."""
    if INPUTS not in context.state:
        return len(FEATURES)
    return inputs_of(to_arrays(context.state[INPUTS]), len(FEATURES)).width


app = make_site_app()
