"""The pages of docs/ and the README: their place on the site, their beginning, their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import markdown
import pytest
import yaml

from kedro_project import PROJECT
from ms_pfl.paradigms import PARADIGMS
from shown_commands import pages

DOCS = PROJECT / "docs"
GENERATED = {"commands.md", "parameters.md", "datasets.md"}
KINDS = ["Home", "Tutorial", "How-to guides", "Reference", "Explanation"]


def settings() -> dict[str, Any]:
    """What mkdocs.yml says."""
    read: dict[str, Any] = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
    return read


def in_navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for target in entry.values():
            yield from in_navigation(target) if isinstance(target, list) else [target]


def test_every_page_has_one_place_in_the_navigation() -> None:
    placed = list(in_navigation(settings()["nav"]))
    assert len(placed) == len(set(placed))
    assert set(placed) == {path.name for path in DOCS.glob("*.md")} | GENERATED
    assert [kind for entry in settings()["nav"] for kind in entry] == KINDS


def test_the_index_leads_to_every_page() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"index.md"}


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_a_page_begins_with_its_title_and_a_sentence_on_what_it_is_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"# \S.*", lines[0])
    assert lines[1] == ""
    assert re.match(r"[`*\[]*[A-Z]", lines[2]), lines[2]
    assert not any(line.startswith("# ") for line in outside_of_code("\n".join(lines[1:])))


def outside_of_code(text: str) -> list[str]:
    return re.sub(r"^ *(```+).*?^ *\1", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()


def test_the_readme_fits_on_a_few_screens() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120


def test_the_glossary_has_the_paradigms() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    for paradigm in PARADIGMS.values():
        if paradigm.family == "study":
            assert paradigm.label.lower() in text.lower()


@cache
def anchors(path: Path) -> set[str]:
    """The ids of the headings of a page, as the site makes them."""
    page = markdown.markdown(
        path.read_text(encoding="utf-8"), extensions=["toc", "fenced_code", "tables"]
    )
    return set(re.findall(r'<h\d id="([^"]+)"', page))


def links(path: Path) -> list[str]:
    text = "\n".join(outside_of_code(path.read_text(encoding="utf-8")))
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_every_link_and_anchor_leads_somewhere(path: Path) -> None:
    for link in links(path):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = path if not file else (path.parent / file).resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
        if path.parent == DOCS:  # the site has nothing from elsewhere
            assert target.is_relative_to(DOCS), link
