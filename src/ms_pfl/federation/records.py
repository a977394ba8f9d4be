"""Between numpy and Flower's records."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from ms_pfl.federation.flower import Array, ArrayRecord


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """An ArrayRecord of named arrays."""
    return _record({name: Array(np.asarray(array)) for name, array in arrays.items()})


def _record(arrays: Mapping[str, Array]) -> ArrayRecord:
    record = ArrayRecord()  # made from a dictionary it would copy each Array
    record.update(arrays)
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
    return _record({name: _bare(_ReadArray, **a.__dict__) for name, a in record.items()})


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
    return _record({name: _bare(_TravelingArray, **a.__dict__) for name, a in record.items()})


def _view(array: Array) -> np.ndarray:
    """``array.numpy()``, read-only, without parsing the header of numpy's file format again.

    Dtype and shape stand beside the data; parsing them takes longer than a small array's step.
    """
    dtype = np.dtype(array.dtype)
    size = math.prod(array.shape)
    start = len(array.data) - size * dtype.itemsize
    if array.stype != "numpy.ndarray" or b"'fortran_order': False" not in array.data[:start]:
        return Array.numpy(array)
    flat = np.frombuffer(array.data, dtype=dtype, count=size, offset=start)
    return flat.reshape(array.shape)


def payload_bytes(record: ArrayRecord) -> int:
    """Size of the arrays as they travel, in bytes."""
    return sum(len(array.data) for array in record.values())
