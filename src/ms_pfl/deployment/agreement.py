"""What server and site have to agree on before anything is trained, and how they find out."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict, dataclass

from pydantic import BaseModel

import ms_pfl
from ms_pfl.cohort.parameters import CohortParameters, SplitFractions
from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.provenance import source_digest

INTRODUCE = "query.introduce"
_LIBRARIES = ("flwr", "torch", "numpy")


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
