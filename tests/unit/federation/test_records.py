"""Arrays survive the way into Flower's records and back."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ms_pfl.federation.flower import Array, payload_bytes, to_arrays, to_record, traveling, views

BLOCK = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "array",
    [
        BLOCK,
        np.asfortranarray(BLOCK),
        BLOCK.T,
        BLOCK[:, ::2],
        np.float64(1.5) * np.ones(()),
        np.empty((0, 3), np.float32),
        np.array([np.nan, np.inf, -0.0]),
        np.array([1, -2], dtype=np.int64),
    ],
)
def test_arrays_come_back_as_they_were(array: np.ndarray) -> None:
    record = to_record({"a": array})
    back = to_arrays(record)["a"]
    np.testing.assert_array_equal(back, array, strict=True)
    np.testing.assert_array_equal(back, record["a"].numpy(), strict=True)
    assert back.flags.writeable
    view = views(record)["a"]
    np.testing.assert_array_equal(view, array, strict=True)


def test_the_payload_is_counted_with_its_header() -> None:
    assert payload_bytes(to_record({"a": BLOCK, "b": BLOCK})) == 2 * (128 + 48)


def test_a_traveling_record_arrives_as_an_ordinary_one() -> None:
    """With its bytes beside the pickle, as Ray asks for, and inside it."""
    arrays = {"w": np.arange(5, dtype=np.float32), "b": np.array([[1.5]])}
    record = to_record(arrays)
    beside: list[pickle.PickleBuffer] = []
    packed = pickle.dumps(traveling(record), protocol=5, buffer_callback=beside.append)
    assert len(beside) == 2
    assert all(array.tobytes() not in packed for array in arrays.values())
    for arrived in (pickle.loads(packed, buffers=beside), pickle.loads(pickle.dumps(record))):
        assert list(arrived) == list(arrays)
        for name, array in arrived.items():
            assert type(array) is Array
            assert array == record[name]
            np.testing.assert_array_equal(array.numpy(), arrays[name])
