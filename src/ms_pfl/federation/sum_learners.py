"""Which learners are fitted from sums."""

from __future__ import annotations

from ms_pfl.federation.boosting import Boosting
from ms_pfl.federation.from_sums import FromSums
from ms_pfl.federation.parameters import ClientSettings
from ms_pfl.federation.regression import Regression


def learner_from_sums(settings: ClientSettings) -> FromSums | None:
    """Return the learner of a training; None for a network, which is trained in rounds."""
    if settings.logistic is not None:
        return Regression(settings, settings.logistic)
    if settings.trees is not None:
        return Boosting(settings, settings.trees)
    return None
