"""The protocol audit: what each published choice adds to ROC-AUC, with an interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import draw_patients, replicate_roc_auc
from ms_pfl.evaluation.checks import FIT
from ms_pfl.evaluation.names import models_in_order

SOUND = "sound"
SCOPES = ("pooled", "macro")


def measure(predictions: pd.DataFrame, replicates: int, seed: int) -> pd.DataFrame:
    """Compare every variant of the protocol with the sound one, model by model.

    A replicate draws patients once for all variants, models and seeds; a patient's weight goes to
    whichever of its episodes a variant tests on. ROC-AUC is worked out for each seed and averaged
    over seeds, then subtracted.

    Args:
        predictions: ``variant`` beside the columns of the predictions contract, the sound variant
            (``sound``) among them.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        A row a variant, model and scope (pooled, macro): variant, paradigm, strategy, scope,
        sound, value (ROC-AUC, mean over seeds), difference (value - sound), low, high (95 %
        percentile interval of the difference).

    Raises:
        InputError: a model has no sound variant to stand against.
    """
    test = predictions[predictions["split"] == "test"]
    resamples = draw_patients(predictions, replicates, seed)
    values: dict[tuple[str, ...], list[NDArray[np.float64]]] = {}
    for fit, rows in test.groupby(["variant", *FIT], sort=True):
        model = tuple(str(part) for part in fit[:3])
        for scope, found in replicate_roc_auc(rows, resamples).items():
            values.setdefault((*model, scope), []).append(found)
    means = {key: np.mean(found, axis=0) for key, found in values.items()}
    records = []
    for variant in dict.fromkeys(predictions["variant"]):
        own = predictions[predictions["variant"] == variant]
        for paradigm, strategy in models_in_order(own):
            for scope in SCOPES:
                key = (paradigm, strategy, scope)
                if (SOUND, *key) not in means:
                    raise InputError(f"audit: {paradigm} {strategy} has no sound variant")
                sound, value = means[SOUND, *key], means[variant, *key]
                low, high = np.nanpercentile((value - sound)[1:], [2.5, 97.5])
                records.append((variant, *key, sound[0], value[0], value[0] - sound[0], low, high))
    columns = ["variant", "paradigm", "strategy", "scope"]
    numbers = ["sound", "value", "difference", "low", "high"]
    return pd.DataFrame.from_records(records, columns=[*columns, *numbers])
