"""A predictor: a folder of two files from which new patients' risks are computed.

``predictor.json`` says what it is, ``predictor.safetensors`` holds the arrays. Nothing is pickled,
and no patient's row is in it. It is read only if both files are what was written, the arrays fit
the network, and the features are those that this version builds.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

import ms_pfl
from ms_pfl.cohort.custom.vocabulary import feature_names
from ms_pfl.cohort.feature_groups import feature_groups
from ms_pfl.cohort.features import FEATURES
from ms_pfl.errors import InputError
from ms_pfl.files import whole_folder
from ms_pfl.input_files import json_object, read_regular
from ms_pfl.paradigms import Training
from ms_pfl.prediction.description import (
    FORMAT,
    SHARED,
    Description,
    part_of_draw,
    parts,
    refitted,
    training_of,
)
from ms_pfl.text import shown
from ms_pfl.training.bundle import FORMAT_NAME, STAMP, ModelBundle, SavedModel
from ms_pfl.training.resampling import can_be_refitted

JSON_FILE = "predictor.json"
ARRAYS_FILE = "predictor.safetensors"
#: What a predictor's files may have; those of 32 countries and 10 seeds have 0.1 and 400.
_JSON_MEGABYTES, _ARRAYS_MEGABYTES = 64, 8192
_AGAIN = "create it again with `kedro run --pipeline=pfl`"


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


@dataclass(frozen=True)
class Predictor:
    """A description and the arrays that go with it.

    ``arrays``: ``personal/<name>`` (and ``personal.1/<name>``, … of further members),
    ``global/<name>`` and ``bootstrap=<i>/<training>/<name>`` with the names of
    :mod:`ms_pfl.training.bundle`; a draw of patients has the models of the first seed.
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
            if part != SHARED
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
        saved = self._saved(SHARED, training_of(self.description.prediction.shared))
        return {seed: saved.model(seed, "") for seed in self.description.seeds}

    def replicates(self, country: str | None) -> list[Mixture]:
        """Return what serves a country, refitted to each draw of training patients.

        Args:
            country: that trained; None: all others.

        Returns:
            A model per draw; none where a part of it is a network, or no patients were drawn.
        """
        choice, first = self.description.prediction, self.description.seeds[0]
        weights = {choice.shared: 1.0}
        if country is not None:
            weights = dict(zip(choice.members, choice.weights_of(first, country), strict=True))
        served = {training_of(name): weight for name, weight in weights.items() if weight}
        if not all(map(can_be_refitted, served)):
            return []
        return [
            Mixture(
                tuple(
                    (w, one[training].model(first, country or "")) for training, w in served.items()
                )
            )
            for one in self._refits
        ]

    @cached_property
    def _refits(self) -> list[dict[Training, ModelBundle]]:
        """The refitted models of each draw of patients."""
        trainings = refitted(self.description.prediction)
        return [
            {training: self._saved(part_of_draw(i, training), training) for training in trainings}
            for i in range(self.description.bootstrap_patients)
        ]

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
        models += [
            model
            for country in (None, *told.countries)
            for mixture in self.replicates(country)
            for _, model in mixture.members
        ]
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
        told = self.description
        countries = "|".join(map(re.escape, told.countries))

        def of(names: Iterable[str], seeds: Sequence[int]) -> str:
            return (
                rf"({'|'.join(map(re.escape, names))})/({STAMP}|{FORMAT_NAME}"
                rf"|seed=({'|'.join(map(str, seeds))})/"
                rf"((shared|inputs)(/.*)?|personal/({countries})/[^/]*))"
            )

        known = [of(parts(told.prediction), told.seeds)]
        trainings = refitted(told.prediction)
        draws = [part_of_draw(i, t) for i in range(told.bootstrap_patients) for t in trainings]
        if draws:
            known.append(of(draws, told.seeds[:1]))
        return re.compile("|".join(known), flags=re.DOTALL)


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
