"""Text from elsewhere: one printable line of bounded length, whatever it holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.text import shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Côte d'Ivoire", "Côte d'Ivoire"),
        ("Peru\n2026-01-01 the run has ended well", r"Peru\n2026-01-01 the run has ended well"),
        ("\x1b[2J\x9b31m", r"\x1b[2J\x9b31m"),
        ("a\u202eb\u2028c\ud800", r"a\u202eb\u2028c\ud800"),
        (ValueError("a\rb"), r"a\rb"),
        ("x" * 200, "x" * 200),
        ("x" * 460_000, "x" * 199 + "…"),
        ("\n" * 101, r"\n" * 99 + "…"),
    ],
)
def test_text_is_one_printable_line(text: object, wanted: str) -> None:
    assert shown(text) == wanted


@given(text=st.text(st.characters(exclude_categories=()), max_size=300), most=st.integers(1, 250))
def test_whatever_a_text_holds_it_prints_and_is_no_longer_than_asked(text: str, most: int) -> None:
    found = shown(text, most)
    assert len(found) <= most
    assert found.isprintable()
    found.encode()  # no lone surrogate
    if text.isprintable() and len(text) <= most:
        assert found == text
