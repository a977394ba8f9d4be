r"""The intercepts of the sites' own in a logistic regression that lets them differ.

Site :math:`k` has the intercept :math:`b + u_k` with :math:`u_k \sim N(0, \sigma^2)`
(:mod:`ms_pfl.learning.mixed`). Its 95 % interval is :math:`u_k \pm 1.96 \sqrt{v_k}` with the
posterior variance :math:`v_k = 1 / (s_k + 1 / \sigma^2)` given what is shared, :math:`s_k` the sum
of :math:`p (1 - p)` over the site's training rows (Breslow and Clayton, JASA 1993).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.learning.learners import LogisticModel
from ms_pfl.learning.logistic import DEVIATION
from ms_pfl.learning.mixed import VARIANCE
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.contrasts import Z
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.settings import TrainingSettings

_TYPES = {
    "paradigm": "str",
    "strategy": "str",
    "n_seeds": "int64",
    "sd_between": "float64",
    "country": "str",
    "n_patients": "int64",
    "deviation": "float64",
    "low": "float64",
    "high": "float64",
}


def site_intercepts(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: Mapping[Training, Mapping[str, np.ndarray]],
    settings: TrainingSettings,
) -> pd.DataFrame:
    """Return how far the intercept of each site is from the common one, as means over seeds.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: of the trainings.
        settings: of the trainings.

    Returns:
        One row per training and country with at least 10 training patients in every seed:
        paradigm, strategy, n_seeds, sd_between (of the sites' intercepts, as estimated), country,
        n_patients (to train on, of the seed with the fewest), deviation (log-odds), low and high
        (95 %: ends are means over seeds too).

    Raises:
        InputError: the models were trained on other data or with other settings.
    """
    data = federation_data(episodes, splits)
    records = []
    for training, arrays in models.items():
        bundle = ModelBundle.of(arrays, training, settings, data, "cpu")
        spread = {
            seed: float(np.sqrt(start.arrays[VARIANCE][-1]))
            for seed, start in bundle.starts().items()
        }
        for country in data.countries:
            n_patients = min(_training_patients(data, country, seed) for seed in spread)
            if n_patients < MIN_PATIENTS:
                continue
            own = [_own(bundle, data, seed, country, sd) for seed, sd in spread.items()]
            middle, error = np.mean(own, axis=0)
            records.append(
                (*training, len(own), np.mean(list(spread.values())), country, n_patients, middle,
                 middle - Z * error, middle + Z * error)
            )  # fmt: skip
    return pd.DataFrame.from_records(records, columns=list(_TYPES)).astype(_TYPES)


def _training_patients(data: FederationData, country: str, seed: int) -> int:
    return len(np.unique(data.rows(country).client_data(seed).train.patients))


def _own(
    bundle: ModelBundle, data: FederationData, seed: int, country: str, sd: float
) -> tuple[float, float]:
    """Return a site's deviation, and the root of its posterior variance."""
    saved = bundle.model(seed, country)
    assert isinstance(saved.model, LogisticModel), "it is a regression"
    p = saved.predict(data.rows(country).client_data(seed).train.x)
    error = sd / float(np.sqrt(1 + sd**2 * np.sum(p * (1 - p))))
    return float(saved.model.arrays[DEVIATION][-1]), error
