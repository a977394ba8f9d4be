"""Phrases that the documentation does not use, because the field has words for what they mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shown_commands import pages

#: Phrase -> what to write.
PHRASES = {
    r"an? row an? (patient|visit|episode|seed|fit|country|cell)": "one row per ...",
    r"kB up a|MB in all, a seed|a country and round": "kB sent per country and round; MB in total",
    r"(is|are) (not )?told apart from": "no statistically significant difference from",
    r"taken? at (their|its) word": "calibration",
    r"acting on it do good": "decision curve analysis (net benefit)",
    r"is it good everywhere": "performance across countries (fairness)",
    r"what the models look at": "feature importance",
    r"what travelled": "communication",
    r"from the registry to labelled episodes": "participant flow",
    r"how sure": "uncertainty",
    r"of one's own": "custom; your own",
    r"a person can mend": "an error that the user can fix",
    r"what trainings came to": "partial results of an unfinished run",
    r"the rounds judge|ha(s|ve) no vote|no vote in": "rounds are selected by; do not contribute",
    r"wicked server": "malicious server",
    r"all do what they say|the last word": "(delete, or name the thing)",
}
#: What is checked; further files are held to the same words by adding them here.
FILES: list[Path] = pages()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_phrase_of_the_list(path: Path) -> None:
    text = " ".join(path.read_text(encoding="utf-8").split())
    found = {
        match[0]: f"write: {better}"
        for phrase, better in PHRASES.items()
        for match in re.finditer(rf"\b(?:{phrase})", text, re.IGNORECASE)
    }
    assert found == {}


def test_the_list_finds_each_of_its_phrases() -> None:
    for text in (
        "a row a patient", "kB up a country and round", "is not told apart from", "at their word",
        "Would acting on it do good?", "how sure", "tables of one's own", "have no vote",
    ):  # fmt: skip
        line = f"be taken {text}" if text.startswith("at ") else text
        assert any(re.search(phrase, line, re.IGNORECASE) for phrase in PHRASES), text
