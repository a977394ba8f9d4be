"""The one door to Flower: its environment, its names, its private task identity, and its records.

Every other module imports Flower's classes from here, so that the environment variables are set
before Flower is imported, wherever the first import happens (main process or Ray worker).
"""

import logging
import math
import os
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

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

__all__ = [
    "ENVIRONMENT",
    "Array",
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
    "Grid",
    "Message",
    "MetricRecord",
    "Mod",
    "RecordDict",
    "Run",
    "ServerApp",
    "Strategy",
    "name_message",
    "name_sender",
    "payload_bytes",
    "take_identity",
    "to_arrays",
    "to_record",
    "traveling",
    "views",
]

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


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """An ArrayRecord of named arrays."""
    return _record({name: Array(np.asarray(array)) for name, array in arrays.items()})


def _record(arrays: Mapping[str, Array]) -> ArrayRecord:
    record = ArrayRecord()  # made from a dictionary it would copy each Array
    record.update(arrays)
    return record


def to_arrays(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The named arrays of an ArrayRecord."""
    return {name: view.copy() for name, view in views(record).items()}


def views(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The same, read-only and without a copy."""
    return {name: _view(array) for name, array in record.items()}


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
    if array.stype != "numpy.ndarray" or b"'fortran_order': False" not in bytes(array.data[:start]):
        return Array.numpy(array)
    flat = np.frombuffer(array.data, dtype=dtype, count=size, offset=start)
    return flat.reshape(array.shape)


def payload_bytes(record: ArrayRecord) -> int:
    """Size of the arrays as they travel, in bytes."""
    return sum(len(array.data) for array in record.values())
