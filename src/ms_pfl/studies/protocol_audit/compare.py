"""The protocol audit: what each published choice adds to ROC-AUC, with an interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.checks import FIT
from ms_pfl.evaluation.replicates import FitReplicates, HeldOutRows, intervals, replicate_fit
from ms_pfl.paradigms import models_in_order

SOUND = "sound"
SCOPES = ("pooled", "macro")


def measure(predictions: pd.DataFrame, replicates: int, seed: int) -> pd.DataFrame:
    """Compare every variant of the protocol with the sound one, model by model.

    A replicate draws patients once for all variants, models and seeds; a patient's weight goes to
    whichever of its episodes a variant tests on. The difference in ROC-AUC is worked out for each
    seed and averaged over seeds. Macro means of two variants run over the countries that have both
    classes in both: a variant tests on other rows, and so on other countries.

    Args:
        predictions: ``variant`` beside the columns of the predictions contract, the sound variant
            (``sound``) among them.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        A row a variant, model and scope (pooled, macro): variant, paradigm, strategy, scope,
        sound, value (ROC-AUC, mean over seeds), difference (value - sound), low, high (95 %
        percentile interval of the difference); NaN where no country (of a seed) or no replicate has
        both classes.

    Raises:
        InputError: a model has no sound variant to stand against.
    """
    test = predictions[predictions["split"] == "test"]
    resamples = draw_patients(predictions, replicates, seed)
    fits: dict[tuple[str, ...], list[FitReplicates]] = {}
    ordered = test.sort_values("country", kind="stable")
    for fit, rows in ordered.groupby(["variant", *FIT], sort=True):
        model = tuple(str(part) for part in fit[:3])
        own = HeldOutRows.of(rows, resamples, seed)
        scored = replicate_fit(own, rows["probability"].to_numpy(), only=["roc_auc"])
        fits.setdefault(model, []).append(scored)
    records = []
    for variant in dict.fromkeys(predictions["variant"]):
        own = predictions[predictions["variant"] == variant]
        for model in models_in_order(own):
            if (SOUND, *model) not in fits:
                raise InputError(f"audit: {' '.join(model)} has no sound variant")
            pairs = list(zip(fits[SOUND, *model], fits[variant, *model], strict=True))
            for scope in SCOPES:
                sound, value = np.mean([_pair(*pair, scope) for pair in pairs], axis=0)
                low, high = intervals((value - sound)[None])[0]
                observed = (sound[0], value[0], value[0] - sound[0])
                records.append((variant, *model, scope, *observed, low, high))
    columns = ["variant", "paradigm", "strategy", "scope"]
    numbers = ["sound", "value", "difference", "low", "high"]
    return pd.DataFrame.from_records(records, columns=[*columns, *numbers])


def _pair(sound: FitReplicates, other: FitReplicates, scope: str) -> NDArray[np.float64]:
    """ROC-AUC of the sound variant and of another, shape (2, 1 + replicates), of one seed."""
    if scope == "pooled":
        return np.array([fit.pooled["roc_auc"] for fit in (sound, other)])
    common = sorted(sound.by_country["roc_auc"].keys() & other.by_country["roc_auc"].keys())
    return np.array([fit.mean("roc_auc", weighted=False, over=common) for fit in (sound, other)])
