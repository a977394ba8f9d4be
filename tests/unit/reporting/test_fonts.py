"""Figures draw with fonts that hold the letters of their names."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from ms_pfl.datasets import FigureFile
from ms_pfl.reporting import figures
from ms_pfl.reporting.figures import to_svg
from ms_pfl.reporting.sites import country_sizes

NOBODY_HAS = "\U00013000"  # an Egyptian hieroglyph


def draw(*names: str) -> Figure:
    rows = len(names)
    return country_sizes(
        pd.DataFrame(
            {
                "country": names, "n_patients": [5] * rows, "n_episodes": range(9, 9 + rows),
                "n_positive": [3] * rows, "positive_share": [0.3] * rows,
            }
        )
    )  # fmt: skip


_CACHED = (figures._fitting, figures._installed, figures._warn_of)


@pytest.fixture(autouse=True)
def _forget() -> None:
    for cached in _CACHED:
        cached.cache_clear()


def families(figure: Figure, name: str) -> list[str]:
    found = [t for t in figure.findobj(Text) if t.get_text() == name]
    return list(found[0].get_fontfamily())


def test_what_the_default_font_has_needs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_installed", lambda: pytest.fail("nobody has to look further"))
    assert families(draw("Türkiye", "العربية", "Ελλάδα", "$x_1$"), "Türkiye") == ["sans-serif"]


def test_a_fitting_font_is_added_behind_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_installed", lambda: {"One": ("one", 0), "Two": ("two", 0)})
    held = {"one": {0x13000}, "two": {0x13000, 0x4E2D}}
    default = figures._charmap
    monkeypatch.setattr(
        figures, "_charmap", lambda face: held[face[0]] if face[0] in held else default(face)
    )
    figure = draw(f"{NOBODY_HAS}中")
    assert families(figure, f"{NOBODY_HAS}中") == ["sans-serif", "Two"]


def test_letters_that_no_font_has_are_told_of_once_and_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "_installed", dict)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        for _ in range(2):
            figure = draw("中国", "हिन्दी", NOBODY_HAS)
            FigureFile(filepath=str(tmp_path / "figure.png")).save(figure)
            assert "中国" in to_svg(figure, "a"), "a browser has fonts of its own"
    (said,) = caplog.messages
    assert said.startswith("No installed font has द न ह 中 国 \U00013000; the figures show empty")
    assert "such as Debian's fonts-noto-cjk fonts-noto-core, and run" in said


def test_fonts_of_mathematics_and_of_boxes_are_not_taken() -> None:
    assert not {"cmsy10", "STIXGeneral", "Last Resort High-Efficiency"} & set(figures._installed())


def test_chinese_is_drawn_where_a_font_is_installed(caplog: pytest.LogCaptureFixture) -> None:
    letters = {ord(letter) for letter in "中国"}
    if not any(letters <= figures._charmap(face) for face in figures._installed().values()):
        pytest.skip("no installed font has Chinese letters (Debian: fonts-noto-cjk)")
    pictures = []
    for name in ("中国", "国中"):
        figure = draw(name)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba()))
    assert not caplog.messages
    assert (pictures[0] != pictures[1]).any(), "two boxes would look the same"
