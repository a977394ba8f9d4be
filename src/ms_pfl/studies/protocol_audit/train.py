"""The variants of the protocol, and what is trained with each.

They are the sound one, each published choice alone, and all of them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd

from ms_pfl.federation.history import ProgressReport
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.reporting.words import PUBLISHED, capitalized
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Compute, train_tables

SOUND: dict[str, object] = {
    "split_unit": "patient",
    "scaling": "federated",
    "selection": "validation",
    "personal_arrays": "kept",
    "proximal_term": True,
    "fine_tuning_rows": "same",
}
VARIANTS = ("sound", *SOUND, "together")
_FEDERATED, _PROX = Training("federated", "fedavg"), Training("federated", "fedprox")
_FINE_TUNED, _ADAPTIVE = Training("fine_tuned", "fedavg"), Training("adaptive", "fedavg")
_MODELS = (_FEDERATED, _PROX, _FINE_TUNED, _ADAPTIVE)
# The models that a choice acts on, where that is not all.
_ACTS_ON = {
    "personal_arrays": (_ADAPTIVE,),
    "proximal_term": (_PROX,),
    "fine_tuning_rows": (_FINE_TUNED,),
}
Follow = Callable[[Training], AbstractContextManager[Callable[[ProgressReport], None]]]


def protocol_of(variant: str) -> ProtocolParameters:
    """Return the protocol of a variant: sound but for the choice that it is named for."""
    flipped = SOUND if variant == "together" else [] if variant == "sound" else [variant]
    return ProtocolParameters.model_validate(SOUND | {name: PUBLISHED[name][0] for name in flipped})


def variant_name(variant: str) -> str:
    """Return a variant in words.

    >>> variant_name("selection"), variant_name("together")
    ('Best round chosen by test ROC-AUC', 'All published choices together')
    """
    names = {"sound": "Sound protocol", "together": "All published choices together"}
    return names.get(variant) or capitalized(PUBLISHED[variant][1])


def train_variant(
    variant: str,
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    settings: TrainingSettings,
    compute: Compute,
    follow: Follow,
) -> pd.DataFrame:
    """Train what a variant of the protocol acts on.

    Args:
        variant: :data:`VARIANTS` has them.
        episodes: the episodes table.
        splits: the splits of the variant's protocol.
        settings: of the trainings; the protocol is replaced by the variant's, and the inputs are
            the standard ones.
        compute: where and how.
        follow: from a training to what is told where it is.

    Returns:
        Predictions of all models, with the column ``variant``.
    """
    settings = settings.model_copy(
        update={
            "protocol": protocol_of(variant),
            # the choices of scaling mean nothing with encoded inputs
            "inputs": settings.inputs.model_copy(update={"kind": "standard"}),
        }
    )
    wanted = _ACTS_ON.get(variant, _MODELS)
    before = {PARADIGMS[training.paradigm].starts_from for training in wanted}
    models: dict[Training, dict[str, np.ndarray]] = {}
    tables = []
    for training in _MODELS:
        is_start = training.strategy == "fedavg" and training.paradigm in before
        if not (training in wanted or is_start):
            continue
        start = Training(str(PARADIGMS[training.paradigm].starts_from), training.strategy)
        with follow(training) as report:
            done = train_tables(
                training, episodes, splits, settings, compute, report, models.get(start)
            )
        models[training] = done.models
        if training in wanted:
            tables.append(done.predictions)
    return pd.concat(tables, ignore_index=True).assign(variant=variant)
