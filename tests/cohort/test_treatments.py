from __future__ import annotations

import logging

import pandas as pd
import pytest
from cohort_examples import parameters
from pydantic import ValidationError

from ms_pfl.cohort.parameters import TreatmentClasses
from ms_pfl.cohort.treatments import CLASSES, classify, normalize


def classes_of(*texts: str) -> list[str | None]:
    _, efficacy = classify(pd.Series(texts, dtype="str"), parameters().treatments)
    return [CLASSES[i] if i >= 0 else None for i in efficacy]


def test_names_are_found_whole_or_inside_a_text():
    assert classes_of(
        "natalizumab", " TYSABRI 300mg ", "Interferon Beta-1a", "rebif-44", "Alemtuzumab (Lemtrada)"
    ) == ["high", "high", "mild", "mild", "high_induction"]


def test_what_is_no_dmt_counts_as_none():
    assert classes_of("methylprednisolone", "placebo (fingolimod trial)") == [None, None]


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


def test_no_rows():
    drug, efficacy = classify(pd.Series([], dtype="str"), parameters().treatments)
    assert len(drug) == len(efficacy) == 0


def test_a_name_stands_in_one_class():
    with pytest.raises(ValidationError, match="'avonex' stands for both"):
        TreatmentClasses(
            mild=(("avonex",),), moderate=(("Avonex ",),), high=(), high_induction=(), none=()
        )


def test_normalize():
    assert normalize(" IFN-β  1a_(Avonex)") == "ifn β 1a avonex"
