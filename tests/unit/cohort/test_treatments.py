from __future__ import annotations

import logging

import pandas as pd
import pytest
from pydantic import ValidationError

from cohort_examples import parameters
from ms_pfl.cohort.parameters import TreatmentClasses
from ms_pfl.cohort.treatments import CLASSES, classify


def classes_of(*texts: str) -> list[str | None]:
    _, efficacy = classify(pd.Series(texts, dtype="str"), parameters().treatments)
    return [CLASSES[i] if i >= 0 else None for i in efficacy]


def test_names_are_found_whole_or_inside_a_text():
    assert classes_of(
        "natalizumab", " TYSABRI 300mg ", "Interferon Beta-1a", "rebif-44", "Alemtuzumab (Lemtrada)"
    ) == ["high", "high", "mild", "mild", "high_induction"]


def test_what_is_no_dmt_counts_as_none():
    assert classes_of("methylprednisolone", "placebo (fingolimod trial)") == [None, None]


@pytest.mark.parametrize(
    ("text", "efficacy"),
    [
        ("Tysabri (premed methylprednisolone 100 mg)", "high"),
        ("Interferon beta-1a (Avonex), no steroids", "mild"),
        ("no treatment (Avonex stopped)", "mild"),
        ("methylprednisolone pulse", None),
        ("Rebif44", "mild"),
        ("Copaxone40", "mild"),
        ("copaxone20mg/ml", "mild"),
        ("IFN-β-1a", "mild"),
        ("IFNβ1a", "mild"),
        ("IFN-ß-1a s.c.", "mild"),
        ("Interferonbeta-1a", "mild"),
        ("interferon beta1a", "mild"),
        ("dimethylfumarate", "moderate"),
        ("Dimethylfumarate 240mg", "moderate"),
        ("glatirameracetate", "mild"),
        ("BG-12", "moderate"),
        ("BG 123", None),
        ("alemtuzumabum", None),
    ],
)
def test_a_drug_is_found_beside_other_words_and_in_other_spellings(text, efficacy):
    assert classes_of(text) == [efficacy]


def test_beside_a_word_of_blinded_trials_a_drug_does_not_count_and_is_listed(caplog):
    with caplog.at_level(logging.WARNING):
        assert (
            classes_of(
                "Fingolimod after placebo",
                "blinded: Tysabri, Avonex",
                "placebo",
                "placebo, blinded",
            )
            == [None] * 4
        )
    assert caplog.messages == [
        "2 treatment names name a drug beside a word of the class trial and count as no "
        "disease-modifying treatment (cohort.treatments in the parameters): "
        "'Fingolimod after placebo', 'blinded: Tysabri, Avonex'"
    ]


def test_part_of_a_word_is_no_name():
    assert classes_of("unfingolimodish") == [None]


def test_aliases_are_one_drug():
    drug, _ = classify(
        pd.Series(["Avonex", "Rebif", "interferon beta-1a", "Copaxone"], dtype="str"),
        parameters().treatments,
    )
    assert drug[0] == drug[1] == drug[2] != drug[3]


def test_unknown_names_are_listed_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert classes_of("mystery drug", "mystery drug", "avonex") == [None, None, "mild"]
    assert caplog.messages == [
        "1 treatment names are in no class and count as no disease-modifying treatment "
        "(cohort.treatments in the parameters): 'mystery drug'"
    ]


def test_a_long_text_is_shortened_where_it_is_listed(caplog):
    with caplog.at_level(logging.WARNING):
        assert classes_of("x" * 100_000) == [None]
    assert caplog.messages[0].endswith(f": {'x' * 57 + '...'!r}")


def test_no_rows():
    drug, efficacy = classify(pd.Series([], dtype="str"), parameters().treatments)
    assert len(drug) == len(efficacy) == 0


def test_a_name_stands_in_one_class():
    with pytest.raises(ValidationError, match="'avonex' stands for both"):
        TreatmentClasses(
            mild=(("avonex",),),
            moderate=(("Avonex ",),),
            high=(),
            high_induction=(),
            none=(),
            trial=(),
        )
    with pytest.raises(ValidationError, match="'bg12' stands for both"):
        TreatmentClasses(
            mild=(("BG-12",),),
            moderate=(),
            high=(),
            high_induction=(),
            none=(),
            trial=(("bg 1 2",),),
        )


def test_an_unknown_name_that_looks_like_a_known_one_names_it(caplog):
    with caplog.at_level(logging.WARNING):
        assert classes_of("Avónex", "Tysa\u200bbri") == [None, "high"]
    assert caplog.messages[0].endswith(": 'Avónex' (looks like 'avonex')")


def test_two_forms_of_unicode_are_one_name():
    nothing = dict.fromkeys(("moderate", "high", "high_induction", "none", "trial"), ())
    named = TreatmentClasses(mild=(("interfe\u0301ron",),), **nothing)
    found = classify(pd.Series(["Interfe\u0301ron", "Interféron"], dtype="str"), named)
    assert found[0].tolist() == [0, 0]
