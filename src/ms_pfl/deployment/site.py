"""The ClientApp of a real site: the one that simulations run, behind a guard.

The guard decides what leaves the site: sums for the scaler, shared arrays, and metrics. Personal
models and predictions are written to the site's own folder. Whatever else an answer would hold is
refused here, whatever the server asked for; and what has left is written down.
"""

import logging
import os
from collections.abc import Callable

import numpy as np
import pandas as pd

from ms_pfl.deployment import log_to_stdout
from ms_pfl.deployment.agreement import CohortAgreement, Introduction, RefusalError, Software
from ms_pfl.deployment.settings import SiteSettings, read_parameters, read_settings
from ms_pfl.deployment.site_folder import SITE, SiteFolder
from ms_pfl.federation.checkpoints import joined
from ms_pfl.federation.client import NotKeptError, may_travel
from ms_pfl.federation.client_app import make_client_app
from ms_pfl.federation.flower import (
    ClientApp,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
    to_arrays,
)
from ms_pfl.federation.messages import RefusedMessageError
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.partitions import SPLITS, ClientData, FederationData
from ms_pfl.federation.sums import NAMES, SUMS
from ms_pfl.learning.training import TrainingDivergedError
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.training.bundle import FORMAT, FORMAT_NAME

_log = logging.getLogger(__name__)


def make_site_app() -> ClientApp:
    """The ClientApp of the site that the node configuration describes."""
    app = make_client_app(_load, mods=[_guard])

    @app.query("introduce")
    def introduce(message: Message, context: Context) -> Message:
        introduction = _introduce(context, message.content["config"])
        content = RecordDict({"config": ConfigRecord(introduction.model_dump(mode="json"))})
        return Message(content, reply_to=message)

    return app


def _introduce(context: Context, told: ConfigRecord) -> Introduction:
    settings = _settings(context)
    here = Software.here()
    if here.differs_from(str(told["software"])) is not None:
        # the server says what differs
        return Introduction(country=settings.country, software=here.to_json())
    agreement = CohortAgreement.model_validate_json(str(told["agreement"]))
    ingest = (
        read_parameters(settings.project, settings.env).ingest
        if settings.project
        else IngestParameters()
    )
    folder = SiteFolder(settings.site_folder)
    snapshot = folder.take_snapshot(settings.country, settings.registry_folder, ingest, agreement)
    data = folder.data(snapshot)
    patients = _patients(data, settings.country, agreement.seeds[0])
    if patients[0] < settings.minimum_patients:
        raise RefusalError(
            f"{settings.country} takes no part: it has {patients[0]} patients to train on, and its "
            f"minimum-patients is {settings.minimum_patients}"
        )
    if SITE not in context.state:
        folder.restore_state(context, of_run=False)
    context.state[SITE] = ConfigRecord({"snapshot": snapshot})
    return Introduction(
        country=settings.country,
        software=here.to_json(),
        features=data.features,
        data=data.identity,
        patients=patients,
    )


def _patients(data: FederationData, country: str, seed: int) -> tuple[int, ...]:
    codes = data.countries[country].splits[seed]
    people = data.ids[country]["patient_id"].to_numpy()
    return tuple(len(np.unique(people[codes == i])) for i in range(len(SPLITS)))


def _settings(context: Context) -> SiteSettings:
    return read_settings(SiteSettings, context.node_config, "--node-config")


def _load(context: Context, seed: int) -> ClientData:
    settings = _settings(context)
    if SITE not in context.state:
        raise RefusalError(f"{settings.country} was asked before it introduced itself")
    data = SiteFolder(settings.site_folder).data(str(context.state[SITE]["snapshot"]))
    if seed not in data.seeds:
        raise RefusalError(f"seed {seed} is not among those agreed on: {data.seeds}")
    return data.countries[settings.country].client_data(seed)


def _guard(
    message: Message, context: Context, answer: Callable[[Message, Context], Message]
) -> Message:
    """Answer a message so that nothing leaves but what may; Flower's way of wrapping an app."""
    log_to_stdout()
    try:
        settings = _settings(context)
        folder = SiteFolder(settings.site_folder)
        if SITE not in context.state:
            folder.restore_state(context, of_run=True)
        config = message.content.config_records.get("config", {})
        if config.get("reply-with-arrays", False):
            raise RefusalError(f"{settings.country} does not send its whole model")
        reply = answer(message, context)
        if message.metadata.message_type == "query.predict":
            reply = _keep(message, context, reply, settings, folder)
        _check(message, context, reply, settings)
        folder.save_state(context)
        folder.note(message, reply)
    except (RefusalError, RefusedMessageError, NotKeptError, TrainingDivergedError) as error:
        _log.exception("The site does not answer")
        raise RefusalError(str(error)) from None
    except OSError as error:
        _log.exception("The site cannot answer")
        # the system's own words for it: the rest of the text may hold a path or a value
        cause = os.strerror(error.errno) if error.errno else type(error).__name__
        raise RefusalError(
            f"an error at the site: a file there cannot be read or written ({cause}); which one "
            "stands in the log there. When that is corrected, the same flwr run resumes"
        ) from None
    except Exception as error:
        # its text may tell of a patient: an error names the row and the value that it met
        _log.exception("The site cannot answer")
        raise RefusalError(
            f"an error at the site ({type(error).__name__}); its text stays in the log there"
        ) from None
    return reply


def _keep(
    message: Message,
    context: Context,
    reply: Message,
    settings: SiteSettings,
    folder: SiteFolder,
) -> Message:
    """Keep the model and its predictions here, and answer with metrics instead."""
    config = message.content["config"]
    training, seed = str(config["keep-as"]), int(context.state["settings"]["seed"])
    if training.strip(".") != training or "/" in training or "\\" in training:
        raise RefusalError(f"{training!r} is no name of a training")
    country, data = settings.country, folder.data(str(context.state[SITE]["snapshot"]))
    probabilities = to_arrays(reply.content["arrays"])
    shared = message.content.get("arrays")
    own = to_arrays(context.state["own" if shared is None else "selected"])
    models = joined({f"seed={seed}/personal/{country}": own}) | {FORMAT_NAME: np.array([FORMAT])}
    if shared is not None:
        models |= joined({f"seed={seed}/shared": to_arrays(shared)})
    models |= joined({f"seed={seed}/scaler": to_arrays(context.state["scaler"])})
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
    folder.keep_model(training, seed, models, told, pd.concat(parts, ignore_index=True))
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


def _check(message: Message, context: Context, reply: Message, settings: SiteSettings) -> None:
    """Stop an answer with anything in it that may not leave."""
    if reply.has_error():
        return
    kind = message.metadata.message_type
    for record, arrays in reply.content.array_records.items():
        if forbidden := set(arrays) - _may_leave(message, context, record):
            raise RefusalError(
                f"{settings.country} does not send {', '.join(sorted(forbidden))} in answer to "
                f"{kind}"
            )
    if reply.content.config_records and kind != "query.introduce":
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
    n_features = len(to_arrays(context.state["scaler"])["mean"])
    return frozenset(sent[record]) & may_travel(told, n_features).get(record, frozenset())


app = make_site_app()
