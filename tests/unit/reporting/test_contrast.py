"""Contrast of the report's colors, light and dark, by WCAG 2.2 (1.4.3 and 1.4.11, level AA)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from ms_pfl.paradigms import PARADIGMS
from ms_pfl.reporting import curves
from ms_pfl.studies.protocol_audit import show as protocol_audit

CSS = (files("ms_pfl.reporting") / "templates" / "report.css").read_text(encoding="utf-8")
#: Text and what it stands on. Cells of a verdict are of the text's own color.
TEXT = ["ink", "muted", "link"]
GROUNDS = ["paper", "soft", "warn", "better", "worse"]
#: Lines of text's own size: the hatch behind a verdict has to leave it readable.
BEHIND = ["hatch"]
#: Marks that say something by themselves.
MARKS = ["warn-line"]
#: Lines between rows and around boxes, which say nothing.
DECORATION = ["line"]


def palette(rule: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", rule))


LIGHT = palette(CSS.partition("@media")[0])
DARK = palette(re.search(r"prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", CSS, re.DOTALL)[1])
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def luminance(color: str) -> float:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#123456", "#123456") == 1


def test_every_color_of_the_page_is_checked() -> None:
    """Every color is a property of both themes, and each has a part in the tests below."""
    assert set(LIGHT) == set(DARK) == {*TEXT, *GROUNDS, *BEHIND, *MARKS, *DECORATION}
    rules = re.sub(r"/\*.*?\*/", "", CSS.partition("* { box-sizing")[2], flags=re.DOTALL)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(", rules)
    colors = set(re.findall(r"(?<![\w-])color: ([^;}]+)", rules))
    assert colors == {f"var(--{name})" for name in TEXT} | {"inherit"}
    grounds = re.findall(r"background: var\(--([\w-]+)\)", rules)
    assert set(grounds) == set(GROUNDS)


@THEMES
def test_text_can_be_read(theme: dict[str, str]) -> None:
    for ground in GROUNDS:
        for text in TEXT:
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    for line in BEHIND:
        assert contrast(theme["ink"], theme[line]) >= 4.5, line


def drawn() -> dict[str, str]:
    """Return what is drawn in figures: who uses the color -> the color."""
    strategies = {f"strategy {i}": color for i, color in enumerate(curves._STRATEGY_COLORS)}
    audited = {f"model {i}": color for i, color in enumerate(protocol_audit._COLORS)}
    return {row.label: row.color for row in PARADIGMS.values()} | strategies | audited


@THEMES
def test_marks_of_figures_can_be_seen(theme: dict[str, str]) -> None:
    for name, color in drawn().items():
        assert contrast(color, theme["paper"]) >= 3, (name, color)
    for name in MARKS:
        assert contrast(theme[name], theme["paper"]) >= 3, name
