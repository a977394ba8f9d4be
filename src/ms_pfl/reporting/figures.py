"""The style and the fonts of the report's figures, drawn without pyplot's global state.

The fonts are matplotlib's own, then those installed that hold the letters it lacks.
"""

import copy
import io
import logging
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
# A near-black that nothing else uses: the report turns it into the page's text color.
INK = "#010203"
_STYLE: Any = {
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "font.size": 9,
    "text.parse_math": False,  # a country's name may hold a dollar sign
    "svg.fonttype": "none",
}

# Debian's packages, by the first word of the characters' names in Unicode.
_PACKAGES = dict.fromkeys(
    ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC"),
    "fonts-noto-cjk",
)
_OTHERS, _SYMBOLS = "fonts-noto-core", "fonts-symbola"


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw in the style of the report, whatever matplotlib is set to."""

    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            use_fitting_fonts(figure)
            return figure

    return wrapper


def short_name(name: object) -> str:
    """Return a name that leaves a figure room for what it shows.

    >>> short_name("Kingdom of the United Netherlands and beyond")
    'Kingdom of the United Netherl...'
    """
    text = str(name)
    return text if len(text) <= 32 else f"{text[:29]}..."


def of_strategy(table: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Return the rows of a strategy, and of the paradigms that have none to choose."""
    return table[table["strategy"].isin([strategy, "pooled", "none", ""])]


#: One shape per learner, as there is one color per paradigm.
_MARKERS = {"network": "o", "logistic": "s", "trees": "^"}


def marker_of(learner: str) -> str:
    """Return the shape of a learner's points; a diamond where it has none of its own."""
    return _MARKERS.get(learner, "D")


def diamond(
    axes: Axes, mean: tuple[float, float, float], place: float, color: str, half: float
) -> None:
    """Draw a mean as forest plots do: a diamond as wide as its interval.

    Args:
        axes: to draw on.
        mean: lower bound of the interval, the mean, upper bound.
        place: on the vertical axis.
        color: of the diamond.
        half: of its height.
    """
    low, middle, high = mean
    corners = [place, place - half, place, place + half]
    axes.fill([low, middle, high, middle], corners, color=color, linewidth=0.8)


def legend_below(figure: Figure, axes: Axes, columns: int | None = None) -> None:
    """Name below a figure what is drawn in one of its panels, if anything is."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=columns or len(handles))


def to_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element for a page that is light or dark.

    Text stays text; ink takes the page's color; the background is the page's own. The same
    figure gives the same characters, and no two figures share an id.

    Args:
        figure: what a :func:`styled` function drew; it stays as it is.
        name: letters, unique on the page; the prefix of the element's ids.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), without_glyph_warnings():
        # saving moves the parts of a figure, from which another saving would begin: save a copy
        copy.deepcopy(figure).savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    # without what stands before the element, and what tells who made it
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)

    def of_page(tag: re.Match[str]) -> str:
        text = tag[0].replace(INK, "currentColor")
        return re.sub(r'\bid="|href="#|url\(#', rf"\g<0>{name}-", text)

    # tags alone: a country may be called what stands in one
    return re.sub("<[^<>]*>", of_page, svg)


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Draw without matplotlib's own warning for each letter that no font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def use_fitting_fonts(figure: Figure) -> None:
    """Give the texts of a figure the fonts that hold their letters.

    Matplotlib takes each letter from the first font of a list that has it. Where no installed font
    has one, an empty box is drawn, and a warning names a package to install, once per process.
    """
    texts = figure.findobj(Text)
    letters = "".join(sorted({letter for text in texts for letter in text.get_text()}))
    families, missing = _fitting(letters)
    if missing:
        _warn_of(missing)
    if families:
        for text in texts:
            text.set_fontfamily(["sans-serif", *families])


@lru_cache(maxsize=256)
def _fitting(letters: str) -> tuple[tuple[str, ...], str]:
    """Return families that hold what the default lacks, and letters that no font has."""
    default = _charmap((str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 0))
    # what is not printable, and a sign that chooses the form of another, is drawn by no font
    left = {c for c in letters if ord(c) not in default and c.isprintable()}
    left -= {c for c in left if unicodedata.name(c, "").startswith("VARIATION SELECTOR")}
    families: list[str] = []
    fonts = _installed() if left else {}
    while left and fonts:
        held = {
            name: {letter for letter in left if ord(letter) in _charmap(face)}
            for name, face in fonts.items()
        }
        # in a tie one without serifs, as the default is; then the first by name
        best = max(held, key=lambda name: (len(held[name]), "Serif" not in name))
        if not held[best]:
            break
        families.append(best)
        left -= held[best]
    return tuple(families), "".join(sorted(left))


@lru_cache(maxsize=1)
def _installed() -> dict[str, tuple[str, int]]:
    """Return file and index of the regular face of each installed family, sorted by name."""
    # matplotlib keeps its list from before a font was installed
    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        with suppress(OSError, RuntimeError):  # a font that FreeType cannot read
            fontManager.addfont(path)
    own = matplotlib.get_data_path()  # fonts of mathematics, and one that draws boxes for all
    faces = sorted(
        (
            (font.name, font.style != "normal", abs(int(font.weight) - 400), font.fname, font.index)
            for font in fontManager.ttflist
            if isinstance(font.weight, int) and not font.fname.startswith(own)
        ),
    )
    found: dict[str, tuple[str, int]] = {}
    for name, _, _, path, index in faces:
        found.setdefault(name, (path, index))
    return found


@lru_cache(maxsize=1024)
def _charmap(face: tuple[str, int]) -> frozenset[int]:
    """Return the characters that a font can draw; none where it holds bitmaps."""
    try:
        font = FT2Font(face[0], face_index=face[1])
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


@lru_cache(maxsize=64)
def _warn_of(missing: str) -> None:
    packages = sorted(
        {
            _PACKAGES.get(
                unicodedata.name(letter, "UNNAMED").split(" ")[0],
                _SYMBOLS if unicodedata.category(letter).startswith("S") else _OTHERS,
            )
            for letter in missing
        }
    )
    bases = [letter for letter in missing if unicodedata.category(letter)[0] != "M"] or missing
    shown = " ".join(bases[:10]) + (" ..." if len(bases) > 10 else "")
    _log.warning(
        "No installed font has %s; the figures show empty boxes there (install a font that has "
        "them, such as Debian's %s, and run the reporting again)", shown, " ".join(packages),
    )  # fmt: skip
