r"""Proximal copy: each site keeps a second model, drawn towards the shared one.

In a round a site trains the shared model :math:`w` as in federated averaging, and from the same
:math:`w` a copy of its own, :math:`v`, on its loss plus :math:`\mu / 2\, \|v - w\|^2`; it predicts
with :math:`v`. Ditto (Li et al., ICML 2021) with a copy that starts again from :math:`w` in each
round instead of from the site's last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from ms_pfl.config import Section
from ms_pfl.personalization.method import SHARED, Arrays, Method, Sent

if TYPE_CHECKING:
    from ms_pfl.learning.networks import Network
    from ms_pfl.personalization.work import Work


class ProximalCopySettings(Section):
    """How near the copies stay to the shared model."""

    pull: float = Field(ge=0, description="mu of the term mu/2 ||own - shared||^2")


class ProximalCopy(Method):
    """The whole copy is private; its arrays are named as those that travel."""

    settings = ProximalCopySettings
    own: ProximalCopySettings

    def begin(self, work: Work) -> Arrays:
        """Return the initial model, which is the shared one's too."""
        return work.arrays(work.network())

    def train(self, work: Work, records: Mapping[str, Arrays], private: Arrays) -> Sent:
        """Train the shared model, then the copy."""
        shared = records[SHARED]
        network = work.network(shared)
        loss = work.train(network, pull=work.pull(shared))
        copy = work.network(shared)
        work.train(copy, pull=work.towards(shared, self.own.pull), name="copy")
        return Sent({SHARED: work.arrays(network)}, work.arrays(copy), loss)

    def network(self, work: Work, shared: Arrays, private: Arrays) -> Network:
        """Return the site's copy."""
        return work.network(private)
