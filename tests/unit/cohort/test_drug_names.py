"""The form in which names of drugs are compared."""

from __future__ import annotations

from ms_pfl.cohort.parameters import normalize


def test_normalize():
    assert normalize(" IFN-β  1a_(Avonex30)") == "ifn beta 1 a avonex 30"
