"""The protocol audit: what each published choice adds to ROC-AUC, with an interval."""

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import draw_patients, intervals
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.held_out import Values
from ms_pfl.evaluation.metrics import METRICS, Columns
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
        A row per variant, model and scope (pooled, macro): variant, paradigm, strategy, scope,
        sound, value (ROC-AUC, mean over seeds), difference (value - sound), low, high (95 %
        percentile interval of the difference); NaN where no country (of a seed) or no replicate has
        both classes.

    Raises:
        InputError: a model has no sound variant to stand against.
    """
    test = predictions[predictions["split"] == "test"].sort_values("country", kind="stable")
    draws = draw_patients(predictions, replicates, seed)
    names = ("variant", "paradigm", "strategy")
    metrics = [METRICS["roc_auc"]]
    fits = evaluate(test, ("pooled", "country"), draws, metrics=metrics, names=names).fits
    records = []
    for variant in dict.fromkeys(predictions["variant"]):
        for model in models_in_order(predictions[predictions["variant"] == variant]):
            if (SOUND, *model) not in fits:
                raise InputError(f"audit: {' '.join(model)} has no sound variant")
            seeds = fits[SOUND, *model].values(), fits[variant, *model].values()
            for scope in SCOPES:
                both = [
                    _pair(one, other, scope) for (_, one), (_, other) in zip(*seeds, strict=True)
                ]
                sound, value = np.mean(both, axis=0)
                observed = (sound[0], value[0], value[0] - sound[0])
                bounds = intervals((value - sound)[None])[0]
                records.append((variant, *model, scope, *observed, *bounds))
    columns = [*names, "scope", "sound", "value", "difference", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)


def _pair(sound: Values, other: Values, scope: str) -> Columns:
    """ROC-AUC of the sound variant and of another, shape (2, 1 + replicates), of one seed."""
    if scope == "pooled":
        return np.array([fit["roc_auc", "pooled", ""] for fit in (sound, other)])
    common = [
        name for name in sorted(sound.keys() & other.keys())
        if name[1] == "country" and not np.isnan(sound[name][0] + other[name][0])
    ]  # fmt: skip
    if not common:
        return np.full((2, len(next(iter(sound.values())))), np.nan)
    return np.array([np.mean([fit[name] for name in common], axis=0) for fit in (sound, other)])
