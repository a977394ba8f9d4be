"""Between numpy and Flower's records."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ms_pfl.federation.engine import Array, ArrayRecord
from ms_pfl.federation.scaler import Scaler, ScalerSums


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """An ArrayRecord of named arrays."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def to_arrays(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The named arrays of an ArrayRecord."""
    return {name: _to_numpy(array) for name, array in record.items()}


def _to_numpy(array: Array) -> np.ndarray:
    """``array.numpy()`` without parsing the header of numpy's file format again.

    Dtype and shape stand beside the data; parsing them takes longer than a small array's step.
    """
    dtype = np.dtype(array.dtype)
    size = math.prod(array.shape)
    start = len(array.data) - size * dtype.itemsize
    if array.stype != "numpy.ndarray" or b"'fortran_order': False" not in array.data[:start]:
        decoded: np.ndarray = array.numpy()
        return decoded
    flat = np.frombuffer(array.data, dtype=dtype, count=size, offset=start)
    return flat.reshape(array.shape).copy()


def payload_bytes(record: ArrayRecord) -> int:
    """Size of the arrays as they travel, in bytes."""
    return sum(len(array.data) for array in record.values())


def sums_to_record(sums: ScalerSums) -> ArrayRecord:
    """A country's scaler sums as a record."""
    return to_record({"n": sums.n, "sum": sums.total, "sum-of-squares": sums.squares})


def record_to_sums(record: ArrayRecord) -> ScalerSums:
    """The scaler sums of a record."""
    arrays = to_arrays(record)
    return ScalerSums(arrays["n"], arrays["sum"], arrays["sum-of-squares"])


def scaler_to_record(scaler: Scaler) -> ArrayRecord:
    """A scaler as a record."""
    return to_record({"mean": scaler.mean, "sd": scaler.sd})


def record_to_scaler(record: ArrayRecord) -> Scaler:
    """The scaler of a record."""
    arrays = to_arrays(record)
    return Scaler(arrays["mean"], arrays["sd"])
