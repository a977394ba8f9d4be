"""The normal form of names, and which names are near each other."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.names import (
    folded,
    groups_of_near,
    listed,
    near,
    near_names,
    normal,
    normal_cells,
    what_differs,
)
from name_examples import NAMES

# letters, blanks of all kinds, marks that compose, and characters that draw nothing
ODD = st.text(
    st.sampled_from("aZ7ée\u0301u\u0308Ç \u00a0\u2009\u202f\u3000\t\n\u2028\u200b\ufeff\u00ad\u200d"
                    "\u200e\u2060ﬁ中\u0627😀\u0130ı’–"), max_size=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("Tu\u0308rkiye", "Türkiye"),
        ("Czech\u00a0Republic", "Czech Republic"),
        ("A\u2009\u202f B\tC\u2028D", "A B C D"),
        ("\ufeffSpain\u200b", "Spain"),
        ("Sp\u00adain", "Spain"),
        ("\u200fالعربية\u200f", "العربية"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that decides how letters are drawn
        ("👩\u200d⚕️", "👩\u200d⚕️"),
        ("ﬁn ２", "ﬁn ２"),  # other letters, not another form of the same
    ],
)
def test_normal_by_hand(given_text: str, expected: str) -> None:
    assert normal(given_text) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_looks_like_something_else_is_its_own_normal_form(name: str) -> None:
    assert normal(name) == name


@given(ODD)
def test_a_normal_form_is_its_own(text: str) -> None:
    once = normal(text)
    assert normal(once) == once
    assert once == once.strip()
    assert unicodedata.is_normalized("NFC", once)
    assert "  " not in once
    assert normal(unicodedata.normalize("NFD", text)) == once


@given(ODD, ODD)
def test_names_with_one_normal_form_are_near_and_fold_alike(one: str, other: str) -> None:
    if normal(one) == normal(other):
        assert near(one) == near(other)
        assert folded(one) == folded(other)
    if folded(one) == folded(other):
        assert near(one) == near(other)


@given(st.lists(ODD | st.sampled_from(NAMES) | st.none()))
def test_cells_are_read_as_single_names_are(texts: list[str | None]) -> None:
    cells = pd.Series(texts, dtype="str", index=range(3, 3 + len(texts)))
    expected = pd.Series(
        [None if text is None else normal(text) for text in texts], dtype="str", index=cells.index
    )
    pd.testing.assert_series_equal(normal_cells(cells), expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Spain", "SPAIN"),
        ("Türkiye", "Turkiye"),
        ("TÜRKİYE", "Türkiye"),
        ("Kıbrıs", "Kibris"),
        ("Côte d’Ivoire", "Cote d'Ivoire"),
        ("Bosnia–Herzegovina", "Bosnia - Herzegovina"),
        ("South\u00a0Korea", "SouthKorea"),
        ("København", "Kobenhavn"),
        ("Site\u200d 1", "site1"),
        ("ﬁn２", "fin2"),
        ("Bosnia-Herzegovina", "Bosnia Herzegovina"),
        ("Færøerne", "Faeroerne"),
        ("ایران", "ايران"),  # the Persian and the Arabic yeh
        ("Itаly", "Italy"),  # a Cyrillic а
    ],
)
def test_near_by_hand(one: str, other: str) -> None:
    assert near(one) == near(other)
    assert near_names(one, [other, one, "Peru"]) == [other]


def test_names_that_differ_in_a_letter_are_not_near() -> None:
    assert near_names("Iran", ["Iraq", "Ireland"]) == []
    assert near_names("हिन्दी", ["हन्द"]) == [], "vowel signs are letters"
    assert groups_of_near(NAMES) == []
    assert groups_of_near(["b", "B", "a", "b"]) == [["B", "b"]]


def test_hyphens_between_letters_alone_do_not_count() -> None:
    assert groups_of_near(["-5", "5", "1-2", "12", "A-", "A", "B-1", "B1"]) == []


def test_letters_are_composed_again_where_case_is_left_out() -> None:
    assert folded("\u017f\u0301") == folded("\u015b")


def test_what_differs() -> None:
    assert what_differs("A\u200bB\u00a0C") == "invisible characters and blanks"
    assert what_differs("e\u0301") == "letters composed"
    assert what_differs("x\u200e") == "invisible characters"


def test_a_list_of_names_with_commas_can_be_read() -> None:
    assert listed(["a b", "Korea, Republic of", "x"]) == 'a b, "Korea, Republic of", x'
    assert listed(["a; b", "c"]) == '"a; b", c'
