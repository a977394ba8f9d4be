"""How a site introduces itself: what an agreement has to pass before the site tells of its rows.

An agreement that cannot be read, is beyond the policy or names other drugs is refused; another one
waits for the operator. Of an approved one the site makes the rows, once, and tells how many.
"""

from __future__ import annotations

import hashlib
import logging
import shlex

import numpy as np
from pydantic import ValidationError

from ms_pfl.deployment.agreement import (
    Introduction,
    RefusalError,
    RunAgreement,
    Software,
    digest_of_treatments,
)
from ms_pfl.deployment.approvals import Asked
from ms_pfl.deployment.floors import KnownSets
from ms_pfl.deployment.masking import code_of_run
from ms_pfl.deployment.site_folder import PLACE, RUN, SITE, SNAPSHOT
from ms_pfl.deployment.site_parts import GIB, Site, check_policy, checked_floors
from ms_pfl.federation.flower import ConfigRecord, Context
from ms_pfl.federation.messages import Introduce, first_reason
from ms_pfl.federation.partitions import SPLITS
from ms_pfl.text import shown

WAITS = "waits"
"""The record of a site's state that says which run its operator is asked to approve."""
_log = logging.getLogger(__name__)


def introduce_site(site: Site, context: Context, asked: Introduce) -> Introduction:
    """Tell who the site is and, of an agreement that is approved, what it brings."""
    country, here = site.settings.country, Software.here()
    nobody = Introduction(country=country, software=here.to_json())
    if not asked.agreement or here.differs_from(asked.software) is not None:
        return nobody  # the server says what differs
    agreement = _agreement(asked.agreement)
    if country not in agreement.sites:
        return nobody
    check_policy(site, agreement)
    _check_treatments(site, agreement)
    ingest, treatments = site.own
    folder, registry = site.folder, site.settings.registry_folder
    secret, keys = folder.secret(), code_of_run(site, agreement)
    snapshot = folder.snapshot_name(registry, ingest, treatments, agreement)
    approvals = site.approvals
    run = approvals.ask(agreement, snapshot, country)
    if run.agreement != agreement or run.snapshot != snapshot:
        raise RefusalError("the name of this run stands for another one at the site")
    if (status := site.status(run.run)) != "approved":
        _wait(site, context, run, status)
        return nobody.model_copy(update={"waiting": True})
    wanted = {one.snapshot for one in approvals.all() if approvals.status(one.run) == "approved"}
    folder.prune_snapshots(wanted, snapshot)
    folder.check_size(site.policy.disk_gib * GIB)
    folder.take_snapshot(snapshot, country, registry, ingest, treatments, agreement)
    data = folder.data(snapshot)
    floors = checked_floors(site, data, agreement)
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
        keys=keys,
    )


def _agreement(text: str) -> RunAgreement:
    """Return the agreement that a text holds.

    Raises:
        RefusalError: it cannot be read.
    """
    try:
        return RunAgreement.model_validate_json(text)
    except (ValueError, RecursionError) as error:
        reason = first_reason(error) if isinstance(error, ValidationError) else shown(error)
        raise RefusalError(f"the agreement cannot be read: {reason}") from None


def _check_treatments(site: Site, agreement: RunAgreement) -> None:
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


def _wait(site: Site, context: Context, run: Asked, status: str) -> None:
    """Take down, once in a `flwr run`, that a run waits for the operator."""
    before = context.state.config_records.get(WAITS)
    if before is not None and before[RUN] == run.run:
        return
    context.state[WAITS] = ConfigRecord({RUN: run.run})
    trainings = ", ".join(stage.training for stage in run.agreement.stages)
    site.log.note("agreement", run=run.run, snapshot=run.snapshot, status=status)
    _log.warning(
        "%s waits for approval. See what is asked and what leaves: python -m ms_pfl site review "
        "%s --folder %s",
        trainings, run.run, shlex.quote(str(site.folder.path)),
    )  # fmt: skip


def _begin(site: Site, context: Context, run: Asked) -> None:
    """Have the client hold the state of this run, and of no other one."""
    held = context.state.config_records.get(SITE)
    if held is not None and held[RUN] == run.run:
        return
    context.state.clear()
    site.folder.restore_state(context, run=run.run)
    if SITE not in context.state:
        context.state[SITE] = ConfigRecord({RUN: run.run, SNAPSHOT: run.snapshot, PLACE: ""})
