r"""How a predictor's risks are corrected: an intercept, and as much of each country's as it shows.

A country's own intercept, fitted on the few patients of a small country, does more harm than good
(docs/prediction.md has the figures): it is mostly chance. So the countries' intercepts are drawn
towards the common one, the more so the fewer rows a country has and the less the countries differ
beyond chance. The slope stays 1: on few rows it is wilder still, and one below 0 would turn a
country's patients round.

The spread between the countries is that of DerSimonian and Laird (Control Clin Trials 7, 1986).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.calibration import logit
from ms_pfl.evaluation.logistic import fit_logistic
from ms_pfl.evaluation.recalibration import fit_recalibration

#: Stands for all countries together, as in the tables of the evaluation.
ALL = ""


def fit_intercepts(validation: pd.DataFrame) -> dict[str, float]:
    r"""The intercept of each country, and the common one.

    :math:`\mathrm{logit}\,P(y=1) = a + d_c + \mathrm{logit}\,p`: ``a`` is fitted to all rows
    together, then each ``d_c`` maximizes :math:`\ell_c(d_c) / D - d_c^2 / 2\tau^2` with ``D`` the
    design effect (rows of one patient are alike: variance of the residuals' sums over patients,
    over that of independent rows; at least 1) and :math:`\tau^2` the variance between countries,
    0 where they differ no more than chance makes them.

    Args:
        validation: predictions of one model and seed on validation rows: country, patient_id,
            label (0/1), probability.

    Returns:
        ``a + d_c`` by country, and ``a`` under :data:`ALL`; 0 without a row.
    """
    if validation.empty:
        return {ALL: 0.0}
    labels = validation["label"].to_numpy(dtype=np.float64)
    x = logit(validation["probability"].to_numpy(dtype=np.float64))
    common, _ = fit_recalibration(validation["label"].to_numpy(), x, slope=False)
    p = 1 / (1 + np.exp(-(common + x)))
    residual, information = labels - p, p * (1 - p)
    of_patients = pd.Series(residual).groupby(validation["patient_id"].to_numpy()).sum()
    design = max(float(np.square(of_patients).sum() / information.sum()), 1.0)
    countries = validation.groupby("country").indices
    sums = np.array(
        [(residual[rows].sum(), information[rows].sum()) for rows in countries.values()]
    )
    spread = _variance_between(sums[:, 0] / sums[:, 1], sums[:, 1] / design)
    own = {
        str(country): common + _deviation(labels[rows], common + x[rows], design, spread)
        for country, rows in countries.items()
    }
    return {ALL: common, **own}


def _variance_between(deviations: NDArray[np.float64], precisions: NDArray[np.float64]) -> float:
    """The variance of the true deviations, by their excess over chance; 0 of fewer than two."""
    if len(deviations) < 2:
        return 0.0
    total = precisions.sum()
    mean = float(precisions @ deviations / total)
    excess = float(precisions @ (deviations - mean) ** 2) - (len(deviations) - 1)
    return max(0.0, excess / float(total - np.square(precisions).sum() / total))


def _deviation(
    labels: NDArray[np.float64], x: NDArray[np.float64], design: float, spread: float
) -> float:
    """The deviation of one country, 0 where countries do not differ."""
    if spread == 0:
        return 0.0
    columns = np.column_stack([np.ones_like(x), x])
    start, weights = np.array([0.0, 1.0]), np.full(len(x), 1 / design)
    theta, _ = fit_logistic(
        columns, labels, start, weights, free=1, ridge=1 / spread, largest=1.0, tolerance=1e-10,
        steps=100,
    )  # fmt: skip
    return float(theta[0])
