"""A predictor: a folder of two files from which new patients' risks are computed.

``predictor.json`` says what it is, ``predictor.safetensors`` holds the arrays. Nothing is pickled,
and no patient's row is in it. It is read only if both files are what was written, the arrays fit
the network, and the features are those that this version builds.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

import ms_pfl
from ms_pfl.cohort.custom.vocabulary import Vocabulary, feature_names
from ms_pfl.cohort.feature_groups import feature_groups
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.evaluation.choice import Choice
from ms_pfl.evaluation.recalibration import ALL
from ms_pfl.files import whole_folder
from ms_pfl.input_files import json_object, read_regular
from ms_pfl.paradigms import Training, trainings
from ms_pfl.text import shown
from ms_pfl.training.bundle import FORMAT_NAME, STAMP, ModelBundle, SavedModel
from ms_pfl.training.settings import TrainingSettings

FORMAT: Literal[3] = 3
JSON_FILE = "predictor.json"
ARRAYS_FILE = "predictor.safetensors"
_SHARED = "global"
#: What a predictor's files may have; those of 32 countries and 10 seeds have 0.1 and 400.
_JSON_MEGABYTES, _ARRAYS_MEGABYTES = 64, 8192
_AGAIN = "create it again with `kedro run --pipeline=pfl`"


class Description(Section):
    """What ``predictor.json`` holds, without the digests of the two files."""

    format: Literal[3] = Field(description="of this file; another one is refused")
    package_version: str = Field(description="of ms_pfl, when it was made")
    prediction: Choice = Field(description="what serves which country, and why")
    settings: TrainingSettings = Field(description="of the trainings: network, protocol")
    seeds: tuple[int, ...] = Field(min_length=1)
    countries: tuple[str, ...] = Field(min_length=1, description="that trained")
    features: tuple[str, ...] = Field(min_length=1, description="in the order of the network")
    vocabulary: Vocabulary | None = Field(description="of a custom table, else null")
    cohort: CohortParameters | None = Field(
        description="how features are built from a registry; null: they are not"
    )
    treatment_recorded_since: dict[str, int] = Field(
        description="by country a year by whose end it recorded treatment"
    )
    intercepts: dict[int, dict[str, float]] = Field(
        description="by seed and country, added to the log-odds; of the global model under ''; 0 "
        "but for recalibrated models"
    )
    validation_episodes: dict[str, int] = Field(
        description="by country, of the first seed: what its intercept was fitted on"
    )
    source: dict[str, str] = Field(description="what the models were trained on: kind, description")
    source_digest: str = Field(description="of the code that made it")
    data_digest: str = Field(description="of the episodes that it was trained on")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        of_seeds, names = self.intercepts.values(), {ALL, *self.countries}
        choice = self.prediction
        weights = [own for of_seed in choice.weights.values() for own in of_seed.values()]
        sums = [sum(own) for own in weights if len(own) == len(choice.members)]
        finite = all(np.isfinite(list(of_seed.values())).all() for of_seed in of_seeds)
        wrong = {
            "a feature is named twice": len(set(self.features)) < len(self.features),
            "the intercepts are not those of the seeds": set(self.intercepts) != set(self.seeds),
            "the intercepts are not those of the countries": any(
                set(of_seed) != names for of_seed in of_seeds
            ),
            "an intercept is not finite": not finite,
            "the weights are not those of the seeds": set(choice.weights) != set(self.seeds),
            "there are no weights for countries without validation patients": any(
                ALL not in of_seed for of_seed in choice.weights.values()
            ),
            "the weights of the members do not add up to 1": len(sums) < len(weights)
            or not np.allclose(sums, 1)
            or any(min(own) < 0 for own in weights),
            "a member is no training": any(
                training_of(name) not in trainings() for name in (*choice.members, choice.shared)
            ),
        }
        for problem, found in wrong.items():
            if found:
                raise ValueError(problem)
        return self


@dataclass(frozen=True)
class Mixture:
    """Models of one seed and country, whose log-odds are added up by weights.

    ``members``: weight, above 0, and model; the weights add up to 1.
    """

    members: tuple[tuple[float, SavedModel], ...]

    def logits(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log-odds of label 1, shape (rows,), see :meth:`.SavedModel.logits`."""
        return self._mean([model.logits(rows) for _, model in self.members])

    def logits_without(
        self, rows: NDArray[np.float32], features: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return them without some features, see :meth:`.SavedModel.logits_without`."""
        return self._mean([model.logits_without(rows, features) for _, model in self.members])

    def _mean(self, logits: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        if len(logits) == 1:
            return logits[0]
        weights = np.array([weight for weight, _ in self.members])
        return np.asarray(weights @ np.array(logits), dtype=np.float64)


def training_of(name: str) -> Training:
    """Return a training by its name, such as ``federated.fedavg``."""
    paradigm, _, strategy = name.partition(".")
    return Training(paradigm, strategy)


def parts(choice: Choice) -> dict[str, str]:
    """Return the parts of the arrays of a predictor, and the training of each."""
    own = {f"personal{f'.{i}' if i else ''}": name for i, name in enumerate(choice.members)}
    return own | {_SHARED: choice.shared}


@dataclass(frozen=True)
class Predictor:
    """A description and the arrays that go with it.

    ``arrays``: ``personal/<name>`` (and ``personal.1/<name>``, … of further members) and
    ``global/<name>`` with the names of :mod:`ms_pfl.training.bundle`.
    """

    description: Description
    arrays: Mapping[str, np.ndarray]

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Feature columns by the group's name."""
        return feature_groups(self.description.features, self.description.vocabulary)

    @cached_property
    def personal(self) -> dict[str, dict[int, Mixture]]:
        """The models of each country that trained, by seed."""
        choice = self.description.prediction
        saved = [
            self._saved(part, training_of(name))
            for part, name in parts(choice).items()
            if part != _SHARED
        ]

        def mixture(seed: int, country: str) -> Mixture:
            weights = zip(saved, choice.weights_of(seed, country), strict=True)
            return Mixture(tuple((w, one.model(seed, country)) for one, w in weights if w))

        return {
            country: {seed: mixture(seed, country) for seed in self.description.seeds}
            for country in self.description.countries
        }

    @cached_property
    def shared(self) -> dict[int, SavedModel]:
        """The global model of each seed."""
        saved = self._saved(_SHARED, training_of(self.description.prediction.shared))
        return {seed: saved.model(seed, "") for seed in self.description.seeds}

    def _saved(self, part: str, training: Training) -> ModelBundle:
        prefix = f"{part}/"
        own = {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }
        return ModelBundle(own, training, self.description.settings)

    def check(self) -> None:
        """See to it that description, arrays and this version of the package fit together.

        Raises:
            InputError: they do not.
        """
        told = self.description
        if told.vocabulary is not None:
            known = tuple(feature_names(told.vocabulary))
        else:  # without a cohort they are named by the episodes that it was trained on, and free
            known = FEATURES if told.cohort is not None else told.features
        if known != told.features:
            differ = sorted(set(known) ^ set(told.features)) or ["their order"]
            raise InputError(
                f"its features are not those that ms_pfl {ms_pfl.__version__} builds: {differ[0]} "
                f"({len(differ)} differ); it was made with ms_pfl {told.package_version}"
            )
        for name, array in self.arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InputError(f"its array {name!r} holds a value that is no finite number")
        models = [
            model
            for of_seed in self.personal.values()
            for mixture in of_seed.values()
            for _, model in mixture.members
        ] + list(self.shared.values())
        numbers = {model.inputs.n_features for model in models}
        if numbers != {len(told.features)}:
            raise InputError(
                f"its inputs are of {sorted(numbers)} features, and there are {len(told.features)}"
            )
        own = self._own_arrays()
        if stray := sorted(name for name in self.arrays if not own.fullmatch(name)):
            raise InputError(f"its array {stray[0]!r} belongs to no seed and country of its own")

    def _own_arrays(self) -> re.Pattern[str]:
        """Return what the names are like of arrays that belong to its seeds and countries."""
        seeds = "|".join(map(str, self.description.seeds))
        countries = "|".join(map(re.escape, self.description.countries))
        known = "|".join(map(re.escape, parts(self.description.prediction)))
        return re.compile(
            rf"({known})/({STAMP}|{FORMAT_NAME}"
            rf"|seed=({seeds})/((shared|inputs)(/.*)?|personal/({countries})/[^/]*))",
            flags=re.DOTALL,
        )


def write_predictor(predictor: Predictor, folder: Path) -> None:
    """Write a predictor as a whole: to a folder beside it, which then takes its place.

    Raises:
        InputError: it is not one that :func:`read_predictor` would take.
    """
    from safetensors.numpy import save

    predictor.check()
    with whole_folder(folder) as part:
        arrays = save({n: np.ascontiguousarray(a) for n, a in predictor.arrays.items()})
        (part / ARRAYS_FILE).write_bytes(arrays)
        told = json.loads(predictor.description.model_dump_json())
        told |= {"arrays_sha256": hashlib.sha256(arrays).hexdigest()}
        text = json.dumps(told | {"digest": _digest(told)}, ensure_ascii=False, indent=1)
        (part / JSON_FILE).write_text(text + "\n", encoding="utf-8")


def read_predictor(folder: str | Path) -> Predictor:
    """Read a predictor and check that it is whole and fits this version.

    Args:
        folder: as :func:`write_predictor` left it.

    Raises:
        InputError: it is not there, not whole, was changed, or is of another version.
    """
    from safetensors.numpy import load

    folder = Path(folder)
    try:
        text = read_regular(folder / JSON_FILE, _JSON_MEGABYTES)
    except FileNotFoundError:
        raise InputError(
            f"There is no predictor in {folder} ({JSON_FILE} is absent); `kedro run "
            "--pipeline=pfl` makes one at the end of its training (not with "
            "training.protocol.scaling: country)"
        ) from None
    except OSError as error:
        raise InputError(f"{folder / JSON_FILE} cannot be read ({error.strerror})") from None
    description, sha256 = _read_description(folder / JSON_FILE, text)
    path = folder / ARRAYS_FILE
    try:
        data = read_regular(path, _ARRAYS_MEGABYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {_AGAIN}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(
            f"{path} is not the file that {JSON_FILE} was written with ({len(data)} bytes, and "
            f"another SHA-256): it was truncated, changed or exchanged; {_AGAIN}"
        )
    try:
        predictor = Predictor(description, load(data))
        predictor.check()
    except InputError as error:
        raise InputError(f"{folder} is no predictor for this version: {error}; {_AGAIN}") from None
    except Exception as error:  # its digests are right, and it may hold anything
        reason = f"{type(error).__name__}: {shown(error)}"
        raise InputError(f"{folder} is no predictor for this version: {reason}; {_AGAIN}") from None
    return predictor


def _read_description(path: Path, text: bytes) -> tuple[Description, str]:
    """Return the description, and the SHA-256 of the arrays' file."""
    told = json_object(text)
    if told is None:
        raise InputError(f"{path} is no JSON object: it was truncated or damaged; {_AGAIN}")
    if told.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {shown(told.get('format'))}, and ms_pfl {ms_pfl.__version__} reads "
            f"format {FORMAT}; {_AGAIN}"
        )
    digest = told.pop("digest", None)
    try:
        same = digest == _digest(told)
    except (RecursionError, ValueError):  # half of a pair of surrogates
        same = False
    if not same:
        raise InputError(f"{path} was changed after it was written (its digest differs); {_AGAIN}")
    sha256 = told.pop("arrays_sha256", None)
    try:
        return Description.model_validate(told), str(sha256)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"{path}, {shown(place)}: {shown(first['msg'])}; {_AGAIN}") from None


def _digest(told: Mapping[str, Any]) -> str:
    """SHA-256 of all that the JSON file says besides."""
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
