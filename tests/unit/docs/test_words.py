"""Phrases that docs, code and tests do not use, because the field has words for what they mean."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kedro_project import PROJECT
from shown_commands import pages

_THING = r"(row|column|panel|line|point|folder|file|intercept|process|message)"
_OF = (
    r"(patient|visit|episode|seed|fit|country|cell|model|level|round|paradigm|strategy|site|node|"
    r"client|learner|metric|stage|variant|hospital|\{site\})"
)
#: Phrase -> what to write.
PHRASES = {
    rf"{_THING} an? {_OF}\b": "one row per ...",
    rf"(kB|MB|GB|seconds) (up |down )?an? {_OF}\b|MB in all": "kB sent per ...; in total",
    r"(told|tells?) (\w+ )?apart": "distinguish; no statistically significant difference from",
    r"taken? at (their|its) word": "calibration",
    r"acting on it do good": "decision curve analysis (net benefit)",
    r"is it good everywhere": "performance across countries (fairness)",
    r"what the models look at": "feature importance",
    r"what travelled": "communication",
    r"from the registry to labelled episodes": "participant flow",
    r"how sure": "uncertainty",
    r"one's own": "custom; your own",
    r"a person can mend|mend(s|ed)?\b": "an error that the user can fix",
    r"what (trainings|a training|it|they) (came|come|has come|have come) to": "partial results",
    r"the rounds judge|ha(s|ve) no vote|no vote in": "rounds are selected by; do not contribute",
    r"wicked server": "malicious server",
    r"all do what they say|the last word": "(delete, or name the thing)",
    r"(?<![`.])anew\b(?![`:=])": "again",  # but for the setting of this name
}
#: Where the pages have readers, sources have them too.
SOURCES = (
    "src/**/*.py", "src/**/*.j2", "src/**/*.js", "conf/**/*.yml", "notebooks/*.ipynb",
    "deploy/**/*.py", "benchmarks/**/*.py", "docs/**/*.py", "tests/**/*.py", "Makefile",
)  # fmt: skip


def words_of(path: Path) -> str:
    """Return the text of a file on one line; of a notebook that of its cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    # what continues a comment, or a text of several literals
    text = re.sub(r"\n\s*#+:? ", "\n", text)
    text = re.sub(r"\"\s*\n\s*[rf]{0,2}\"", "", text)
    return " ".join(text.split())


def found_in(text: str) -> dict[str, str]:
    return {
        match[0]: f"write: {better}"
        for phrase, better in PHRASES.items()
        for match in re.finditer(rf"\b(?:{phrase})", text, re.IGNORECASE)
    }


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_no_phrase_of_the_list(path: Path) -> None:
    assert found_in(words_of(path)) == {}


@pytest.mark.parametrize("pattern", SOURCES)
def test_no_phrase_of_the_list_in_sources(pattern: str) -> None:
    paths = [path for path in sorted(PROJECT.glob(pattern)) if path != Path(__file__)]
    assert paths
    found = {str(path.relative_to(PROJECT)): found_in(words_of(path)) for path in paths}
    assert {path: words for path, words in found.items() if words} == {}


def test_the_list_finds_each_of_its_phrases() -> None:
    for text in (
        "a row a patient", "kB up a country and round", "is not told apart from", "at their word",
        "Would acting on it do good?", "how sure", "tables of one's own", "have no vote",
        "export the table anew", "what a person can mend", "what it came to",
    ):  # fmt: skip
        line = f"be taken {text}" if text.startswith("at ") else text
        assert found_in(line), text


def test_a_phrase_over_several_lines_is_found(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text('x = (\n    "a row "\n    f"a patient"\n)\n# how\n# sure\n', encoding="utf-8")
    assert set(found_in(words_of(path))) == {"row a patient", "how sure"}
