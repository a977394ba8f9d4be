"""A site while it answers one message: its settings, folder, policy and log, and its floors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import TreatmentClasses
from ms_pfl.deployment.agreement import RefusalError, RunAgreement
from ms_pfl.deployment.approvals import Approvals, Status
from ms_pfl.deployment.floors import Floors
from ms_pfl.deployment.own_tables import own_spellings
from ms_pfl.deployment.policy import SitePolicy, read_policy
from ms_pfl.deployment.rights import check_own_folders
from ms_pfl.deployment.security_log import SecurityLog
from ms_pfl.deployment.settings import SiteSettings, read_settings
from ms_pfl.deployment.site_folder import SITE, SNAPSHOT, SiteFolder
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import Context
from ms_pfl.federation.partitions import ClientData, FederationData
from ms_pfl.registry.ingest.parameters import IngestParameters

GIB = 2**30


@dataclass(frozen=True)
class Site:
    """A site while it answers one message."""

    settings: SiteSettings
    folder: SiteFolder
    policy: SitePolicy
    log: SecurityLog

    @classmethod
    def of(cls, context: Context) -> Site:
        """Return the site that a client's configuration describes.

        Raises:
            InputError: its configuration or its policy cannot be used, or is not its own.
        """
        settings = read_settings(SiteSettings, context.node_config, "--node-config")
        folder = SiteFolder(settings.site_folder)
        check_own_folders(folder.path)
        return cls(settings, folder, read_policy(folder.path), SecurityLog(folder.path))

    @staticmethod
    def log_of(context: Context) -> SecurityLog | None:
        """Return the log of the site; None where its configuration names no folder."""
        with suppress(InputError):
            settings = read_settings(SiteSettings, context.node_config, "--node-config")
            folder = SiteFolder(settings.site_folder)
            return SecurityLog(folder.path) if folder.path.is_dir() else None
        return None

    @cached_property
    def own(self) -> tuple[IngestParameters, TreatmentClasses]:
        """How the site's tables are spelled, and the drugs that are looked for in them."""
        return own_spellings(self.settings.project, self.settings.env)

    @property
    def approvals(self) -> Approvals:
        """What was asked of the site, and what is approved."""
        return Approvals(self.folder.path)

    def status(self, run: str) -> Status:
        """Return whether a run may be answered now; the log says once that it no longer may."""
        status = self.approvals.status(run)
        if status == "expired":
            self.approvals.expire(
                run,
                lambda own: self.log.note("expired", run=run, until=own.until, number=own.number),
            )
        return status

    def floors(self, data: FederationData) -> Floors:
        """Return the floors of the site's rows."""
        return Floors(data, self.settings.country, self.policy.floor)


def check_policy(site: Site, agreement: RunAgreement) -> None:
    """See that an agreement is within the site's policy.

    Raises:
        RefusalError: it is beyond it.
    """
    if beyond := site.policy.objections(agreement, len(FEATURES)):
        raise RefusalError(
            f"{site.settings.country} takes no part by its policy: {'; '.join(beyond)}"
        )


def checked_floors(site: Site, data: FederationData, agreement: RunAgreement) -> Floors:
    """Return the floors of rows that are enough for what an agreement asks.

    Raises:
        RefusalError: they are too few.
    """
    floors = site.floors(data)
    floors.check_splits()
    if site.policy.small_cells == "refuse" and not agreement.masked:
        if any(stage.settings.inputs.kind != "standard" for stage in agreement.stages):
            raise RefusalError(
                f"{site.settings.country} takes no part: encoded or binned inputs are agreed on by "
                "counts of few patients (small_cells: refuse)"
            )
        if any(stage.kind == "newton" for stage in agreement.stages):
            floors.check_cells()
    return floors


def load(context: Context, seed: int) -> ClientData:
    """Return the rows of a seed, without features that few patients have.

    Raises:
        RefusalError: the seed was not agreed on.
    """
    site = Site.of(context)
    data = site.folder.data(str(context.state[SITE][SNAPSHOT]))
    if seed not in data.seeds:
        raise RefusalError("the seed is not among those that were agreed on")
    own = data.countries[site.settings.country].client_data(seed)
    return site.floors(data).without_rare_features(own)
