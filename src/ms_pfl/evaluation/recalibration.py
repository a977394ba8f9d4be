"""A sixth thing to compare: the federated model, its risks corrected country by country.

Of what personalization gains, how much is the country's own average risk? One number a country
(an intercept), or two (and a slope), fitted on its validation predictions and applied to its test
predictions: nothing is trained, and the order of a country's patients changes only by a slope below
0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.evaluation.calibration import logit
from ms_pfl.evaluation.checks import FIT
from ms_pfl.evaluation.logistic import fit_logistic

#: Paradigm -> whether the slope is fitted too.
RECALIBRATED = {"recalibrated": False, "recalibrated_slope": True}
_STEPS = 200


def recalibrate(predictions: pd.DataFrame) -> pd.DataFrame:
    """Recalibrate the federated predictions of every strategy and seed, country by country.

    A country without validation episodes keeps its predictions. Where they are all of one class or
    all alike, a slope says nothing: it stays at 1 and the intercept alone is fitted.

    Args:
        predictions: in the predictions contract, with both splits; only the paradigm ``federated``
            is read.

    Returns:
        The same columns, with the paradigms ``recalibrated`` (intercept) and
        ``recalibrated_slope`` (intercept and slope).

    Raises:
        InputError: there is no federated prediction.
    """
    federated = predictions[predictions["paradigm"] == "federated"]
    if federated.empty:
        raise InputError("recalibration: there are no predictions of the paradigm 'federated'")
    tables = []
    for paradigm, with_slope in RECALIBRATED.items():
        corrected = federated["probability"].to_numpy(dtype=np.float64, copy=True)
        # by position: an index may repeat where tables were put below each other
        for positions in federated.groupby([*FIT, "country"], sort=False).indices.values():
            rows = federated.iloc[positions]
            validation = (rows["split"] == "validation").to_numpy()
            x = logit(rows["probability"].to_numpy())
            a, b = fit_recalibration(
                rows["label"].to_numpy()[validation], x[validation], slope=with_slope
            )
            corrected[positions] = 1 / (1 + np.exp(-(a + b * x)))
        tables.append(federated.assign(paradigm=paradigm, probability=corrected))
    return pd.concat(tables, ignore_index=True)


def fit_recalibration(
    labels: NDArray[np.integer], logits: NDArray[np.float64], *, slope: bool
) -> tuple[float, float]:
    r"""Fit ``a`` and ``b`` of :math:`\mathrm{logit}\,P(y=1) = a + b\,\mathrm{logit}\,p`.

    Firth's penalized likelihood (Biometrika 80, 1993; Heinze and Schemper, Stat Med 21, 2002)
    :math:`\ell(\theta) + \frac12 \ln |I(\theta)|`: finite also where a small country's validation
    episodes have one class, and less biased than maximum likelihood.

    Args:
        labels: 0 or 1, shape (episodes,).
        logits: of the probabilities, shape (episodes,).
        slope: whether to fit ``b``; it is 1 otherwise.

    Returns:
        ``a`` and ``b``; 0 and 1 without episodes.

    >>> a, b = fit_recalibration(np.array([0, 1, 1, 1]), np.zeros(4), slope=False)
    >>> round(a, 4), b  # ln((3 + 1/2) / (1 + 1/2))
    (0.8473, 1.0)
    """
    if not len(labels):
        return 0.0, 1.0
    both = bool(slope and labels.min() != labels.max() and np.ptp(logits) > 0)
    design = np.column_stack([np.ones_like(logits), logits])
    start = np.array([0.0, 1.0])
    theta, _ = fit_logistic(design, labels, start, free=1 + both, firth=True, steps=_STEPS)
    return float(theta[0]), float(theta[1])
