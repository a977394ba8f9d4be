"""The one door to Flower: its environment, its names, its private task identity, and its records.

Every other module imports Flower's classes from here, so that the environment variables are set
before Flower is imported, wherever the first import happens (main process or Ray worker).
"""

import logging
import math
import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ms_pfl.errors import InputError
from ms_pfl.text import shown

# of this process and of every Ray worker
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray hides the GPU from actors that were given none of it, unless told not to
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # cuBLAS repeats its results bit by bit only with a fixed workspace
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # glibc gives the memory of each training step back to the system and asks for it again; a
    # process reads this as it starts
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

from flwr.app import (  # noqa: E402
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.clientapp.typing import Mod  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402
from flwr.serverapp.strategy import (  # noqa: E402
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedProx,
    FedYogi,
    Strategy,
)
from flwr.supercore.run import Run  # noqa: E402
from flwr.supercore.task_identity import TaskIdentity  # noqa: E402
from google.protobuf.message import DecodeError  # noqa: E402

__all__ = [
    "ENVIRONMENT",
    "UNREADABLE",
    "Array",
    "ArrayError",
    "ArrayRecord",
    "ClientApp",
    "ConfigRecord",
    "Context",
    "Error",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedProx",
    "FedYogi",
    "Form",
    "Grid",
    "Message",
    "MetricRecord",
    "Mod",
    "RecordDict",
    "Run",
    "ServerApp",
    "Strategy",
    "forms_of",
    "name_message",
    "name_sender",
    "payload_bytes",
    "reason_of",
    "received",
    "take_identity",
    "to_arrays",
    "to_record",
    "traveling",
    "views",
]

UNREADABLE = (
    ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, DecodeError,
)  # fmt: skip
"""What Flower raises over bytes of another machine that are no message or no record."""

# Flower adds a console handler of its own at import, after the application set up its logging,
# and tells every step of every round
_logger = logging.getLogger("flwr")
_logger.handlers.clear()
_logger.setLevel(logging.WARNING)


def take_identity() -> None:
    """Give this process the identity that ``Message(...)`` asks for outside Flower's runtime.

    ``TaskIdentity`` is private to Flower (set by its own processes; as of 1.41 a message cannot be
    made without it). Inside Flower's runtime it is set already and left alone.
    """
    try:
        _ = TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id
    except RuntimeError:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


def name_message(message: Message, message_id: str) -> None:
    """Give a message its id, which replies carry as ``reply_to_message_id``.

    In Flower the SuperLink sets it, through the private dictionary of the metadata: there is no
    public way. A grid of our own has to do the same.
    """
    message.metadata.__dict__["_message_id"] = message_id


def name_sender(message: Message, node_id: int) -> None:
    """Have a reply come from this node: a grid may number its nodes otherwise than Flower does."""
    message.metadata.__dict__["_src_node_id"] = node_id


def reason_of(error: Error) -> str:
    """Return why another machine did not answer, in one line.

    Flower tells of an exception as ``<class '...'>:<'message'>``; its message is the reason.
    """
    told = str(error.reason)
    return shown(told.partition(">:<")[2].strip("'>\"") or told, 500)


class ArrayError(InputError):
    """An array of another machine is not what it says it is, or not what was expected."""


class Form(NamedTuple):
    """What an array is: its type, by numpy's name, and its shape."""

    dtype: str
    shape: tuple[int, ...]


Forms = Mapping[str, Form]
"""What the arrays of a record are, by name."""


def forms_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Form]:
    """Return what each of some arrays is."""
    return {name: Form(str(array.dtype), array.shape) for name, array in arrays.items()}


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Return an ArrayRecord of named arrays."""
    return _record({name: _written(np.asarray(array)) for name, array in arrays.items()})


def _written(array: np.ndarray) -> Array:
    """Return what Flower makes of an array, to the byte, without numpy's slow writer."""
    dtype, shape = _NAMES.get(array.dtype), array.shape
    if dtype is None or len(shape) > _MOST_DIMENSIONS:
        return Array(np.asarray(array, order="C"))
    data = _header(dtype, shape)[0] + array.tobytes()
    return _bare(Array, dtype=dtype, shape=shape, stype="numpy.ndarray", data=data)


def _record(arrays: Mapping[str, Array]) -> ArrayRecord:
    record = ArrayRecord()  # made from a dictionary it would copy each Array
    record.__dict__["_data"].update(arrays)  # names are text, values are Arrays
    return record


def to_arrays(record: ArrayRecord) -> dict[str, np.ndarray]:
    """Return the named arrays of an ArrayRecord.

    Raises:
        ArrayError: as :func:`views`.
    """
    return {name: view.copy() for name, view in views(record).items()}


def views(record: ArrayRecord) -> dict[str, np.ndarray]:
    """Return the same, read-only and without a copy.

    Raises:
        ArrayError: an array's bytes are not, to the byte, what numpy writes for an array of its
            type and shape.
    """
    return {name: _view(name, array) for name, array in record.items()}


def received(record: ArrayRecord, expected: Forms, *, finite: bool = True) -> dict[str, np.ndarray]:
    """Return :func:`views` of a record of another machine, in the order of ``expected``.

    Args:
        record: what came.
        expected: the names, types and shapes that it has to have: all of them and no other.
        finite: whether each number has to be finite.

    Raises:
        ArrayError: it has not.
    """
    if record.keys() != expected.keys():
        lacking = [name for name in expected if name not in record]
        if lacking:
            raise ArrayError(f"the array '{shown(lacking[0], 60)}' is missing")
        more = next(name for name in record if name not in expected)
        raise ArrayError(f"the array '{shown(more, 60)}' is not expected")
    found = {}
    for name, (dtype, shape) in expected.items():
        array = record[name]
        if array.dtype != dtype or tuple(array.shape) != shape:
            raise ArrayError(
                f"the array '{name}' is {shown(array.dtype, 60)} of shape "
                f"{shown(tuple(array.shape), 60)}, and has to be {dtype} of shape {shape}"
            )
        view = _bytes_as(name, array, dtype, shape)
        if finite and not np.isfinite(view).all():
            raise ArrayError(f"the array '{name}' holds a number that is not finite")
        found[name] = view
    return found


class _TravelingArray(Array):
    """A Flower Array whose bytes are pickled beside the object, where pickle 5 allows for it.

    Ray then writes them to its store once, instead of by way of a pickle; whoever gets them reads
    them there.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return _arrived, (self.dtype, self.shape, self.stype, pickle.PickleBuffer(self.data))


def _arrived(dtype: str, shape: Sequence[int], stype: str, data: Any) -> Array:
    return _bare(Array, dtype=dtype, shape=shape, stype=stype, data=memoryview(data))


def _bare(kind: type[Array], **fields: object) -> Array:
    """Return an Array from its fields; its own constructor is slow."""
    array: Array = object.__new__(kind)
    array.__dict__.update(fields)
    return array


def traveling(record: ArrayRecord) -> ArrayRecord:
    """Return the same record, quick to pickle; it arrives as an ordinary one."""
    return _record({name: _bare(_TravelingArray, **a.__dict__) for name, a in record.items()})


_MOST_DIMENSIONS = 8
_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("float32", "float64", "int16", "int64", "uint8", "uint64")
}
"""What travels: weights, inputs and metrics by row, trees, and fixed-point sums."""
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def _view(name: str, array: Array) -> np.ndarray:
    """``array.numpy()``, read-only, of an array whose bytes are what numpy would have written.

    The header of numpy's file format is not parsed but compared with the one that belongs to dtype
    and shape, which leaves no room for another one and is quicker.
    """
    shape = tuple(array.shape)
    if array.stype != "numpy.ndarray" or array.dtype not in _DTYPES:
        kind = array.dtype if array.stype == "numpy.ndarray" else array.stype
        raise ArrayError(
            f"the array '{shown(name, 60)}' is of type {shown(kind, 60)}; there are: "
            f"{', '.join(_DTYPES)}"
        )
    if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > _MOST_DIMENSIONS:
        raise ArrayError(f"the array '{shown(name, 60)}' has no shape: {shown(shape, 60)}")
    return _bytes_as(name, array, array.dtype, shape)


def _bytes_as(name: str, array: Array, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array's bytes as an array of a type and shape that may be."""
    data, (header, size) = array.data, _header(dtype, shape)
    start = len(header)
    if array.stype != "numpy.ndarray" or len(data) != start + size or bytes(data[:start]) != header:
        raise ArrayError(
            f"the bytes of the array '{shown(name, 60)}' are not those of {dtype} of shape "
            f"{shown(shape, 60)}"
        )
    flat = np.frombuffer(data, dtype=_DTYPES[dtype], offset=start)
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError):  # no byte, and numbers beyond those of this machine
        raise ArrayError(
            f"the array '{shown(name, 60)}' has no shape: {shown(shape, 60)}"
        ) from None


@lru_cache(maxsize=1024)
def _header(dtype: str, shape: tuple[int, ...]) -> tuple[bytes, int]:
    """Return the header that numpy writes before an array, and the size of the rest in bytes."""
    header = BytesIO()
    told = {"descr": _DTYPES[dtype].str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, told)
    return header.getvalue(), math.prod(shape) * _DTYPES[dtype].itemsize


Part = tuple[str, str, str, tuple[int, ...], bytes]
"""An array of a record: name, type, kind, shape and bytes; it can be looked up by."""


def parts_of(record: ArrayRecord) -> tuple[Part, ...]:
    """Return the arrays of a record; :func:`record_of` undoes it."""
    return tuple(
        (name, array.dtype, array.stype, tuple(array.shape), bytes(array.data))
        for name, array in record.items()
    )


def record_of(parts: Iterable[Part]) -> ArrayRecord:
    """Return the record of some arrays."""
    return _record(
        {
            name: _bare(Array, dtype=dtype, shape=shape, stype=stype, data=data)
            for name, dtype, stype, shape, data in parts
        }
    )


def payload_bytes(record: ArrayRecord) -> int:
    """Size of the arrays as they travel, in bytes."""
    return sum(len(array.data) for array in record.values())
