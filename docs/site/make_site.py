"""Build the documentation site: ``python docs/site/make_site.py [FOLDER]``.

The site goes to FOLDER/docs (FOLDER: build). Its pages are those of docs/ and the references, which
are generated here, so that they cannot go stale. A link that leads nowhere stops the build.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "docs" / "site"))
sys.path.insert(0, str(PROJECT / "src"))

BUILD = (sys.executable, "-m", "zensical", "build", "--strict", "--clean")
"""A page from the cache would not be warned of again: ``--clean``."""

SOURCES = "docs-source"
"""Folder of the pages that the site is built from, beside it."""


def generated_pages() -> dict[str, str]:
    """Return the generated pages by file name."""
    from commands_page import commands_page
    from datasets_page import datasets_page
    from parameters_page import parameters_page

    base = PROJECT / "conf" / "base"
    contracts = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8")
    return {
        "commands.md": commands_page(PROJECT),
        "parameters.md": parameters_page(base),
        "datasets.md": datasets_page(base / "catalog.yml", contracts),
    }


def write_sources(folder: Path) -> None:
    """Write all pages, images and figures of the site into a folder, which is emptied first."""
    from site_markdown import for_the_site

    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("site", "*.py", "__pycache__")
    shutil.copytree(PROJECT / "docs", folder, ignore=ignored)
    for path in folder.glob("*.md"):
        path.write_text(for_the_site(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in generated_pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site into ``folder/docs``; warnings are errors.

    Args:
        folder: for the site, its sources, and its configuration.

    Returns:
        The finished process, with what it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_sources(folder / SOURCES)
    shutil.rmtree(folder / "docs", ignore_errors=True)
    settings = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
    settings |= {"docs_dir": SOURCES, "site_dir": "docs"}
    configuration = folder / "mkdocs.yml"
    configuration.write_text(
        yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return subprocess.run(
        [*BUILD, "-f", configuration.name],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    done = build(Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "build").resolve())
    print(done.stdout)
    sys.exit(done.returncode)
