"""What server and site have to agree on before anything is trained, and how they find out."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import time
from dataclasses import asdict, dataclass

from pydantic import BaseModel

import ms_pfl
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import CohortParameters, SplitFractions
from ms_pfl.config import Section
from ms_pfl.deployment.settings import ServerSettings, in_quotes
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import ConfigRecord, Grid, Message, RecordDict, reason_of
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.names import near_names
from ms_pfl.provenance import source_digest

INTRODUCE = "query.introduce"
_LIBRARIES = ("flwr", "torch", "numpy")
_POLL = 1.0
_log = logging.getLogger(__name__)


class CohortAgreement(Section):
    """How every site makes episodes and splits of its tables: the server says, all do the same."""

    cohort: CohortParameters
    splits: SplitFractions
    seeds: tuple[int, ...]
    protocol: ProtocolParameters


class RefusalError(InputError):
    """A site or the server does not take part; the message holds nothing of a patient."""


@dataclass(frozen=True)
class Software:
    """What computes: the package, a digest of its source, and the libraries that decide bits."""

    ms_pfl: str
    source: str
    libraries: dict[str, str]

    @classmethod
    def here(cls) -> Software:
        """The software of this process."""
        versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        return cls(ms_pfl.__version__, source_digest(), versions)

    def to_json(self) -> str:
        """The same as text, for another process."""
        return json.dumps(asdict(self), sort_keys=True)

    def differs_from(self, told: str) -> str | None:
        """In words, what differs in the software that another process told; None: nothing."""
        other = Software(**json.loads(told))
        if self.ms_pfl != other.ms_pfl:
            return f"ms_pfl {self.ms_pfl} here, {other.ms_pfl} there"
        if self.source != other.source:
            return (
                f"ms_pfl {self.ms_pfl} with other source code (digest {self.source[:8]} here, "
                f"{other.source[:8]} there)"
            )
        for name, version in self.libraries.items():
            if version != other.libraries.get(name):
                return f"{name} {version} here, {other.libraries.get(name)} there"
        return None


class Introduction(BaseModel, frozen=True):
    """What a site tells of itself: no patient, and no more than sizes.

    Attributes:
        country: what it is called.
        software: what computes there; where it is another than the server's, the rest is empty.
        features: names of the features, in their order.
        data: a digest of its rows and splits, by which a change of its data is noticed.
        patients: how many it has in each split of the first seed.
    """

    country: str
    software: str
    features: tuple[str, ...] = ()
    data: str = ""
    patients: tuple[int, ...] = ()

    def check(self, features: tuple[str, ...]) -> None:
        """See that the site can take part in what the server trains.

        Args:
            features: that the server's version makes of the tables.

        Raises:
            RefusalError: other software, or other features.
        """
        different = Software.here().differs_from(self.software)
        if different is not None:
            raise RefusalError(
                f"{self.country} cannot take part: it computes with other software than the "
                f"server ({different}; 'here' is the server); install the same version at both"
            )
        if self.features != features:
            lacking = [name for name in features if name not in self.features]
            more = [name for name in self.features if name not in features]
            told = [
                *([f"lacks {', '.join(lacking)}"] if lacking else []),
                *([f"has {', '.join(more)} besides"] if more else []),
            ] or ["has them in another order"]
            raise RefusalError(
                f"{self.country} cannot take part: its features are not those of the server: it "
                f"{' and '.join(told)}; use the same settings (cohort) and version at both"
            )


@dataclass(frozen=True)
class Site:
    """A site that takes part: its node in Flower, and what it told of itself."""

    node_id: int
    introduction: Introduction


def gather(grid: Grid, settings: ServerSettings, agreement: CohortAgreement) -> dict[str, Site]:
    """Wait for the sites that are named, and see that they can take part; sorted by name.

    Raises:
        RefusalError: a site is not compatible, or two call themselves by one name.
        InputError: a site has not come in time.
    """
    question = RecordDict(
        {
            "config": ConfigRecord(
                {"software": Software.here().to_json(), "agreement": agreement.model_dump_json()}
            )
        }
    )
    expected = settings.countries
    _log.info("Waiting for the sites %s", in_quotes(expected))
    sites: dict[str, Site] = {}
    asked: dict[str, int] = {}
    seen: set[int] = set()
    others: list[str] = []
    until = time.monotonic() + settings.wait_for_sites
    while len(sites) < len(expected):
        new = [node for node in grid.get_node_ids() if node not in seen]
        messages = [
            Message(
                content=question,
                message_type=INTRODUCE,
                dst_node_id=node,
                ttl=settings.answer_within,
            )
            for node in new
        ]
        if messages:
            asked |= dict(zip(grid.push_messages(messages), new, strict=True))
            seen |= set(new)
        for reply in grid.pull_messages(list(asked)) if asked else ():
            node = asked.pop(reply.metadata.reply_to_message_id)
            if reply.has_error():
                raise RefusalError(f"a site does not take part: {reason_of(reply.error)}")
            told = Introduction(**reply.content["config"])
            if told.country not in expected:
                others.append(told.country)
                alike = near_names(told.country, expected)
                _log.warning(
                    '"%s" is connected, but not among the sites of this run; it is not asked '
                    "again%s",
                    told.country,
                    f'; the run waits for "{alike[0]}": name both in one way, in the run\'s sites '
                    "or in the site's country" if alike else "",
                )  # fmt: skip
            elif told.country in sites:
                raise RefusalError(
                    f'two sites call themselves "{told.country}"; each needs its own name'
                )
            else:
                told.check(FEATURES)
                sites[told.country] = Site(node, told)
                _log.info(
                    "%s takes part: %d patients to train on, %d to validate, %d to test",
                    told.country,
                    *told.patients,
                )
        if time.monotonic() > until and len(sites) < len(expected):
            absent = [name for name in expected if name not in sites]
            besides = f" (connected but not named: {in_quotes(others)})" if others else ""
            hint = "".join(
                f'; "{alike}" is connected and the run waits for "{name}": name both in one way'
                for name in absent
                for alike in near_names(name, others)
            )
            raise InputError(
                f"{in_quotes(absent)} did not come within {settings.wait_for_sites:.0f} seconds"
                f"{besides}: is the SuperNode there running, is its key registered, and its "
                "country spelled so? A name with a comma is given in a JSON list: "
                f'sites=\'["Korea, Republic of", "Turkey"]\'{hint}'
            )
        time.sleep(_POLL)
    return dict(sorted(sites.items()))
