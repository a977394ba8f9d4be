"""The generated references, and the site as it is built (slow)."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml

import make_site
from commands_page import PIPELINES
from kedro_project import PROJECT
from ms_pfl.parameters import Parameters
from parameters_page import parameters_page
from site_markdown import for_the_site
from yaml_comments import comments_by_key, first_comment

BASE = PROJECT / "conf" / "base"


def test_comments_of_a_file_by_hand() -> None:
    text = """# Of the file.

# Of a,
# in two lines.
a:   # and beside it
  b: 1     # of b
  # of c
  c: {d: "x # y", e: 2}   # and beside it
  f:
    - {g: 1}
h: null
"""
    assert comments_by_key(text) == {
        "a": "Of a, in two lines. and beside it",
        "a.b": "of b",
        "a.c": "of c and beside it",
    }


def test_lists_and_tables_as_the_generator_reads_them_by_hand() -> None:
    page = "A:\n* b\n  c\n* d\n\nE\n| f |\n|---|\n\n1. g\n   ```text\n   h\n   ```\n2. i\n\nj\n"
    assert for_the_site(page) == (
        "A:\n\n* b\n    c\n* d\n\nE\n\n| f |\n|---|\n\n"
        "1. g\n    ```text\n    h\n    ```\n2. i\n\nj\n"
    )


def test_the_first_comment_of_a_script_is_without_the_shebang() -> None:
    assert first_comment("#!/bin/sh\n# One.\n#   two\nset -e\n# three\n") == ["One.", "two"]


def test_every_parameter_of_the_configuration_is_on_the_page() -> None:
    page = parameters_page(BASE)
    named = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    sections = set(re.findall(r"^#+ `([\w.]+)`$", page, re.MULTILINE))

    def leaves(value: object, name: str) -> set[str]:
        if isinstance(value, dict) and (not name or name in sections):
            return {
                leaf
                for key, one in value.items()
                for leaf in leaves(one, f"{name}.{key}".lstrip("."))
            }
        return {name}

    given: dict[str, object] = {}
    for path in BASE.glob("parameters*.yml"):
        given |= yaml.safe_load(path.read_text(encoding="utf-8"))
    assert leaves(given, "") - named - sections == set()
    assert {name.split(".")[0] for name in named | sections} == set(Parameters.model_fields)


def test_values_default_and_meaning_of_a_parameter_by_hand() -> None:
    page = parameters_page(BASE)
    row = "| `cohort.minimum_age_years` | integer ≥ 0, ≤ 120 | `18` | age at t0, where the birth is"
    assert row in page
    assert "| `ray.num_workers` | integer or `auto` | `auto` | " in page
    assert "| `training.protocol.split_unit` | `patient`, `episode` | `patient` | " in page
    assert "| `registry_folder` | text or `null` | `null` | " in page


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return make_site.generated_pages()


def test_every_dataset_of_the_catalog_is_on_its_page(pages: dict[str, str]) -> None:
    catalog = yaml.safe_load((BASE / "catalog.yml").read_text(encoding="utf-8"))
    named = re.findall(r"^\| `([^`]+)` \|", pages["datasets.md"], re.MULTILINE)
    assert sorted(named) == sorted(catalog)
    row = "| `splits` | `data/05_model_input/splits.parquet` | `cohort.split_patients` | one row is"
    assert row in pages["datasets.md"]


def test_pipelines_environments_and_targets_are_on_the_page_of_commands(
    pages: dict[str, str],
) -> None:
    page = pages["commands.md"]
    for command in (
        *(f"kedro run --pipeline={name}" for name in PIPELINES), "--env=smoke", "--env=heart",
        "make docs",
        "python -m ms_pfl site approve", "python benchmarks/results.py", "deploy/start_site.sh",
        "python -m ms_pfl.registry.importers.msoutcomes",
    ):  # fmt: skip
        assert f"| `{command}` | " in page


_NOT_LOADED = ("canonical", "prev", "next")


class _Page(HTMLParser):
    """The ids of a page, what it links to, and what a browser loads with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for key in ("id", "name") if (value := given.get(key))}
        if tag == "a" and (target := given.get("href")):
            self.links.append(target)
        for key in ("src", "href"):
            is_loaded = tag in ("script", "link", "img", "iframe")
            if is_loaded and given.get("rel") not in _NOT_LOADED and (target := given.get(key)):
                self.loaded.append(target)


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_every_link_works(tmp_path: Path) -> None:
    done = make_site.build(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout
    folder = tmp_path / "docs"
    found = {path: _Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    assert {path.name for path in found} >= {"index.html", "parameters.html", "glossary.html"}
    for path, page in found.items():
        text = re.sub(r"<pre.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        paragraphs = re.findall(r"<p>(.*?)</p>", text, re.DOTALL)
        unread = re.compile(r"^ *([*-]|\d+\.|\|) |^ *```", re.MULTILINE)
        assert [one for one in paragraphs if unread.search(one)] == [], path.name
        for target in page.loaded:
            where = f"{path.name}: {target}"
            assert urlparse(target).scheme in ("", "data"), where
        for target in [*page.links, *page.loaded]:
            parts = urlparse(target)
            is_elsewhere = parts.scheme or parts.netloc
            if is_elsewhere or path.name == "404.html":  # which any address may show
                continue
            where = f"{path.name}: {target}"
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), where
            if parts.fragment and file in found:
                assert unquote(parts.fragment) in found[file].ids, where
