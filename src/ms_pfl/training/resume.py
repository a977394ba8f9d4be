"""What an interrupted run has left, so that the same command goes on from there.

Each training has a folder, named by a digest of all that decides its bits: data, splits, settings,
the code, the libraries and the kind of machine. Whatever changes, the folder is another one, and
nothing stale is picked up. In it: a file a finished seed, and the checkpoints of the others. A
run that ends well removes the folders of its trainings: nothing that it made is used again.
"""

from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ms_pfl.federation.checkpoints import (
    Checkpoints,
    DamagedFileError,
    digest_of,
    joined,
    part_of,
    read_arrays,
    write_arrays,
)
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.messages import first_reason
from ms_pfl.learning.inputs import saved_inputs
from ms_pfl.learning.parameters import Device
from ms_pfl.provenance import source_digest
from ms_pfl.text import shown
from ms_pfl.training.train import SeedResult

_LIBRARIES = ("torch", "numpy", "flwr")
_log = logging.getLogger(__name__)


class UnfinishedTrainings:
    """The folder in which trainings keep partial results until the run is finished."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when something is kept."""
        self._folder = folder
        self._opened: set[Path] = set()

    def training(self, name: str, key: str, every_rounds: int) -> UnfinishedTraining:
        """Return what an earlier, unfinished run left of a training, and the place for what comes.

        Args:
            name: of the training, such as ``federated.fedavg``.
            key: from :func:`training_key`.
            every_rounds: how often a federation is written down.
        """
        folder = self._folder / f"{name}.{key}"
        self._opened.add(folder)
        return UnfinishedTraining(folder, every_rounds)

    def finish(self) -> None:
        """Remove what the trainings of this run kept; what others left stays."""
        for folder in self._opened:
            shutil.rmtree(folder, ignore_errors=True)
        self._opened.clear()
        with suppress(OSError):  # others may have left something
            self._folder.rmdir()


@dataclass(frozen=True)
class UnfinishedTraining:
    """One training's finished seeds and checkpoints.

    Attributes:
        folder: where they are; None: nothing was left and nothing is kept.
        every_rounds: how often a federation is written down.
    """

    folder: Path | None
    every_rounds: int = 1

    def checkpoints(self, seed: int) -> Checkpoints:
        """Return the rounds of one seed's federation."""
        return Checkpoints(self.folder, f"seed={seed}", self.every_rounds)

    def result(self, seed: int) -> SeedResult | None:
        """Return a seed that was finished; None if it was not, or if its file is damaged."""
        if self.folder is None or not self._path(seed).exists():
            return None
        try:
            return _read(self._path(seed), seed)
        except DamagedFileError as error:
            _log.warning("A finished seed is damaged and trained again. %s", error)
            return None

    def keep(self, result: SeedResult) -> None:
        """Write down a finished seed, in place of its checkpoints."""
        if self.folder is not None:
            write_arrays(self._path(result.seed), *_arrays(result))
            self.checkpoints(result.seed).remove()

    def remove(self) -> None:
        """Remove all that is kept of the training: it starts again."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, seed: int) -> Path:
        assert self.folder is not None
        return self.folder / f"seed={seed}.finished.safetensors"


def training_key(stamp: np.ndarray, start: Mapping[str, np.ndarray] | None, device: Device) -> str:
    """Return a digest of all that decides the bits of a training.

    Args:
        stamp: of its data, splits and settings.
        start: the models that it starts from, if any.
        device: what it computes on.
    """
    import torch

    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    cpu, gpu = torch.backends.cpu.get_cpu_capability(), torch.cuda.is_available()
    machine = [platform.machine(), cpu, f"{device} {gpu}"]
    text = "\x1f".join([stamp.tobytes().hex(), source_digest(), *libraries, *machine])
    return digest_of(dict(sorted((start or {}).items())), text, size=8)


def _arrays(result: SeedResult) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    nodes, countries = list(result.probabilities), list(result.personal)
    parts = {
        **{f"probabilities/{i}": result.probabilities[name] for i, name in enumerate(nodes)},
        "shared": result.shared,
        **{f"personal/{i}": result.personal[name] for i, name in enumerate(countries)},
        "inputs": result.inputs.arrays(),
        "covariance": result.covariance,
    }
    history = [asdict(row) for row in result.history]
    return joined(parts), {
        "seed": result.seed,
        "nodes": nodes,
        "countries": countries,
        "history": history,
        "metrics": {country: dict(of) for country, of in result.metrics.items()},
    }


class _Told(BaseModel):
    """What the file of a finished seed tells beside its arrays."""

    model_config = ConfigDict(extra="forbid")

    seed: int
    nodes: list[str]
    countries: list[str]
    history: list[HistoryRow]
    metrics: dict[str, dict[str, int | float]]


def _read(path: Path, seed: int) -> SeedResult:
    """Return the finished seed that a file holds.

    Raises:
        DamagedFileError: it holds none, or another one.
    """
    arrays, told = read_arrays(path)
    try:
        result = _result(arrays, _Told.model_validate(told))
        if result.seed != seed:
            raise ValueError(f"it is of seed {result.seed}")
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds a number that is not finite")
        return result
    except ValidationError as error:
        raise DamagedFileError(f"{path}: {first_reason(error)}") from error
    except Exception as error:
        raise DamagedFileError(f"{path} is no finished seed: {shown(error)}") from error


def _result(arrays: dict[str, np.ndarray], told: _Told) -> SeedResult:
    part = partial(part_of, arrays)
    return SeedResult(
        seed=told.seed,
        probabilities={name: part(f"probabilities/{i}") for i, name in enumerate(told.nodes)},
        history=told.history,
        shared=part("shared"),
        personal={name: part(f"personal/{i}") for i, name in enumerate(told.countries)},
        inputs=saved_inputs(part("inputs")),
        metrics=told.metrics,
        covariance=part("covariance"),
    )
