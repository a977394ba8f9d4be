"""What server and site have to agree on before anything is trained, and how they find out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

import ms_pfl
from ms_pfl.cohort.parameters import CohortRules, SplitFractions, TreatmentClasses
from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.federation.client import method_of
from ms_pfl.federation.exchange import Node
from ms_pfl.federation.parameters import ClientSettings, ProtocolParameters
from ms_pfl.federation.partitions import SPLITS, SplitName
from ms_pfl.federation.secure_sums import LEAST
from ms_pfl.federation.strategies import draw
from ms_pfl.federation.sum_learners import learner_from_sums
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import PARADIGMS, Training, learner_of, trainings
from ms_pfl.parameters import Parameters
from ms_pfl.provenance import source_digest
from ms_pfl.text import shown
from ms_pfl.training.programs.alone import fine_tuning_optimizer
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.train import client_settings

_LIBRARIES = ("flwr", "torch", "numpy")

Seed = Annotated[int, Field(ge=-(2**31), lt=2**31)]
SiteName = Annotated[str, Field(min_length=1, max_length=200)]
Sums = Literal["masked", "plain"]
Word = Annotated[str, Field(max_length=200)]
Number = Annotated[int, Field(ge=0, le=10**9)]
_LONGEST = 10_000  # characters of what tells of software


class Stage(Section):
    """One fit of a seed: what a site is prepared with, and what it is asked to train.

    Attributes:
        training: under whose name the site keeps its model.
        settings: of the site.
        rounds: at most, or steps of Newton; 0: each site trains by itself.
        epochs: in a round, or at most where the site trains by itself.
        proximal_mu: weight of FedProx's term.
        patience: epochs without a better one, after which a site that trains by itself stops.
        epochs_without_validation: of a site that has nothing to choose by.
        start_is_candidate: whether the site trains on from the model of the stage before, which may
            be the best.
        fraction: of the sites, that train in a round.
        largest_update: that a site sends masked, see ``training.federation``.
    """

    training: str
    settings: ClientSettings
    rounds: Annotated[int, Field(ge=0, le=100_000)] = 0
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 0
    proximal_mu: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    epochs_without_validation: Annotated[int, Field(ge=0, le=10_000)] = 0
    start_is_candidate: bool = False
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    largest_update: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0

    def trainers(self, sites: Sequence[str], seed: int, server_round: int) -> tuple[str, ...]:
        """Return the sites that train in a round, sorted."""
        names = {place: str(Node(site, seed)) for place, site in enumerate(sites)}
        drawn = draw(names, self.fraction, seed, server_round)
        return tuple(sorted(sites[place] for place in drawn))

    @property
    def kind(self) -> Literal["rounds", "newton", "trees", "alone"]:
        """How the stage is trained."""
        if not self.rounds:
            return "alone"
        match self.settings.learner:
            case "network":
                return "rounds"
            case "logistic":
                return "newton"
            case "trees":
                return "trees"


class RunAgreement(Section):
    """All that a run asks of a site: what its operator approves, word by word.

    Attributes:
        cohort: which visits become episodes.
        treatments: a digest of the drugs that are looked for in free text. The drugs themselves
            come from the site's own installation or configuration, and never from a server.
        splits: shares of the patients.
        seeds: divisions of the patients.
        protocol: as for the study.
        sites: that take part, sorted.
        stages: of each seed, in order.
        sums: whether the server reads totals alone, or the sums of each site.
    """

    cohort: CohortRules
    treatments: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    splits: SplitFractions
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=10_000)]
    protocol: ProtocolParameters
    sites: Annotated[tuple[SiteName, ...], Field(min_length=1, max_length=10_000)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=10)]
    sums: Sums = "masked"

    @classmethod
    def of(
        cls,
        training: Training,
        parameters: Parameters,
        sites: Iterable[str],
        sums: Sums = "masked",
    ) -> RunAgreement:
        """Return what a training with some parameters asks of its sites.

        Raises:
            InputError: the sums of these sites, or of this training, cannot be masked.
        """
        names = tuple(sorted(sites))
        stages = stages_of(training, parameters.training, parameters.device)
        if sums == "masked":
            reason = unmaskable(names, stages, parameters.training.protocol)
            if reason is not None:
                raise InputError(
                    f'{reason}; or give sums="plain" in --run-config, if each site\'s policy has '
                    "plain_sums: allow"
                )
        rules = parameters.cohort.model_dump(exclude={"treatments"})
        return cls(
            cohort=CohortRules(**rules),
            treatments=digest_of_treatments(parameters.cohort.treatments),
            splits=parameters.splits,
            seeds=parameters.seeds,
            protocol=parameters.training.protocol,
            sites=names,
            stages=stages,
            sums=sums,
        )

    @property
    def masked(self) -> bool:
        """Whether the server reads totals alone."""
        return self.sums == "masked"

    @property
    def text(self) -> str:
        """The agreement as it travels, and as it is compared: two equal ones are one text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds) or tuple(sorted(set(self.sites))) != self.sites:
            raise ValueError("a seed or a site is named twice, or the sites are not sorted")
        known = {training.name: training for training in trainings()}
        for stage in self.stages:
            if stage.training not in known:
                raise ValueError(f"there is no training '{shown(stage.training, 60)}'")
            training, settings = known[stage.training], stage.settings
            if settings.protocol != self.protocol:
                raise ValueError(f"{stage.training} has another protocol than the run")
            if (
                settings.paradigm != training.paradigm
                or settings.learner != learner_of(training.strategy)
                or bool(stage.rounds) != PARADIGMS[training.paradigm].rounds
            ):
                raise ValueError(f"the settings of {stage.training} are those of another training")
            method_of(settings)
        if self.masked and (reason := unmaskable(self.sites, self.stages, self.protocol)):
            raise ValueError(reason)
        return self


def unmaskable(
    sites: Sequence[str], stages: Sequence[Stage], protocol: ProtocolParameters
) -> str | None:
    """Return why sums cannot be masked; None: they can.

    Args:
        sites: that take part.
        stages: of the run.
        protocol: as for the study.
    """
    if len(sites) < LEAST:
        return (
            f"masked sums take {LEAST} sites, and {len(sites)} take part: of two, each would know "
            "the other's"
        )
    if protocol.selection == "test":
        return (
            "training.protocol.selection: test chooses rounds by ROC-AUC, which is no sum that "
            "could be masked"
        )
    for stage in stages:
        least = len(stage.trainers(sites, 0, 1))
        if stage.kind == "rounds" and least < LEAST:
            return (
                f"training.federation.client_fraction = {stage.fraction:g} lets {least} sites "
                f"train in a round, and masked sums take {LEAST}"
            )
    return None


def digest_of_treatments(classes: TreatmentClasses) -> str:
    """Return a digest of the drugs that are looked for in free text."""
    return hashlib.blake2b(classes.model_dump_json().encode(), digest_size=16).hexdigest()


def stages_of(training: Training, settings: TrainingSettings, device: Device) -> tuple[Stage, ...]:
    """Return the fits of a training, in the order in which a seed goes through them."""
    own, row = settings.of(*training), PARADIGMS[training.paradigm]
    client = client_settings(training, settings, device)
    learner = learner_from_sums(client)
    if row.rounds and client.logistic is not None:
        return (Stage(training=training.name, settings=client, rounds=client.logistic.steps),)
    if row.rounds and client.trees is not None:
        return (Stage(training=training.name, settings=client, rounds=client.trees.trees),)
    if row.rounds:
        strategy = own.strategies.of(training.strategy)
        stage = Stage(
            training=training.name,
            settings=client,
            rounds=own.federation.rounds,
            epochs=strategy.epochs,
            fraction=own.federation.client_fraction,
            largest_update=own.federation.largest_update,
            proximal_mu=getattr(strategy, "proximal_mu", 0.0),
        )
        return (stage,)
    section = own.local if row.starts_from is None else own.fine_tuned
    before: tuple[Stage, ...] = ()
    if row.starts_from is not None:
        before = stages_of(Training(row.starts_from, training.strategy), settings, device)
        client = client_settings(training, settings, device, fine_tuning_optimizer(own))
    epochs = (section.epochs, section.epochs_without_validation)
    if learner is not None:
        epochs = learner.epochs()
    alone = Stage(
        training=training.name,
        settings=client,
        epochs=epochs[0],
        patience=section.patience,
        epochs_without_validation=epochs[1],
        start_is_candidate=bool(before),
    )
    return (*before, alone)


class RefusalError(InputError):
    """A site or the server does not take part; the message holds nothing of a patient."""


@dataclass(frozen=True)
class Software:
    """What computes: the package, a digest of its source, and the libraries that decide bits."""

    ms_pfl: Word
    source: Word
    libraries: Annotated[dict[Word, Word], Field(max_length=20)]

    @classmethod
    def here(cls) -> Software:
        """Return the software of this process."""
        versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        return cls(ms_pfl.__version__, source_digest(), versions)

    def to_json(self) -> str:
        """Return the same as text, for another process."""
        return json.dumps(asdict(self), sort_keys=True)

    def differs_from(self, told: str) -> str | None:
        """In words, what differs in the software that another process told; None: nothing.

        Raises:
            RefusalError: what was told describes no software.
        """
        try:
            other = _SOFTWARE.validate_json(told[:_LONGEST], strict=True)
        except (ValidationError, RecursionError):
            raise RefusalError(
                f"what the other end tells of its software cannot be read: {shown(told, 60)!r}"
            ) from None
        if self.ms_pfl != other.ms_pfl:
            return f"ms_pfl {self.ms_pfl} here, {shown(other.ms_pfl, 40)} there"
        if self.source != other.source:
            return (
                f"ms_pfl {self.ms_pfl} with other source code (digest {self.source[:8]} here, "
                f"{shown(other.source[:8])} there)"
            )
        for name, version in self.libraries.items():
            if version != other.libraries.get(name):
                return f"{name} {version} here, {shown(other.libraries.get(name), 40)} there"
        return None


_SOFTWARE = TypeAdapter(Software)


class Introduction(BaseModel):
    """What a site tells of itself: no patient, and no more than sizes.

    Attributes:
        country: what it is called.
        software: what computes there; where it is another than the server's, the rest is empty.
        features: names of the features, in their order.
        data: a digest of its rows and splits, by which a change of its data is noticed.
        patients: how many it has in each split of the first seed.
        rows: how many it has in each split of each seed, in the order of the agreement.
        waiting: whether the run waits for the site's operator; all else is empty then.
        log: the last digest of the site's security log.
        keys: what the site's people compare of the pinned keys of masked sums; empty: none is used.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    country: SiteName
    software: Annotated[str, Field(max_length=_LONGEST)]
    features: Annotated[tuple[Word, ...], Field(strict=False, max_length=1000)] = ()
    data: Word = ""
    patients: Annotated[tuple[Number, ...], Field(strict=False, max_length=len(SPLITS))] = ()
    rows: Annotated[tuple[Number, ...], Field(strict=False, max_length=10_000 * len(SPLITS))] = ()
    waiting: bool = False
    log: Word = ""
    keys: Word = ""

    def check_software(self) -> None:
        """See that the site computes with the server's software.

        Raises:
            RefusalError: it does not.
        """
        different = Software.here().differs_from(self.software)
        if different is not None:
            raise RefusalError(
                f"it computes with other software than the server ({different}; 'here' is the "
                "server); install the same version at both"
            )

    def rows_of(self, place: int) -> dict[SplitName, int]:
        """Return its rows in each split of the seed at a place of the agreement."""
        return dict(zip(SPLITS, self.rows[len(SPLITS) * place :], strict=False))

    def check(self, features: tuple[str, ...], seeds: int) -> None:
        """See that the site can take part in what the server trains.

        Args:
            features: that the server's version makes of the tables.
            seeds: of the agreement.

        Raises:
            RefusalError: other software, or other features.
        """
        self.check_software()
        if self.features != features:
            lacking = [name for name in features if name not in self.features]
            more = [shown(name, 60) for name in self.features if name not in features][:20]
            told = [
                *([f"lacks {', '.join(lacking)}"] if lacking else []),
                *([f"has {', '.join(more)} besides"] if more else []),
            ] or ["has them in another order"]
            raise RefusalError(
                f"its features are not those of the server: it "
                f"{' and '.join(told)}; use the same settings (cohort) and version at both"
            )
        if len(self.patients) != len(SPLITS):
            raise RefusalError("it does not tell how many patients it has in each split")
        first = self.rows[: len(SPLITS)]
        if len(self.rows) != len(SPLITS) * seeds or any(map(int.__lt__, first, self.patients)):
            raise RefusalError("it does not tell how many rows its patients have in each split")
