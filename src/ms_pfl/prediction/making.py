"""From finished trainings to a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

import ms_pfl
from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.episodes import treatment_recorded_since
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import federation_data
from ms_pfl.prediction.calibration import ALL, fit_intercepts
from ms_pfl.prediction.parameters import PredictionParameters
from ms_pfl.prediction.predictor import FORMAT, Description, Predictor
from ms_pfl.provenance import data_digest, source_digest
from ms_pfl.training.bundle import ModelBundle
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
    """Put models, scalers and intercepts together.

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
        for name, array in models.items()
    }
    return Predictor(description, arrays)
