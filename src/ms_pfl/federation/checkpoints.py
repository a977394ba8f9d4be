"""Checkpoints of a federation: a file per round, written whole or not at all.

The last two of a fit are kept, so that one which turns out damaged costs a few rounds and no more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ms_pfl.federation.client import PRIVATE
from ms_pfl.federation.exchange import PrivateStates
from ms_pfl.federation.flower import ArrayError, forms_of, received, to_arrays, to_record, views
from ms_pfl.federation.history import HistoryRow
from ms_pfl.federation.messages import first_reason
from ms_pfl.federation.rounds import RoundState
from ms_pfl.files import whole_file
from ms_pfl.text import shown

_KEPT = 2
_log = logging.getLogger(__name__)


class DamagedFileError(RuntimeError):
    """A file of arrays is not as it was written: cut short, or changed."""


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], told: Any) -> None:
    """Write arrays by name, and what JSON can tell, to a safetensors file.

    The file appears under its name once it is complete and on the disk; until then whatever was
    there stays.

    Raises:
        OSError: the disk is full, or the folder is closed to this account.
    """
    from safetensors.numpy import save

    text = json.dumps({"names": list(arrays), "told": told})
    whole = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    content = save(whole, metadata={"text": text, "digest": digest_of(whole, text)})
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """Return what :func:`write_arrays` wrote.

    Raises:
        DamagedFileError: it is something else now.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        text = metadata["text"]
        if metadata["digest"] != digest_of(arrays, text):
            raise DamagedFileError(f"{path}: the content does not match its digest")
        content = json.loads(text)
        return {name: arrays[name] for name in content["names"]}, content["told"]
    except DamagedFileError:
        raise
    except Exception as error:  # whatever a reader meets in a file of other content
        raise DamagedFileError(f"{path} cannot be read: {shown(error)}") from error


def digest_of(arrays: Mapping[str, np.ndarray], text: str, size: int = 16) -> str:
    """Return a digest of a text and of arrays in their order, in so many bytes, as hex digits."""
    digest = hashlib.blake2b(text.encode(), digest_size=size)
    for name, array in arrays.items():
        digest.update(f"{name}\x1f{array.dtype}\x1f{array.shape}\x1f".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()


def joined(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of several parts under ``<part>/<name>``; :func:`part_of` undoes it."""
    return {f"{part}/{name}": a for part, named in parts.items() for name, a in named.items()}


def part_of(arrays: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """Return the arrays of one part by their names in it."""
    prefix = f"{part}/"
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


@dataclass
class Checkpoints:
    """The checkpoints of one fit; as a context it writes the last round if an error ends the fit.

    An interrupt (Ctrl-C) is such an error.

    Attributes:
        folder: where the files are; None: there are none, and nothing is kept.
        name: of the fit, such as ``seed=0``; unique in the folder.
        every_rounds: a file each so many rounds.
    """

    folder: Path | None
    name: str
    every_rounds: int
    _unwritten: RoundState | None = field(default=None, init=False)

    def __enter__(self) -> Checkpoints:
        """Return the checkpoints themselves."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the last round, if the fit did not reach its end.

        Where that fails too (the disk is full), the error that ended the fit is the one to report.
        """
        if kind is not None and self._unwritten is not None:
            with suppress(OSError):
                self._write(self._unwritten)

    def latest(self, begins: RoundState | None = None) -> RoundState | None:
        """Return the state to go on from: of the latest file that is whole; None: from the
        beginning.

        Args:
            begins: the state before round 1, whose arrays those of a file have to be like.
        """
        for path in reversed(self._files()):
            try:
                return _read(path, begins)
            except DamagedFileError as error:
                _log.warning("A checkpoint is damaged; the one before it is used. %s", error)
        return None

    def keep(self, state: RoundState) -> None:
        """Take a round's state, and write it if it is its turn."""
        if self.folder is None:
            return
        self._unwritten = state
        if state.round % self.every_rounds == 0:
            self._write(state)

    def remove(self) -> None:
        """Remove all files of the fit."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _write(self, state: RoundState) -> None:
        assert self.folder is not None
        path = self.folder / f"{self.name}.round={state.round:06d}.safetensors"
        write_arrays(path, *_arrays(state))
        self._unwritten = None
        for old in self._files()[:-_KEPT]:
            with suppress(OSError):
                old.unlink()

    def _files(self) -> list[Path]:
        if self.folder is None:
            return []
        return sorted(self.folder.glob(f"{self.name}.round=*.safetensors"))


def _arrays(state: RoundState) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    parts = {
        "arrays": to_arrays(state.arrays),
        "best": to_arrays(state.best_arrays),
        **{f"moments/{name}": moments for name, moments in state.moments.items()},
        **{f"further/{name}": to_arrays(record) for name, record in state.further.items()},
        **{
            f"private/{place}/{name}": to_arrays(record)
            for place, records in enumerate(state.private.values())
            for name, record in records.items()
        },
    }
    told = {
        "round": state.round,
        "further": list(state.further),
        "private": [[country, list(records)] for country, records in state.private.items()],
        "moments": list(state.moments),
        "trained": [asdict(row) for row in state.trained],
        "history": [asdict(row) for row in state.history],
        "roc_auc": state.roc_auc,
        "best_round": state.best_round,
        "best_value": state.best_value,
        "best_roc_auc": state.best_roc_auc,
    }
    return joined(parts), told


class _Told(BaseModel):
    """What a checkpoint's file tells beside its arrays."""

    model_config = ConfigDict(extra="forbid")

    round: int = Field(ge=1)
    further: list[str]
    private: list[tuple[str, list[str]]]
    moments: list[Literal["m_t", "v_t"]]
    trained: tuple[HistoryRow, ...]
    history: tuple[HistoryRow, ...]
    roc_auc: float
    best_round: int = Field(ge=0)
    best_value: float
    best_roc_auc: float


def _read(path: Path, begins: RoundState | None) -> RoundState:
    """Return the state that a file holds.

    Raises:
        DamagedFileError: it holds none, or one of another training.
    """
    arrays, told = read_arrays(path)
    try:
        state = _state(arrays, _Told.model_validate(told))
        if begins is not None:
            _check_like(state, begins)
    except ValidationError as error:
        raise DamagedFileError(f"{path}: {first_reason(error)}") from error
    except Exception as error:
        raise DamagedFileError(f"{path} is no checkpoint: {shown(error)}") from error
    return state


def _check_like(state: RoundState, begins: RoundState) -> None:
    """See that a state's arrays are named, typed and shaped as in the state before round 1."""
    if not 0 <= state.best_round <= state.round:
        raise ValueError(f"its best round is {state.best_round} of {state.round}")
    forms = forms_of(views(begins.arrays))
    for record in (state.arrays, state.best_arrays):
        received(record, forms)
    if state.further.keys() != begins.further.keys():
        raise ValueError("its records are not those that the method sends")
    for name, record in state.further.items():
        received(record, forms_of(views(begins.further[name])))
    for name in {name for records in state.private.values() for name in records}:
        if not (name.startswith(PRIVATE) and name.removeprefix(PRIVATE).isdecimal()):
            raise ValueError(f"it holds a private state of the name {name!r}")
    for name, moments in state.moments.items():
        shapes = {key: array.shape for key, array in moments.items()}
        if shapes != {key: form.shape for key, form in forms.items()}:
            raise ValueError(f"{name} does not have the shapes of the weights")
        if not all(np.isfinite(array).all() for array in moments.values()):
            raise ValueError(f"{name} holds a number that is not finite")


def private_alike(found: PrivateStates, wanted: PrivateStates) -> bool:
    """Return whether clients' private states are named, typed and shaped alike, and finite.

    Args:
        found: of a checkpoint.
        wanted: as the clients begin.
    """
    if found.keys() != wanted.keys():
        return False
    for country, records in found.items():
        forms = [forms_of(views(record)) for record in wanted[country].values()]
        if bool(records) != bool(forms):
            return False
        for record in records.values():
            try:
                received(record, forms[0])
            except ArrayError:
                return False
    return True


def _state(arrays: dict[str, np.ndarray], told: _Told) -> RoundState:
    part = partial(part_of, arrays)

    return RoundState(
        round=told.round,
        arrays=to_record(part("arrays")),
        moments={name: part(f"moments/{name}") for name in told.moments},
        further={name: to_record(part(f"further/{name}")) for name in told.further},
        private={
            country: {name: to_record(part(f"private/{place}/{name}")) for name in names}
            for place, (country, names) in enumerate(told.private)
        },
        trained=told.trained,
        history=told.history,
        roc_auc=told.roc_auc,
        best_round=told.best_round,
        best_value=told.best_value,
        best_roc_auc=told.best_roc_auc,
        best_arrays=to_record(part("best")),
    )
