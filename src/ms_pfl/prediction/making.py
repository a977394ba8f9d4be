"""From finished trainings to a predictor: its models, inputs and intercepts."""

import logging
import time
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
from ms_pfl.federation.partitions import FederationData, federation_data
from ms_pfl.names import listed
from ms_pfl.paradigms import Training, model_name
from ms_pfl.prediction.description import (
    FORMAT,
    Description,
    part_of_draw,
    parts,
    refitted,
    training_of,
)
from ms_pfl.prediction.predictor import Predictor
from ms_pfl.provenance import data_digest, source_digest
from ms_pfl.training.bundle import ModelBundle, without_covariances
from ms_pfl.training.resampling import refit, start_of
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import rows_of

Arrays = Mapping[str, np.ndarray]
_log = logging.getLogger(__name__)


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
    bootstrap_patients: int = 0,
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
        bootstrap_patients: draws of training patients that logistic regressions and trees are
            refitted to, for the range of a risk.

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
    trained_on: dict[Training, FederationData] = {}
    for training in dict.fromkeys(kept.values()):
        trained_on[training] = rows_of(training, data, episodes, splits, settings)
        ModelBundle.of(models[training], training, settings, trained_on[training])
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
        bootstrap_patients=bootstrap_patients,
        source={str(name): str(value) for name, value in source.items()},
        source_digest=source_digest(),
        data_digest=data_digest(episodes),
    )
    arrays = {
        f"{part}/{name}": array
        for part, training in kept.items()
        for name, array in without_covariances(models[training]).items()
    }
    return Predictor(description, arrays | _refits(description, data, trained_on))


def _refits(
    description: Description, data: FederationData, trained_on: Mapping[Training, FederationData]
) -> dict[str, np.ndarray]:
    """Return the arrays of the first seed's models, refitted to each draw of training patients."""
    wanted, n = refitted(description.prediction), description.bootstrap_patients
    if not wanted or not n:
        return {}
    starts = [start for start in map(start_of, wanted) if start is not None]
    rows = dict.fromkeys(starts, data) | {training: trained_on[training] for training in wanted}
    names = listed([model_name(*training) for training in wanted])
    _log.info("Refitting %s to %d draws of training patients, for the range of a risk", names, n)
    began = time.perf_counter()
    arrays = {
        f"{part_of_draw(i, training)}/{name}": array
        for i in range(n)
        for training, own in refit(
            wanted, rows, description.settings, description.seeds[0], i
        ).items()
        for name, array in own.items()
    }
    megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
    _log.info("%d refits: %.0f s, %.1f MB", n, time.perf_counter() - began, megabytes)
    return arrays


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
