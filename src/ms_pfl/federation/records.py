"""Between numpy and Flower's records."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from ms_pfl.federation.flower import Array, ArrayRecord
from ms_pfl.federation.scaler import Scaler


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """An ArrayRecord of named arrays."""
    record = ArrayRecord()  # made from a dictionary it would copy each Array
    for name, array in arrays.items():
        record[name] = Array(np.asarray(array))
    return record


def to_arrays(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The named arrays of an ArrayRecord."""
    return {name: _view(array).copy() for name, array in record.items()}


class _ReadArray(Array):
    """A Flower Array whose ``numpy()`` is quick, for Flower's own code; it is not to be sent."""

    def numpy(self) -> np.ndarray:
        """The array, read-only."""
        return _view(self)


def readable(record: ArrayRecord) -> ArrayRecord:
    """The same record, of which Flower's code decodes the arrays quickly; it is not to be sent."""
    quick = ArrayRecord()
    for name, array in record.items():
        quick[name] = _bare(_ReadArray, **array.__dict__)
    return quick


class _TravelingArray(Array):
    """A Flower Array whose bytes are pickled beside the object, where pickle 5 allows for it.

    Ray then writes them to its store once, and reads them once, instead of by way of a pickle.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return _arrived, (self.dtype, self.shape, self.stype, pickle.PickleBuffer(self.data))


def _arrived(dtype: str, shape: Sequence[int], stype: str, data: Any) -> Array:
    return _bare(Array, dtype=dtype, shape=shape, stype=stype, data=bytes(data))


def _bare(kind: type[Array], **fields: object) -> Array:
    """An Array from its fields; its own constructor is slow."""
    array: Array = object.__new__(kind)
    array.__dict__.update(fields)
    return array


def traveling(record: ArrayRecord) -> ArrayRecord:
    """The same record, quick to pickle; it arrives as an ordinary one."""
    packed = ArrayRecord()
    for name, array in record.items():
        packed[name] = _bare(_TravelingArray, **array.__dict__)
    return packed


def _view(array: Array) -> np.ndarray:
    """``array.numpy()``, read-only, without parsing the header of numpy's file format again.

    Dtype and shape stand beside the data; parsing them takes longer than a small array's step.
    """
    dtype = np.dtype(array.dtype)
    size = math.prod(array.shape)
    start = len(array.data) - size * dtype.itemsize
    if array.stype != "numpy.ndarray" or b"'fortran_order': False" not in array.data[:start]:
        decoded: np.ndarray = Array.numpy(array)
        return decoded
    flat = np.frombuffer(array.data, dtype=dtype, count=size, offset=start)
    return flat.reshape(array.shape)


def payload_bytes(record: ArrayRecord) -> int:
    """Size of the arrays as they travel, in bytes."""
    return sum(len(array.data) for array in record.values())


def scaler_to_record(scaler: Scaler) -> ArrayRecord:
    """A scaler as a record."""
    return to_record({"mean": scaler.mean, "sd": scaler.sd})


def record_to_scaler(record: ArrayRecord) -> Scaler:
    """The scaler of a record."""
    arrays = to_arrays(record)
    return Scaler(arrays["mean"], arrays["sd"])
