"""The ClientApp of a real site: the one that simulations run, behind a guard.

The guard decides what the site answers, and what leaves it: sums for the inputs, shared arrays, and
metrics. It answers what an agreement asks that the site's operator has approved, within the site's
policy, in the agreed order, about enough patients. Personal models and predictions are written to
the site's own folder. Whatever else an answer would hold is refused here, whatever the server asked
for; and what was asked, refused and sent is written down before it takes effect.
"""

import logging
import os
from collections.abc import Callable
from typing import Any, NoReturn

from ms_pfl.deployment import log_to_stdout
from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.deployment.answered import Place, digest_of
from ms_pfl.deployment.approvals import Asked
from ms_pfl.deployment.introduction import WAITS, introduce_site
from ms_pfl.deployment.keeping import keep
from ms_pfl.deployment.leaving import (
    check_leaving,
    check_sums,
    contents,
    width_of,
    without_own_scores,
    without_small_classes,
)
from ms_pfl.deployment.masking import site_masks
from ms_pfl.deployment.order import Order
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.site_folder import PLACE, RUN, SITE
from ms_pfl.deployment.site_parts import GIB, Site, check_policy, checked_floors, load
from ms_pfl.errors import InputError
from ms_pfl.federation.client import NotKeptError
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.fixed_point import TooLargeError
from ms_pfl.federation.flower import (
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    RecordDict,
    payload_bytes,
)
from ms_pfl.federation.masking import OwnCheckError
from ms_pfl.federation.messages import (
    OF_A_LEARNER,
    End,
    Introduce,
    Predict,
    Question,
    RefusedMessageError,
    SumsQuestion,
    read,
    read_as,
)
from ms_pfl.federation.secure_sums import MaskError
from ms_pfl.learning.training import TrainingDivergedError
from ms_pfl.text import shown

_BALLAST = 16 * 2**20  # bytes of arrays in a message beside those of the largest network
_log = logging.getLogger(__name__)

Answer = Callable[[Message, Context], Message]


def make_site_app() -> ClientApp:
    """Return the ClientApp of the site that the node configuration describes."""
    app = make_client_app(load, mods=[_guard], masks=site_masks)

    @app.query("introduce")
    def introduce(message: Message, context: Context) -> Message:
        asked = read(message)
        assert isinstance(asked, Introduce)
        introduction = introduce_site(Site.of(context), context, asked)
        content = RecordDict({"config": ConfigRecord(introduction.model_dump(mode="json"))})
        return Message(content, reply_to=message)

    @app.query("end")
    def end(message: Message, context: Context) -> Message:
        told = read_as(End, message).log
        digest = Site.of(context).log.note(
            "ended", run=context.state[SITE][RUN], flower_run=message.metadata.run_id, server=told
        )
        _log.info("The security log of the site ends with %s, that of the server with %s",
                  digest, told)  # fmt: skip
        return Message(RecordDict({"config": ConfigRecord({"log": digest})}), reply_to=message)

    return app


def _guard(message: Message, context: Context, answer: Answer) -> Message:
    """Answer a message so that nothing leaves but what may; Flower's way of wrapping an app.

    What the client keeps changes with a good answer alone: the app itself sees to that.
    """
    log_to_stdout()
    kind = shown(message.metadata.message_type, 60)
    site: Site | None = None
    try:
        site = Site.of(context)
        asked = read(message)
        _check_ballast(site, message)
        if isinstance(asked, Introduce):
            return _answer_introduction(site, asked, message, context, answer)
        if isinstance(asked, End):
            _approved_run(site, context)
            return answer(message, context)
        return _answer(site, asked, message, context, answer)
    except Exception as error:
        _refuse(site, Site.log_of(context), kind, message.metadata.run_id, error)


def _answer_introduction(
    site: Site, asked: Introduce, message: Message, context: Context, answer: Answer
) -> Message:
    facts: dict[str, Any] = {
        "flower_run": message.metadata.run_id,
        "question": "query.introduce",
        "digest": digest_of(asked, {}),
    }
    waits = WAITS in context.state.config_records
    if not waits:
        site.log.note("asked", **facts)
    reply = answer(message, context)
    told = reply.content["config"]
    if waits and told["waiting"]:  # asked every few seconds, and noted once
        return reply
    if waits:
        context.state.pop(WAITS, None)
        site.log.note("asked", **facts)
    if told["patients"]:
        site.folder.save_state(context)
    names = ("country", "patients", "data", "waiting")
    site.log.note("sent", **facts, **{name: told[name] for name in names})
    return reply


def _approved_run(site: Site, context: Context) -> Asked:
    """Return the run that the client holds the state of.

    Raises:
        RefusalError: there is none, or its operator has not approved it.
    """
    if SITE not in context.state:
        site.folder.restore_state(context)
    if SITE not in context.state:
        raise RefusalError(f"{site.settings.country} was asked before it introduced itself")
    run = str(context.state[SITE][RUN])
    site.status(run)
    return site.approvals.approved(run)


def _answer(
    site: Site, asked: Question, message: Message, context: Context, answer: Answer
) -> Message:
    """Answer what an approved agreement asks, in its order."""
    folder, run_id, approvals = site.folder, message.metadata.run_id, site.approvals
    run = _approved_run(site, context)
    held = context.state[SITE]
    approval = approvals.approval(run.run)
    assert approval is not None
    folder.secret()
    check_policy(site, run.agreement)
    checked_floors(site, folder.data(run.snapshot), run.agreement)
    order = Order(
        run.agreement, width_of(context), site.policy.evaluations,
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
    folder.check_size(site.policy.disk_gib * GIB)
    if isinstance(asked, SumsQuestion) and asked.question in OF_A_LEARNER:
        check_sums(site, run, message, context)
    reply = answer(message, context)
    if reply.has_error():
        raise RefusalError("the site could not work on the message; why stands in the log there")
    if isinstance(asked, Predict):
        name = run.run if approval.number == 1 else f"{run.run}.{approval.number}"
        reply = keep(site, asked, message, context, reply, name)
    reply = without_own_scores(site, run, message, reply)
    reply = without_small_classes(site, run, message, context, reply, allowed.seed)
    check_leaving(message, context, reply, site.settings.country)
    context.state[SITE] = ConfigRecord({**held, PLACE: allowed.place.to_json()})
    approvals.note_answered(run.run, approval.number, order.note(allowed))
    folder.save_state(context)
    site.log.note("sent", **facts, **contents(reply))
    return reply


def _refuse(
    site: Site | None, log: SecurityLog | None, kind: str, run_id: int, error: Exception
) -> NoReturn:
    """Raise what the server learns of an error: one line, and no number of patients."""
    match error:
        case OwnCheckError():  # its text may tell of the site's own sums
            _log.error("The site does not answer %s: %s", kind, error)
            reason = "what the site would send fails its own check; its log says why"
        case TooLargeError():  # so may its text
            _log.error("The site does not answer %s: %s", kind, error)
            reason = (
                "a sum of the site is so large that the total over all sites could overflow; "
                "which one, and what to do, stands in its log"
            )
        case (
            RefusalError()
            | RefusedMessageError()
            | NotKeptError()
            | TrainingDivergedError()
            | MaskError()
        ):
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
    if log is not None:
        try:
            log.note("refused", flower_run=run_id, question=kind, reason=reason)
        except (OSError, InputError):  # InputError: the log is not as it was written
            _log.exception("The refusal cannot be written down")
    raise RefusalError(reason) from None


def _check_ballast(site: Site, message: Message) -> None:
    """See that the arrays of a message are no larger than a run can need.

    Raises:
        RefusalError: they are.
    """
    size = sum(payload_bytes(record) for record in message.content.array_records.values())
    if size > _BALLAST + 16 * site.policy.parameters:
        raise RefusalError("the message is larger than the site's policy allows (parameters)")


app = make_site_app()
