"""Partial sharing: some arrays of one network travel, the others stay at their site.

Nothing stays: federated averaging. The extension branch stays: AdaptiveDualBranchNet (Pirmani et
al., npj Digital Medicine 8:478, 2025). Partial model personalization in general: Pillutla et al.,
ICML 2022 (here all arrays are trained at once, FedAlt's simultaneous variant FedSim).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ms_pfl.personalization.method import Arrays, Method

if TYPE_CHECKING:
    from ms_pfl.personalization.work import Work


class Partial(Method, ABC):
    """Arrays whose names begin with one of :meth:`prefixes` stay; they begin as the site draws."""

    @abstractmethod
    def prefixes(self) -> tuple[str, ...]:
        """Return how the names of the private arrays begin."""

    def shared(self, arrays: Arrays) -> Arrays:
        """Return the arrays that travel."""
        return {name: a for name, a in arrays.items() if not name.startswith(self.prefixes())}

    def begin(self, work: Work) -> Arrays:
        """Return the private arrays with initial values of the site's own."""
        return self._private(work.drawn())


class SharedNetwork(Method):
    """One network for all sites: nothing stays."""


class DualBranch(Partial):
    """AdaptiveDualBranchNet: the extension stays, and the combining layer where it is set to."""

    kind = "adaptive"

    def prefixes(self) -> tuple[str, ...]:
        """Return the branches that stay."""
        personal = self.network_settings.combining_personal
        return ("extension.", "combining.") if personal else ("extension.",)
