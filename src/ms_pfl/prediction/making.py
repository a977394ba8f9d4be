"""From finished trainings to a predictor: its models, inputs and intercepts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

import ms_pfl
from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.episodes import treatment_recorded_since
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.errors import InputError
from ms_pfl.evaluation.choice import Choice
from ms_pfl.evaluation.recalibration import ALL, fit_intercepts
from ms_pfl.federation.partitions import federation_data
from ms_pfl.paradigms import Training
from ms_pfl.prediction.predictor import FORMAT, Description, Predictor, parts, training_of
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
    models: Mapping[Training, Arrays],
    predictions: pd.DataFrame,
    choice: Choice,
    settings: TrainingSettings,
    cohort: CohortParameters,
    source: Mapping[str, str],
    vocabulary: Mapping[str, object] | None,
) -> Predictor:
    """Put models, inputs, weights and intercepts together.

    What is served is what was compared: of the paradigms that are trained the models as they are,
    of recalibrated ones with the intercepts that their validation rows give.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: arrays by training, those that ``choice`` names among them.
        predictions: of these trainings.
        choice: what serves which country.
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
    kept = {part: training_of(name) for part, name in parts(choice).items()}
    for training in dict.fromkeys(kept.values()):
        trained_on = rows_of(training, data, episodes, splits, settings)
        ModelBundle.of(models[training], training, settings, trained_on)
    of_registry = vocabulary is None and data.features == FEATURES and "t0" in episodes
    validation = predictions[predictions["split"] == "validation"]
    intercepts = {
        seed: _intercepts(choice, validation[validation["seed"] == seed], data.countries)
        for seed in data.seeds
    }
    of_first = validation[validation["seed"] == data.seeds[0]]
    first = of_first.drop_duplicates("episode_id")["country"].value_counts()
    description = Description(
        format=FORMAT,
        package_version=ms_pfl.__version__,
        prediction=choice,
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
        for part, training in kept.items()
        for name, array in without_covariances(models[training]).items()
    }
    return Predictor(description, arrays)


def _intercepts(
    choice: Choice, validation: pd.DataFrame, countries: Iterable[str]
) -> dict[str, float]:
    """Return the intercept of each country and of all others, of one seed: 0 but for recalibrated
    ones."""
    found = dict.fromkeys([ALL, *countries], 0.0)
    fitted: dict[str, dict[str, float]] = {}
    for country in choice.corrected():
        strategy = choice.of(country).strategy
        own = validation[
            (validation["paradigm"] == "federated") & (validation["strategy"] == strategy)
        ]
        of_strategy = fitted.setdefault(strategy, fit_intercepts(own))
        found[country] = of_strategy.get(country, of_strategy[ALL])
    return found
