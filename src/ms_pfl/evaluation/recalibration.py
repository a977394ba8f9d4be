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

#: Paradigm -> whether the slope is fitted too.
RECALIBRATED = {"recalibrated": False, "recalibrated_slope": True}
_STEPS = 200
_LAST_STEP = 1e-8
_LARGEST_LOGIT = 25.0  # beyond it a probability is 0 or 1 and says nothing of the parameters


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
    free = slope and labels.min() != labels.max() and np.ptp(logits) > 0
    design = np.column_stack([np.ones_like(logits), logits])[:, : 1 + free]
    offset = np.zeros_like(logits) if free else logits
    theta = np.array([0.0, 1.0])[: 1 + free]
    for _ in range(_STEPS):
        p, information = _information(theta, design, offset)
        weights = p * (1 - p)
        leverage = weights * np.einsum("ij,ji->i", design, np.linalg.solve(information, design.T))
        step = np.linalg.solve(information, design.T @ (labels - p + leverage * (0.5 - p)))
        before = _likelihood(theta, labels, design, offset)
        # halved until the likelihood grows: a full step may pass over the top
        while _likelihood(theta + step, labels, design, offset) < before and np.any(step):
            step = np.where(np.abs(step) < _LAST_STEP, 0.0, step / 2)
        theta = theta + step
        if np.abs(step).max() < _LAST_STEP:
            break
    return float(theta[0]), float(theta[1]) if free else 1.0


def _information(
    theta: NDArray[np.float64], design: NDArray[np.float64], offset: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities and Fisher's information."""
    eta = np.clip(design @ theta + offset, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    p = 1 / (1 + np.exp(-eta))
    return p, design.T @ ((p * (1 - p))[:, None] * design)


def _likelihood(
    theta: NDArray[np.float64],
    labels: NDArray[np.integer],
    design: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> float:
    """Firth's penalized log-likelihood."""
    eta = np.clip(design @ theta + offset, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    _, information = _information(theta, design, offset)
    penalty = np.linalg.slogdet(information)[1] / 2
    return float(np.sum(labels * eta - np.logaddexp(0, eta)) + penalty)
