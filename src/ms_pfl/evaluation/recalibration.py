r"""The federated model's risks, corrected country by country: nothing is trained.

Of what personalization gains, how much is the country's own average risk? The logit of a risk is
moved by an intercept, or first multiplied by one slope for all countries. All of it is fitted on
validation predictions, and moves a risk only as far as these show beyond chance (empirical Bayes,
Efron and Morris, JASA 70, 1975):

* the common intercept is drawn towards 0 and the slope towards 1 by the share of their squares that
  chance explains, and stay there if chance explains all;
* a country's own intercept is drawn towards the common one, the more so the fewer patients the
  country has and the less the countries differ.

Where nothing is to be corrected, next to nothing is; a country's own intercept from a handful of
episodes would be mostly chance, and do harm.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.evaluation.calibration import fit_recalibration, logit
from ms_pfl.evaluation.logistic import fit_logistic, newton_sums
from ms_pfl.evaluation.random_effects import between_variance

#: Stands for all countries together, as in the tables of the evaluation.
ALL = ""
#: Paradigm -> whether the slope is fitted too.
RECALIBRATED = {"recalibrated": False, "recalibrated_slope": True}
_FIT = ["strategy", "seed"]


def recalibrate(predictions: pd.DataFrame) -> pd.DataFrame:
    """Recalibrate the federated predictions of every strategy and seed, country by country.

    Args:
        predictions: in the predictions contract, with both splits; only the paradigm ``federated``
            is read, and of its labels those of validation rows.

    Returns:
        The same columns, with the paradigms ``recalibrated`` (intercepts) and
        ``recalibrated_slope`` (intercepts and a common slope). A country without validation
        episodes is moved by the common intercept.

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
        for positions in federated.groupby(_FIT, sort=False).indices.values():
            rows = federated.iloc[positions]
            known = (rows["split"] == "validation").to_numpy()
            corrected[positions] = correct(rows, known, slope=with_slope)
        tables.append(federated.assign(paradigm=paradigm, probability=corrected))
    return pd.concat(tables, ignore_index=True)


def correct(
    rows: pd.DataFrame, known: NDArray[np.bool_], *, slope: bool = False
) -> NDArray[np.float64]:
    """Return the risks of one fit, corrected by what some of its rows show.

    Args:
        rows: country, patient_id, label (0/1) and probability of one model and seed.
        known: of which rows the labels may be used, shape (rows,).
        slope: whether to fit a common slope too.
    """
    x = logit(rows["probability"].to_numpy(dtype=np.float64))
    if slope:
        x = x * fit_slope(rows[known])
    steep = rows.assign(probability=1 / (1 + np.exp(-x)))
    offsets = fit_intercepts(steep[known])
    moves = rows["country"].map(offsets).fillna(offsets[ALL]).to_numpy(dtype=np.float64)
    return np.asarray(1 / (1 + np.exp(-(moves + x))), dtype=np.float64)


def fit_intercepts(validation: pd.DataFrame) -> dict[str, float]:
    r"""Return the intercept of each country, and the common one.

    :math:`\mathrm{logit}\,P(y=1) = a + d_c + \mathrm{logit}\,p`. The common :math:`\hat a` of all
    rows together is drawn towards 0: :math:`a = \hat a\,(1 - SE^2 / \hat a^2)_+`. Then each
    :math:`d_c` maximizes :math:`\ell_c(a + d_c) / D - d_c^2 / 2\tau^2` with ``D`` the design effect
    (rows of one patient are alike: variance of the residuals' sums over patients, over that of
    independent rows; at least 1) and :math:`\tau^2` the variance between countries (Paule and
    Mandel), 0 where they differ no more than chance makes them.

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
    crude, _ = fit_recalibration(validation["label"].to_numpy(), x, slope=False)
    p = 1 / (1 + np.exp(-(crude + x)))
    residual, information = labels - p, p * (1 - p)
    design = _design_effect(validation, residual, information)
    countries = validation.groupby("country").indices
    sums = np.array(
        [(residual[rows].sum(), information[rows].sum()) for rows in countries.values()]
    )
    precisions = sums[:, 1] / design
    spread = 0.0
    if len(sums) > 1:
        spread = between_variance(sums[:, 0] / sums[:, 1], 1 / precisions)
    total = precisions.sum()
    common = _towards_0(crude, float(1 / total + spread * np.square(precisions / total).sum()))
    own = {
        str(country): common + _deviation(labels[rows], common + x[rows], design, spread)
        for country, rows in countries.items()
    }
    return {ALL: common, **own}


def fit_slope(validation: pd.DataFrame) -> float:
    """Return the slope of all countries together, drawn towards 1; 1 without a row.

    Args:
        validation: as for :func:`fit_intercepts`.
    """
    if validation.empty:
        return 1.0
    labels = validation["label"].to_numpy()
    x = logit(validation["probability"].to_numpy(dtype=np.float64))
    theta = np.array(fit_recalibration(labels, x, slope=True))
    if theta[1] == 1:
        return 1.0
    columns = np.column_stack([np.ones_like(x), x])
    _, information = newton_sums(theta, columns, labels)
    p = 1 / (1 + np.exp(-columns @ theta))
    design = _design_effect(validation, labels - p, p * (1 - p))
    variance = float(np.linalg.inv(information)[1, 1]) * design
    return 1 + _towards_0(float(theta[1]) - 1, variance)


def _design_effect(
    rows: pd.DataFrame, residual: NDArray[np.float64], information: NDArray[np.float64]
) -> float:
    """How many times the sum of residuals varies more than independent rows would; at least 1."""
    patients = rows.groupby(["country", "patient_id"], sort=False).ngroup().to_numpy()
    return max(float(np.square(np.bincount(patients, residual)).sum() / information.sum()), 1.0)


def _towards_0(value: float, variance: float) -> float:
    """Return the positive part of James and Stein's estimate of a single mean."""
    return 0.0 if value == 0 else value * max(0.0, 1 - variance / value**2)


def _deviation(
    labels: NDArray[np.float64], x: NDArray[np.float64], design: float, spread: float
) -> float:
    """Return the deviation of one country, 0 where countries do not differ."""
    if spread == 0:
        return 0.0
    columns = np.column_stack([np.ones_like(x), x])
    start, weights = np.array([0.0, 1.0]), np.full(len(x), 1 / design)
    theta, _ = fit_logistic(
        columns, labels, start, weights, free=1, ridge=1 / spread, largest=1.0, tolerance=1e-10,
        steps=100,
    )  # fmt: skip
    return float(theta[0])
