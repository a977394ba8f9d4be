"""Arrays survive the way into Flower's records and back."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from flwr.supercore.inflatable.inflatable_object import add_header_to_object_body
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.federation.flower import (
    UNREADABLE,
    Array,
    ArrayError,
    ArrayRecord,
    ConfigRecord,
    MetricRecord,
    forms_of,
    payload_bytes,
    received,
    to_arrays,
    to_record,
    traveling,
    views,
)

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
        np.array([1, 2**64 - 1], dtype=np.uint64),
        np.array([-1, 2**62], dtype=np.int64),
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


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint64", "int64", ">f4", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7,), (3, 4), (1, 42), (2, 3, 4)])
def test_bytes_and_fields_are_those_that_flower_writes(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for laid_out in (array, np.asfortranarray(array), array.T):
        written = to_record({"a": laid_out})["a"]
        expected = Array(np.asarray(laid_out, order="C"))
        for name in ("dtype", "shape", "stype", "data"):
            found, wanted = getattr(written, name), getattr(expected, name)
            assert (type(found), found) == (type(wanted), wanted)
        assert written.object_id == expected.object_id
        np.testing.assert_array_equal(written.numpy(), laid_out, strict=True)


def changed(array: np.ndarray, **fields: object) -> ArrayRecord:
    """A record of an array with some of its fields replaced."""
    record = to_record({"a": array})
    held = Array(np.zeros(0))
    held.__dict__.update({**record["a"].__dict__, **fields})
    record["a"] = held
    return record


BYTES = to_record({"a": BLOCK})["a"].data
FORTRAN = Array(np.asfortranarray(BLOCK)).data
BIG_ENDIAN = Array(BLOCK.astype(">f4")).data


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"data": BYTES[:-4]}, "the bytes of the array 'a' are not those of float32 of shape (3, "),
        ({"data": BYTES + b"\0"}, "the bytes of the array 'a'"),
        ({"data": BYTES[128:]}, "the bytes of the array 'a'"),
        ({"data": b"\x93NUMPY\x02" + BYTES[7:]}, "the bytes of the array 'a'"),
        ({"data": BYTES.replace(b"False", b"True ")}, "the bytes of the array 'a'"),
        ({"data": FORTRAN}, "the bytes of the array 'a'"),
        ({"data": BIG_ENDIAN}, "the bytes of the array 'a'"),
        ({"data": b""}, "the bytes of the array 'a'"),
        ({"shape": (12,)}, "the bytes of the array 'a' are not those of float32 of shape (12,)"),
        ({"shape": (1, 3, 4)}, "the bytes of the array 'a'"),
        ({"shape": (-3, -4)}, "the array 'a' has no shape: (-3, -4)"),
        ({"shape": (3.0, 4)}, "the array 'a' has no shape: (3.0, 4)"),
        ({"shape": (True,)}, "the array 'a' has no shape: (True,)"),
        ({"shape": (1,) * 40}, "the array 'a' has no shape: (1, 1,"),
        (
            {"dtype": "uint32"},
            "the array 'a' is of type uint32; there are: float32, float64, int",
        ),
        ({"dtype": "object"}, "the array 'a' is of type object"),
        ({"dtype": "float64"}, "the bytes of the array 'a' are not those of float64"),
        ({"stype": "pickle\n"}, r"the array 'a' is of type pickle\n"),
    ],
)
def test_bytes_that_are_not_those_of_type_and_shape_are_refused(
    fields: dict[str, object], told: str
) -> None:
    for read in (views, to_arrays):
        with pytest.raises(ArrayError) as error:
            read(changed(BLOCK, **fields))
        assert str(error.value).startswith(told)
        assert str(error.value).isprintable()


def test_an_empty_array_of_a_shape_that_no_machine_has_is_refused() -> None:
    from ms_pfl.federation.flower import _header

    shape = (0, 2**62, 2**62)
    data = _header("float32", shape)[0]
    with pytest.raises(ArrayError, match=r"the array 'a' has no shape: \(0, 46"):
        views(changed(BLOCK, shape=shape, data=data))


@given(data=st.data())
def test_a_random_change_of_the_bytes_is_refused_or_one_of_the_numbers(data: st.DataObject) -> None:
    """Whatever is cut, added or replaced: the header cannot change, nor the number of bytes."""
    place = data.draw(st.integers(0, len(BYTES) - 1))
    found = bytearray(BYTES)
    match data.draw(st.sampled_from(["replace", "cut", "add", "end"])):
        case "replace":
            found[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del found[place : place + data.draw(st.integers(1, 200))]
        case "add":
            found[place:place] = data.draw(st.binary(min_size=1, max_size=200))
        case "end":
            found += data.draw(st.binary(min_size=1, max_size=200))
    record = changed(BLOCK, data=bytes(found))
    if len(found) == len(BYTES) and place >= 128:
        assert views(record)["a"].tobytes() == bytes(found[128:])
    else:
        with pytest.raises(ArrayError):
            views(record)


def test_what_is_received_has_the_names_types_and_shapes_that_are_expected() -> None:
    expected = forms_of({"b": np.zeros(2), "a": BLOCK})
    good = to_record({"a": BLOCK, "b": np.ones(2)})
    assert list(received(good, expected)) == ["b", "a"]
    for arrays, told in (
        ({"a": BLOCK}, "the array 'b' is missing"),
        ({"a": BLOCK, "b": np.ones(2), "c\n": BLOCK}, r"the array 'c\n' is not expected"),
        ({"a": BLOCK, "b": np.ones(1)}, r"the array 'b' is float64 of shape (1,), and has to be "),
        ({"a": BLOCK, "b": np.ones((2, 1))}, "the array 'b' is float64 of shape (2, 1), and has"),
        ({"a": BLOCK, "b": np.ones(2, np.float32)}, "the array 'b' is float32 of shape (2,), and"),
        ({"a": BLOCK, "b": np.array([1, np.nan])}, "the array 'b' holds a number that is not fin"),
        ({"a": BLOCK + np.inf, "b": np.ones(2)}, "the array 'a' holds a number that is not fin"),
    ):
        with pytest.raises(ArrayError) as error:
            received(to_record(arrays), expected)
        assert str(error.value).startswith(told)
    nan = to_record({"a": BLOCK, "b": np.array([1, np.nan])})
    assert np.isnan(received(nan, expected, finite=False)["b"][1])


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


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (MetricRecord, b"\xff\xff\xff"), (ConfigRecord, b"\x0a\xff"), (Array, b"[" * 100_000),
        (Array, b'{"shape": null, "arraychunk_ids": [0]}'), (Array, b'{"a":' + b"9" * 5000 + b"}"),
        (Array, b"\xff"), (Array, b"{}"),
    ],
)  # fmt: skip
def test_bytes_that_flower_makes_no_record_of(kind: type, body: bytes) -> None:
    own = Array("float32", (1,), "numpy.ndarray", b"1234") if kind is Array else kind()
    told = add_header_to_object_body(object_body=body, obj=own)
    with pytest.raises(UNREADABLE):
        kind.inflate(told, own.children or {})  # type: ignore[attr-defined]
