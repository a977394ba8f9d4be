"""Fixed-point numbers: Python's integers tell what words have to hold."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.errors import InputError
from ms_pfl.federation.fixed_point import MODEL, ROWS, FixedPoint, add, exact_sum

FORMATS = pytest.mark.parametrize("form", [MODEL, ROWS], ids=["model", "rows"])


def as_integer(words: np.ndarray) -> int:
    """The signed integer that the words of one number hold."""
    value = sum(int(word) << (64 * k) for k, word in enumerate(words))
    bits = 64 * len(words)
    return value - (1 << bits) if value >> (bits - 1) else value


def rounded(value: float, form: FixedPoint) -> int:
    """The integer that stands for a number, by exact fractions."""
    return round(Fraction(value) * 2**form.fraction)


@FORMATS
@pytest.mark.parametrize(
    ("value", "sign"), [(0.0, 0), (1.0, 1), (-1.0, -1), (0.5, 1), (-3.25, -1), (1e6, 1), (-1e6, -1)]
)
def test_a_number_is_its_multiple_of_the_unit(form: FixedPoint, value: float, sign: int) -> None:
    held = as_integer(form.encode(np.array(value), 3))
    assert held == int(value * 2**form.fraction)
    assert np.sign(held) == sign


def test_halves_of_a_unit_go_to_the_even_one() -> None:
    half = 2.0**-33
    values = np.array([half, 3 * half, -half, -3 * half, 2 * half])
    assert [as_integer(MODEL.encode(v, 1)) for v in values] == [0, 2, 0, -2, 1]


def test_numbers_lie_in_one_or_two_words_beside_each_other() -> None:
    values = np.array([[1.0, -1.0, 0.0], [2.0, 0.5, -0.5]])
    assert MODEL.encode(values, 1).shape == (1, 2, 3)
    words = ROWS.encode(values, 1)
    assert words.shape == (2, 2, 3)
    assert words.dtype == np.uint64
    assert words[:, 0, 0].tolist() == [0, 1]
    assert words[:, 0, 1].tolist() == [0, 2**64 - 1]
    assert words[:, 1, 2].tolist() == [2**63, 2**64 - 1]


@FORMATS
@given(data=st.data())
def test_words_hold_what_exact_fractions_say(form: FixedPoint, data: st.DataObject) -> None:
    bound = form.limit(4)
    finite = st.floats(-bound, bound, exclude_min=True, exclude_max=True)
    value = data.draw(finite)
    words = form.encode(np.array([value]), 4)
    assert as_integer(words[:, 0]) == rounded(value, form)
    held = Fraction(as_integer(words[:, 0]), 2**form.fraction)
    assert form.decode(words)[0] == pytest.approx(float(held), rel=2**-52, abs=0)


@FORMATS
@given(data=st.data())
def test_a_total_is_exact_whatever_the_order(form: FixedPoint, data: st.DataObject) -> None:
    sites = data.draw(st.integers(1, 7))
    bound = form.limit(sites)
    numbers = st.floats(-bound, bound, exclude_min=True, exclude_max=True) | st.floats(-2, 2)
    values = data.draw(st.lists(numbers, min_size=sites, max_size=sites))
    order = data.draw(st.permutations(values))
    total = add(form.encode(np.array([value]), sites) for value in values)
    again = add(form.encode(np.array([value]), sites) for value in order)
    assert total.tobytes() == again.tobytes()
    assert as_integer(total[:, 0]) == sum(rounded(value, form) for value in values)


def test_a_carry_goes_to_the_upper_word() -> None:
    unit = 2.0**-64
    total = add(ROWS.encode(np.array(value), 3) for value in (0.5, 0.5, unit))
    assert total.tolist() == [1, 1]
    assert ROWS.decode(total) == 1.0
    back = add([total, ROWS.encode(np.array(-1.0), 3), ROWS.encode(np.array(-unit), 3)])
    assert back.tolist() == [0, 0]


def test_the_parts_of_a_total_stay_as_they_are() -> None:
    first = ROWS.encode(np.array(1.0), 2)
    add([first, first])
    assert ROWS.decode(first) == 1.0


def test_float32_weights_times_rows_come_back_as_the_mean() -> None:
    random = np.random.default_rng(5)
    rows = random.integers(1, 5_000, 32)
    weights = random.normal(0, 0.3, (32, 1000)).astype(np.float32)
    sent = [MODEL.encode(n * w.astype(np.float64), 32) for n, w in zip(rows, weights, strict=True)]
    mean = (MODEL.decode(add(sent)) / rows.sum()).astype(np.float32)
    exact = [
        float(sum(int(n) * Fraction(float(w)) for n, w in zip(rows, column, strict=True)))
        / int(rows.sum())
        for column in weights.T
    ]
    assert np.array_equal(mean, np.array(exact, dtype=np.float32))


@FORMATS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(form: FixedPoint, value: float) -> None:
    with pytest.raises(InputError, match=r"^-?(nan|inf) cannot be added up over 3 sites"):
        form.encode(np.array([1.0, value]), 3)


@FORMATS
@pytest.mark.parametrize("sites", [1, 3, 32, 1000, 4099])
def test_what_could_overflow_is_refused_and_what_just_fits_is_not(
    form: FixedPoint, sites: int
) -> None:
    limit = form.limit(sites)
    most = np.nextafter(limit, 0)
    for sign in (1, -1):
        parts = [form.encode(np.array([sign * most]), sites)] * sites
        assert form.decode(add(parts))[0] == pytest.approx(sign * most * sites, rel=1e-9)
        with pytest.raises(InputError, match=f"cannot be added up over {sites} sites"):
            form.encode(np.array([sign * limit]), sites)


@given(
    st.lists(
        st.floats(-1e12, 1e12) | st.floats(-1e-3, 1e-3) | st.floats(0, 1e-18), min_size=1,
        max_size=5,
    )
)  # fmt: skip
def test_an_exact_sum_is_that_of_the_words_rounded_once(values: list[float]) -> None:
    parts = [ROWS.encode(np.array(value), len(values)) for value in values]
    wanted = sum(rounded(value, ROWS) for value in values)
    assert exact_sum(values) == float(Fraction(wanted, 2**64))
    assert ROWS.exactly(add(parts)) == exact_sum(values)
    assert MODEL.exactly(MODEL.encode(np.array(-2.5), 1)) == -2.5
