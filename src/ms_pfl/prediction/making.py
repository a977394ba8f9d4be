r"""From finished trainings to a predictor: its models, inputs, and the intercepts that correct it.

A risk is corrected by an intercept, and as much of its country's own as that country shows.

A country's own intercept, fitted on the few patients of a small country, does more harm than good
(docs/prediction.md has the figures): it is mostly chance. So the countries' intercepts are drawn
towards the common one, the more so the fewer rows a country has and the less the countries differ
beyond chance. The slope stays 1: on few rows it is wilder still, and one below 0 would turn a
country's patients round.

The spread between the countries is that of DerSimonian and Laird (Control Clin Trials 7, 1986).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import ms_pfl
from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.episodes import treatment_recorded_since
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.errors import InputError
from ms_pfl.evaluation.calibration import fit_recalibration, logit
from ms_pfl.evaluation.logistic import fit_logistic
from ms_pfl.federation.partitions import federation_data
from ms_pfl.prediction.parameters import PredictionParameters
from ms_pfl.prediction.predictor import ALL, FORMAT, Description, Predictor
from ms_pfl.provenance import data_digest, source_digest
from ms_pfl.training.bundle import ModelBundle, without_covariances
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import rows_of

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Made:
    """What a run has to keep: its predictor, or None where its settings allow of none."""

    predictor: Predictor | None


def make_predictor(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    personal: tuple[Arrays, pd.DataFrame],
    shared: tuple[Arrays, pd.DataFrame],
    chosen: PredictionParameters,
    settings: TrainingSettings,
    cohort: CohortParameters,
    source: Mapping[str, str],
    vocabulary: Mapping[str, object] | None,
) -> Predictor:
    """Put models, inputs and intercepts together.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        personal: ``models`` and ``predictions`` of the training that ``chosen.personal`` names.
        shared: the same of ``chosen.shared``.
        chosen: the trainings.
        settings: of the trainings.
        cohort: how the features were built, where they come from a registry.
        source: where the episodes come from.
        vocabulary: how their features were encoded, where they come from a custom table.

    Raises:
        InputError: the models are of other data or settings; or they are scaled by their country's
            rows (``training.protocol.scaling: country``), which a predictor does not hold.
    """
    if settings.protocol.scaling == "country":
        raise InputError(
            "with training.protocol.scaling: country a model is scaled by its country's training "
            "rows, which no predictor holds; train with training.protocol.scaling: federated"
        )
    data = federation_data(episodes, splits)
    for training, (models, _) in ((chosen.personal, personal), (chosen.shared, shared)):
        trained_on = rows_of(training, data, episodes, splits, settings)
        ModelBundle.of(models, training, settings, trained_on)
    of_registry = vocabulary is None and data.features == FEATURES and "t0" in episodes
    own, common = (
        predictions[predictions["split"] == "validation"] for _, predictions in (personal, shared)
    )
    intercepts = {}
    for seed in data.seeds:
        fitted = fit_intercepts(own[own["seed"] == seed])
        intercepts[seed] = {
            ALL: fit_intercepts(common[common["seed"] == seed])[ALL],
            **{country: fitted.get(country, fitted[ALL]) for country in data.countries},
        }
    first = own[own["seed"] == data.seeds[0]]["country"].value_counts()
    description = Description(
        format=FORMAT,
        package_version=ms_pfl.__version__,
        prediction=chosen,
        settings=settings,
        seeds=data.seeds,
        countries=tuple(data.countries),
        features=data.features,
        vocabulary=None if vocabulary is None else Vocabulary.model_validate(vocabulary),
        cohort=cohort if of_registry else None,
        treatment_recorded_since=treatment_recorded_since(episodes) if of_registry else {},
        intercepts=intercepts,
        validation_episodes={country: int(first.get(country, 0)) for country in data.countries},
        source={str(name): str(value) for name, value in source.items()},
        source_digest=source_digest(),
        data_digest=data_digest(episodes),
    )
    arrays = {
        f"{part}/{name}": array
        for part, (models, _) in (("personal", personal), ("global", shared))
        for name, array in without_covariances(models).items()
    }
    return Predictor(description, arrays)


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
