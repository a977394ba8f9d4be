"""How numbers and sites are written."""

from __future__ import annotations

import math

import pytest

from ms_pfl.reporting.words import format_value, site_words


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (0.81234, 0.00251, "0.812 ± 0.003"),
        (0.81234, math.nan, "0.812"),
        (math.nan, math.nan, "–"),
        (1.0, 0.0, "1.000 ± 0.000"),
    ],
)
def test_cells(mean: float, sd: float, text: str) -> None:
    assert format_value(mean, sd) == text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, ("country", "countries")),
        ({"site": "hospital"}, ("hospital", "hospitals")),
        ({"site": "bay"}, ("bay", "bays")),
        ({"site": "practice"}, ("practice", "practices")),
        ({"site": "branch"}, ("branch", "branches")),
        ({"site": "MS center"}, ("MS center", "MS centers")),
    ],
)
def test_one_and_several(source: dict[str, str], words: tuple[str, str]) -> None:
    assert site_words(source) == words
