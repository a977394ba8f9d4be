"""The models that a training saved: one file of arrays, whatever was fitted.

Arrays are named ``seed=<s>/shared/<array>``, ``seed=<s>/personal/<country>/<array>`` and
``seed=<s>/inputs/<array>`` (:mod:`ms_pfl.learning.inputs`); of a logistic regression that countries
share also ``seed=<s>/covariance/clustered``, the covariance of its coefficients, the intercept
last. Beside them stand ``format``, the version of these names, and ``stamp``, a digest of the data,
splits and settings of the training.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import joined
from ms_pfl.federation.partitions import FederationData
from ms_pfl.learning.inputs import Inputs, saved_inputs
from ms_pfl.learning.learners import Model, make_learner
from ms_pfl.learning.parameters import Device
from ms_pfl.learning.scaler import Scaler, ScalerSums
from ms_pfl.learning.scoring import probabilities
from ms_pfl.paradigms import PARADIGMS, Training, learner_of
from ms_pfl.personalization.method import Arrays, method_class
from ms_pfl.text import shown
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.train import CLUSTERED, SeedResult, Start

FORMAT = 3
FORMAT_NAME, STAMP = "format", "stamp"
_AGAIN = "run the training with the present settings first"
_COVARIANCE = re.compile(r"seed=\d{1,9}/covariance/")
_NAME = re.compile(r"seed=\d{1,9}/(?:shared|inputs|covariance|personal/.+)/[^/]+", flags=re.DOTALL)


def stamp_of(training: Training, data: FederationData, settings: TrainingSettings) -> np.ndarray:
    """Return a digest of all that decides the result of a training; uint8, shape ``(16,)``.

    That is: the rows, names and splits, and the settings that have a part in it
    (:meth:`TrainingSettings.sections_of`), of the training that it starts from too. Not in it:
    where the clients compute.
    """
    told = {
        "data": data.identity,
        "paradigm": training.paradigm,
        "settings": settings.of(*training).sections_of(*training),
    }
    before = PARADIGMS[training.paradigm].starts_from
    if before is not None:
        told["start"] = settings.of(before, training.strategy).sections_of(
            before, training.strategy
        )
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16)
    return np.frombuffer(digest.digest(), dtype=np.uint8).copy()


def bundle_arrays(results: Sequence[SeedResult], stamp: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the arrays of a bundle, from the results of all seeds; ``stamp`` None: without one."""
    models: dict[str, np.ndarray] = {}
    for result in results:
        seed = f"seed={result.seed}"
        personal = {f"{seed}/personal/{country}": own for country, own in result.personal.items()}
        inputs = {f"{seed}/inputs": result.inputs.arrays()}
        covariance = {f"{seed}/covariance": result.covariance}
        models |= joined({f"{seed}/shared": result.shared, **personal, **inputs, **covariance})
    models[FORMAT_NAME] = np.array([FORMAT])
    return models if stamp is None else models | {STAMP: stamp}


def without_covariances(models: Arrays) -> Arrays:
    """Return the arrays of a bundle that predictions are made with."""
    return {name: array for name, array in models.items() if not _COVARIANCE.match(name)}


@dataclass(frozen=True)
class SavedModel:
    """The model of one seed and country with its inputs.

    ``scaled`` False: it was trained on unscaled features (``training.protocol.scaling: none``), so
    that of a scaler only the means are used, in the place of missing values.
    """

    model: Model
    inputs: Inputs
    scaled: bool

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of label 1, float64, shape ``(rows,)``, in [0, 1].

        The same rows in the same order as in training give the same bits as its predictions; in
        another batch the last bits of a float32 may differ.

        Args:
            rows: features as they stand in the episodes table, shape ``(rows, features)``, NaN =
                missing: they become the model's inputs here.

        Raises:
            InputError: another number of features than the model was trained with.
        """
        return probabilities(self.logits(rows))

    def logits(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the same before the sigmoid: log-odds of label 1, which keep what 0 and 1 round
        away."""
        self._check(rows)
        if isinstance(self.inputs, Scaler) and not self.scaled:
            return self.model.logits(self.inputs.unscaled(rows))
        return self.model.logits(self.inputs.apply(rows))

    def logits_without(
        self, rows: NDArray[np.float32], features: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return log-odds with what is made of some features at its training mean, or median bin.

        Args:
            rows: features, shape ``(rows, features)``.
            features: which of them, shape ``(features,)``.
        """
        self._check(rows)
        if not isinstance(self.inputs, Scaler):
            return self.model.logits(self.inputs.averaged(rows, features))
        without = rows.copy()
        without[:, features] = np.nan  # which becomes the training mean
        return self.logits(without)

    def _check(self, rows: NDArray[np.float32]) -> None:
        n = self.inputs.n_features
        if rows.ndim != 2 or rows.shape[1] != n:
            raise InputError(
                f"the rows have shape {rows.shape}, the model needs (rows, {n}); give the features "
                "that it was trained with, in their order"
            )


class ModelBundle:
    """The models of one training, that is, the dataset ``<paradigm>.<strategy>.models``."""

    def __init__(
        self,
        models: Arrays,
        training: Training,
        settings: TrainingSettings,
        device: Device = "auto",
        data: FederationData | None = None,
    ) -> None:
        """Sort the arrays by seed and country.

        Args:
            models: arrays by name.
            training: that they are of.
            settings: of all trainings; read are the learner's and the protocol's.
            device: to compute on.
            data: the training's; needed with ``training.protocol.scaling: country`` alone, where a
                country's rows are scaled by its own training rows, of which nothing is saved.

        Raises:
            InputError: they were saved by another version.
        """
        self.training = training
        self._settings = settings.of(*training)
        self._data = data
        told = models.get(FORMAT_NAME, np.array([1]))
        found = told.reshape(-1)[0] if told.size == 1 else "unknown"
        if found != FORMAT:
            raise InputError(
                f"the saved models of {training.name} have format {found}, and this version reads "
                f"format {FORMAT}; {_AGAIN}"
            )
        self._learner = make_learner(
            learner_of(training.strategy),
            method_class(training.paradigm).kind,
            self._settings.network,
            device,
        )
        self._stamp = models.get(STAMP)
        self._parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in models.items():
            if name in (FORMAT_NAME, STAMP):
                continue
            if not _NAME.fullmatch(name):
                raise self._damaged(f"no array is called {shown(name)!r}")
            # a country's name may have a slash in it, an array's has none
            part, _, array_name = name.rpartition("/")
            self._parts.setdefault(part, {})[array_name] = array

    @classmethod
    def of(
        cls,
        models: Arrays | None,
        training: Training,
        settings: TrainingSettings,
        data: FederationData,
        device: Device = "auto",
    ) -> ModelBundle:
        """Return the models of a training on this data with these settings.

        Models of other splits have seen rows that are test rows now.

        Raises:
            InputError: there are none, or they are of other data or settings.
        """
        if not models:
            raise InputError(f"there are no models of {training.name}; {_AGAIN}")
        bundle = cls(models, training, settings, device, data)
        stamp = stamp_of(training, data, settings)
        if bundle._stamp is None or not np.array_equal(bundle._stamp, stamp):
            raise InputError(
                f"the saved models of {training.name} were trained on other data or splits, or "
                f"with other settings, than the present ones; {_AGAIN}"
            )
        return bundle

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were trained, sorted."""
        found = {part.partition("/")[0] for part in self._parts if part}
        return tuple(sorted(int(name.removeprefix("seed=")) for name in found))

    def countries(self, seed: int) -> tuple[str, ...]:
        """Countries with arrays of their own in a seed, sorted; empty: one model for all."""
        prefix = f"seed={seed}/personal/"
        return tuple(sorted(p.removeprefix(prefix) for p in self._parts if p.startswith(prefix)))

    def starts(self) -> dict[int, Start]:
        """Shared arrays and inputs by seed, to train on from."""
        return {
            seed: Start(self._part(f"seed={seed}/shared"), self._inputs(seed))
            for seed in self.seeds
        }

    def covariances(self) -> dict[int, NDArray[np.float64]]:
        """By seed the covariance of the shared coefficients, clustered by patient, where it is."""
        found = {seed: self._parts.get(f"seed={seed}/covariance", {}) for seed in self.seeds}
        return {seed: arrays[CLUSTERED] for seed, arrays in found.items() if CLUSTERED in arrays}

    def model(self, seed: int, country: str) -> SavedModel:
        """Return the model that a country predicts with.

        A model that all countries share predicts for any country, also one that did not train; the
        name then matters for ``training.protocol.scaling: country`` alone.

        Raises:
            InputError: the seed or the country was not trained, or the arrays do not fit the model
                that the settings describe.
        """
        if f"seed={seed}/inputs" not in self._parts:
            trained = ", ".join(map(str, self.seeds)) or "none"
            raise InputError(f"there is no model of seed {seed}; trained were: {trained}")
        personal = self.countries(seed)
        if personal and country not in personal:
            raise InputError(
                f"{country} has no model of its own in seed {seed}; take a model that all "
                f"countries share, or one of: {', '.join(personal)}"
            )
        own = self._parts.get(f"seed={seed}/personal/{country}", {})
        arrays = self._parts.get(f"seed={seed}/shared", {}) | own
        scaling, inputs = self._settings.protocol.scaling, self._inputs(seed)
        model = self._learner.open(arrays, inputs.width)
        if scaling == "country":
            inputs = self._own_scaler(seed, country)
        return SavedModel(model, inputs, scaling != "none")

    def predict(self, seed: int, country: str, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of label 1, as :meth:`SavedModel.predict` gives them.

        For many calls of one seed and country, keep its :meth:`model`: each call here builds it.
        """
        return self.model(seed, country).predict(rows)

    def _inputs(self, seed: int) -> Inputs:
        try:
            return saved_inputs(self._part(f"seed={seed}/inputs"))
        except InputError as error:
            raise self._damaged(f"seed {seed}: {error}") from None

    def _part(self, name: str) -> dict[str, np.ndarray]:
        if name not in self._parts:
            raise self._damaged(f"there is nothing under {name}")
        return self._parts[name]

    def _damaged(self, reason: str) -> InputError:
        return InputError(
            f"the saved models of {self.training.name} are damaged: {reason}; {_AGAIN}"
        )

    def _own_scaler(self, seed: int, country: str) -> Scaler:
        if self._data is None or country not in self._data.countries:
            raise InputError(
                f"with training.protocol.scaling: country, rows of {country} are scaled by its own "
                "training rows; give the data that the models were trained on"
            )
        train = self._data.countries[country].client_data(seed).train
        return Scaler.from_sums([ScalerSums.of(train.x)])
