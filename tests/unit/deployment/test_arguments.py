"""Ports and KEY=VALUE of the start scripts."""

from __future__ import annotations

import pytest

from ms_pfl.deployment.arguments import key_values, port_number, whole_number
from ms_pfl.errors import InputError


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "1.0", " 1", "1_0", "x", "\u0663", "9" * 5000]
)
def test_what_is_no_whole_number_above_0(text: str) -> None:
    with pytest.raises(ValueError, match="no whole number above 0"):
        whole_number(text)


def test_a_port() -> None:
    assert port_number("65535", "PORT must be a number") == 65535
    for text in ("65536", "0", "x", "9" * 5000):
        with pytest.raises(InputError, match=r"^PORT must be a number, not '") as error:
            port_number(text, "PORT must be a number")
        assert len(str(error.value)) < 300


def test_settings_are_read_by_their_key() -> None:
    found = key_values(["b=2", "a=1"], ("a", "b"), whole_number, "start.sh", "NUMBER")
    assert found == {"a": 1, "b": 2}
    assert key_values(["a=x=y"], ("a", "b"), str, "start.sh") == {"a": "x=y"}


@pytest.mark.parametrize(
    "argument", ["a", "c=1", "=1", "A=1", "a=0", "a=" + "9" * 5000, "a=\x1b[2J"]
)
def test_another_argument_is_refused_in_one_line(argument: str) -> None:
    told = r"^start\.sh: '.* must be KEY=NUMBER with one of the keys a, b$"
    with pytest.raises(InputError, match=told) as error:
        key_values([argument], ("a", "b"), whole_number, "start.sh", "NUMBER")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_a_key_stands_there_once() -> None:
    with pytest.raises(InputError, match=r"^start\.sh: a is given twice"):
        key_values(["a=1", "b=1", "a=2"], ("a", "b"), whole_number, "start.sh")
