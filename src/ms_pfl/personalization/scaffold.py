r"""SCAFFOLD: local SGD whose steps are corrected by what tells a site's gradient from all sites'.

Karimireddy et al., ICML 2020, option II. Site :math:`i` holds a control variate :math:`c_i`, the
server their mean :math:`c`. From the shared model :math:`x` a site takes :math:`K` steps
:math:`y \leftarrow y - \eta (g_i(y) - c_i + c)`, then
:math:`c_i^+ = c_i - c + (x - y) / (K \eta)`. It sends :math:`y` and :math:`c_i^+ - c_i`. The
server averages the models as federated averaging does, and adds to :math:`c` the mean of the
changes, times the share of the sites that trained. Means are weighted by training rows, so that
with all sites :math:`c = \sum_i (n_i / n) c_i` belongs to the loss that the average minimizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ms_pfl.config import Section
from ms_pfl.personalization.method import SHARED, Arrays, Method, Sent

if TYPE_CHECKING:
    from ms_pfl.learning.networks import Network
    from ms_pfl.personalization.work import Work

CONTROL = "control"


class ScaffoldSettings(Section):
    """The sites' steps."""

    learning_rate: float = Field(gt=0, description="of the sites' SGD, without momentum")


class Scaffold(Method):
    """Two records are sent: the model, and the change of the site's control variate."""

    settings = ScaffoldSettings
    own: ScaffoldSettings

    def further(self, shared: Arrays) -> Mapping[str, Arrays]:
        """Return the server's control variate: 0."""
        return {CONTROL: {name: np.zeros_like(array) for name, array in shared.items()}}

    def combine(self, name: str, held: Arrays, mean: Arrays, share: float) -> Arrays:
        """Return the control variate after a round."""
        return {key: (own + share * mean[key]).astype(own.dtype) for key, own in held.items()}

    def begin(self, work: Work) -> Arrays:
        """Return the site's control variate: 0."""
        return {name: np.zeros_like(a) for name, a in work.arrays(work.network()).items()}

    def train(self, work: Work, records: Mapping[str, Arrays], private: Arrays) -> Sent:
        """Take the corrected steps."""
        shared, control = records[SHARED], records[CONTROL]
        rate = self.own.learning_rate
        sgd = work.optimizer.model_copy(
            update={"kind": "sgd", "learning_rate": rate, "plateau": None}
        )
        network = work.network(shared)
        shift = {name: control[name] - own for name, own in private.items()}
        loss = work.train(network, pull=work.pull(shared), shift=shift, optimizer=sgd)
        trained = work.arrays(network)
        after = {
            name: own - control[name] + (shared[name] - trained[name]) / (work.steps * rate)
            for name, own in private.items()
        }
        change = {name: after[name] - own for name, own in private.items()}
        return Sent({SHARED: trained, CONTROL: change}, after, loss)

    def network(self, work: Work, shared: Arrays, private: Arrays) -> Network:
        """Return the shared model."""
        return work.network(shared)

    def kept(self, private: Arrays) -> Arrays:
        """Return nothing: the shared model is all that predicts."""
        return {}
