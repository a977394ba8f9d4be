"""Figures fit a light and a dark page, and stay as they are when they are embedded."""

from __future__ import annotations

import re
import sys
from io import BytesIO
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ms_pfl.reporting import figures
from ms_pfl.reporting.sites import country_sizes, country_table


@pytest.fixture(scope="module")
def countries(episodes: pd.DataFrame) -> pd.DataFrame:
    return country_table(episodes)


def test_names_that_look_like_svg_stay_as_they_are(countries: pd.DataFrame) -> None:
    names = ["#010203", 'id="a"', "url(#b)", 'href="#c"', "<metadata>", "$x_1$", "_y", "a < b > c"]
    named = pd.concat([countries.head(1)] * len(names)).assign(country=names)
    page = ElementTree.fromstring(figures.to_svg(country_sizes(named), "sizes"))
    drawn = {element.text for element in page.iter() if element.tag.endswith("text")}
    assert set(named["country"]) <= drawn


def test_svg_takes_the_color_of_the_page_and_repeats(countries: pd.DataFrame) -> None:
    odd = countries.assign(country=["$x$ & <b>", *countries["country"][1:]])
    svg = figures.to_svg(country_sizes(odd), "sizes")
    assert svg == figures.to_svg(country_sizes(odd), "sizes")
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "$x$ & <b>" in texts
    assert "currentColor" in svg
    assert "#010203" not in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("sizes-") for name in ids)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert used <= set(ids)


def test_pyplot_is_never_needed(countries: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert figures.to_svg(country_sizes(countries), "a").startswith("<svg")


def test_a_picture_file_is_the_same_before_and_after_the_figure_was_embedded() -> None:
    """Equal boxes beside each other: their layout depends on where it begins."""

    def draw() -> Figure:
        figure = Figure(figsize=(8, 4), layout="constrained")
        for axes in figure.subplots(1, 2):
            axes.plot([0, 1], [0, 1], label="line")
            axes.set(xlabel="x", ylabel="y", title="title")
            axes.set_box_aspect(1)
        figure.legend(loc="outside lower center")
        return figure

    def picture(figure: Figure) -> bytes:
        file = BytesIO()
        figure.savefig(file, dpi=120)
        return file.getvalue()

    embedded = draw()
    figures.to_svg(embedded, "a")
    assert picture(embedded) == picture(draw())
    again = draw()
    again.savefig(BytesIO(), format="svg")
    assert picture(again) != picture(draw()), "the figure does not show what it is a test of"
